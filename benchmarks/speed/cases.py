"""The networks that are timed: digital, on arrays without a chip (training), and as a programmed chip (evaluation)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from mobilenet_v2 import mobilenet_v2
from torch import Tensor, nn

import mho
from mho.data import load
from mho.models import published
from mho.models.mobilenet import MobileNetV1
from mho.models.squeezenet import squeezenet10
from mho.training import HWA, Gaussian

WEIGHT_NOISE = 0.05
"""Standard deviation of the noise that a training step adds to its weights, in units of a layer's largest weight."""


@dataclass(frozen=True)
class Case:
    """A network, a batch and a hardware.

    Attributes:
        model: The digital network.
        inputs: One batch.
        labels: Its labels, or random ones.
        hardware: Of the analog twin.
        goals: Largest ratios aimed at: "time", "memory", "step time", "step memory".
        trained: It is timed in training, too.
    """

    model: nn.Module
    inputs: Tensor
    labels: Tensor
    hardware: mho.Hardware
    goals: dict[str, float]
    trained: bool = True

    def analog(self) -> nn.Module:
        """Converted and calibrated."""
        return mho.calibrate(mho.to_analog(copy.deepcopy(self.model).eval(), self.hardware), [self.inputs])

    def chip(self, *, fused: bool = True) -> nn.Module:
        """Programmed, one day old; fused, as `mho.drift` measures it."""
        chip = mho.program(self.analog()).at("1 day")
        return mho.fuse(chip) if fused else chip


def standard() -> mho.Hardware:
    """8-bit converters, output noise, PCM, global drift compensation: what the peers are asked for, too."""
    return mho.Hardware.of("pcm").replace(noise__output=0.04, adc__range="fixed", adc__bound=10.0)


def per_vector() -> mho.Hardware:
    """The same with a range for every input vector."""
    return standard().replace(dac__range="abs_max")


def _resnet20(*, batch: int, layout: torch.memory_format, hardware: mho.Hardware, goals: dict[str, float]) -> Case:
    model, info = published("cifar10_resnet20")
    data = load(f"{info.data}&n={batch}")
    labels = torch.cat([y for _, y in data])
    return Case(model, data.inputs.contiguous(memory_format=layout), labels, hardware, goals)


def _random(
    model: nn.Module, shape: tuple[int, ...], classes: int, goals: dict[str, float], *, rows: bool = False,
    hardware: mho.Hardware | None = None,
) -> Case:  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(shape, generator=generator)
    inputs = inputs.contiguous(memory_format=torch.channels_last) if rows else inputs
    labels = torch.randint(0, classes, shape[:1], generator=generator)
    return Case(model, inputs, labels, hardware or standard(), goals)


class _Encoder(nn.Module):
    """Four layers of width 256; the mean over positions goes to the classes."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean(1))


def cases(batch: int = 100) -> dict[str, Callable[[], Case]]:
    """Makers by name; weights that are not published are random, from seed 0."""
    torch.manual_seed(0)
    resnet = {"memory": 1.15, "step time": 1.3, "step memory": 0.8}
    standard_hwa = {"time": 2.5, "step time": 1.8, "step memory": 1.0}
    rows, planar = torch.channels_last, torch.contiguous_format
    preset = mho.Hardware.of("hwa-standard")
    own_ranges = {"abs_max": per_vector(), "aihwkit-default": mho.Hardware.of("aihwkit-default")}
    layouts = {"contiguous": planar, "channels_last": rows}
    squeeze, mobile = {"contiguous": 0.75, "channels_last": 1.15}, {"contiguous": 1.35, "channels_last": 1.5}
    return {
        "ResNet-20, contiguous": lambda: _resnet20(
            batch=batch, layout=planar, hardware=standard(), goals=resnet | {"time": 1.15}
        ),
        "ResNet-20, channels_last": lambda: _resnet20(
            batch=batch, layout=rows, hardware=standard(), goals=resnet | {"time": 1.25}
        ),
        **{
            f"ResNet-20, one image, {name}": lambda layout=layout: replace(
                _resnet20(batch=1, layout=layout, hardware=standard(), goals={"time": 1.5}), trained=False
            )
            for name, layout in layouts.items()
        },
        "ResNet-20, hwa-standard, contiguous": lambda: _resnet20(
            batch=batch, layout=planar, hardware=preset, goals=standard_hwa
        ),
        "ResNet-20, hwa-standard, channels_last": lambda: _resnet20(
            batch=batch, layout=rows, hardware=preset, goals=standard_hwa
        ),
        **{
            f"ResNet-20, {name}, {layout}": lambda hardware=hardware, memory=memory: _resnet20(
                batch=batch, layout=memory, hardware=hardware, goals={"time": 1.6, "step memory": 1.0}
            )
            for name, hardware in own_ranges.items()
            for layout, memory in layouts.items()
        },
        **{
            f"MobileNetV2, 128², {name}, {layout}": lambda hardware=hardware, layout=layout: _random(
                mobilenet_v2(num_classes=1000), (8, 3, 128, 128), 1000, {"time": 1.8}, rows=layout == "channels_last",
                hardware=hardware,
            )
            for name, hardware in own_ranges.items()
            for layout in layouts
        },
        "Linear 512×512, abs_max": lambda: _random(
            nn.Linear(512, 512), (256, 512), 512, {"time": 1.3, "step time": 1.6}, hardware=own_ranges["abs_max"]
        ),
        "Linear 512×512": lambda: _random(nn.Linear(512, 512), (256, 512), 512, {"time": 1.3, "step time": 1.6}),
        **{
            f"SqueezeNet 1.0, 224², {layout}": lambda layout=layout: _random(
                squeezenet10(num_classes=1000), (8, 3, 224, 224), 1000,
                {"time": squeeze[layout], "step time": 1.4, "step memory": 1.0}, rows=layout == "channels_last",
            )
            for layout in ("contiguous", "channels_last")
        },
        **{
            f"MobileNetV1 0.25, 96², {layout}": lambda layout=layout: _random(
                MobileNetV1(alpha=0.25, num_classes=2), (32, 3, 96, 96), 2, {"time": mobile[layout]},
                rows=layout == "channels_last",
            )
            for layout in ("contiguous", "channels_last")
        },
        "transformer encoder": lambda: _random(_Encoder(), (16, 128, 256), 10, {"time": 1.2, "memory": 1.1}),
    }  # fmt: skip


def step(net: nn.Module, case: Case, *, hwa: bool) -> Callable[[], None]:
    """One training step: forward, backward, SGD with momentum; with `hwa`, weights are read with fresh noise."""
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-5, momentum=0.9)
    session = HWA(weights=Gaussian(sigma=WEIGHT_NOISE)).attach(net, steps=1) if hwa else None

    def run() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(case.inputs), case.labels).backward()
        optimizer.step()
        if session is not None:
            session.step()

    return run
