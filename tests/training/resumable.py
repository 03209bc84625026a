"""A training in a process of its own, for tests that kill it or run it in several processes."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

import torch
from torch import nn

import mho
from mho.store.digest import digest
from mho.training import HWA, Clip, Gaussian
from mho.training.loop.fit import fit
from mho.training.loop.processes import leave


def network(kind: str) -> nn.Module:
    """A small digital network, or an analog one with noise of products and a batch norm."""
    torch.manual_seed(0)
    if kind == "digital":
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    net = mho.to_analog(model, mho.Hardware.preset("pcm-cells").replace(noise__output=0.02))
    return mho.calibrate(net, [samples()[0]])


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    """203 points of three classes."""
    x = torch.randn(203, 6, generator=torch.Generator().manual_seed(1))
    return x, (x[:, :3] @ torch.tensor([1.0, -1.0, 2.0]) > 0).long() + (x[:, 3] > 0.7).long()


def jitter(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """An augmentation."""
    return x + 0.05 * torch.randn(x.shape, generator=generator)


class Shaken:
    """Injected noise like that of hardware-aware training: of (seed, step) alone, the same in every process."""

    def attach(self, net: nn.Module, *, steps: int, seed: int) -> Shaken:
        """Begin."""
        self.done, self.seed, self.weights = 0, seed, [p for p in net.parameters() if p.dim() > 1]
        self.hook = net.register_forward_pre_hook(self._shake)
        self.out = net.register_forward_hook(self._restore)
        return self

    def _noise(self) -> list[torch.Tensor]:
        draw = torch.Generator().manual_seed(1000 * self.seed + self.done)
        return [0.01 * torch.randn(w.shape, generator=draw) for w in self.weights]

    def _shake(self, net: nn.Module, arguments: object) -> None:
        if net.training:
            for weight, noise in zip(self.weights, self._noise(), strict=True):
                weight.data = weight.data + noise

    def _restore(self, net: nn.Module, arguments: object, output: object) -> None:
        if net.training:
            for weight, noise in zip(self.weights, self._noise(), strict=True):
                weight.data = weight.data - noise

    def step(self) -> None:
        """After an optimiser step."""
        self.done += 1

    def state_dict(self) -> dict[str, int]:
        """The counter."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The counter."""
        self.done = state["done"]

    def detach(self) -> None:
        """End."""
        self.hook.remove()
        self.out.remove()

    def __repr__(self) -> str:
        return "Shaken()"


def run(out: str | None, *, kind: str = "analog", die_at: int | None = None, **changes: object) -> str:
    """Train; the digest of the weights and the losses."""
    net, seen = network(kind), 0

    def die(module: nn.Module, arguments: object) -> None:
        nonlocal seen
        seen += module.training
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    net.register_forward_pre_hook(die)
    x, y = samples()
    options = {
        "epochs": 3, "batch": 32, "lr": 0.05, "val": [(x[:90], y[:90])], "save_every": 0.0,
        "hwa": HWA(weights=Gaussian(sigma=0.04), clip=Clip(bound=2.5), clean=0.1) if kind == "analog" else Shaken(),
        "progress": False, "out": out, **({"augment": jitter} if kind == "analog" else {}), **changes,
    }  # fmt: skip
    result = fit(net, [(x, y)], **options)
    losses = [row["loss"] for row in result.history]
    run.net = net
    return f"{digest(*net.state_dict().values())} {result.steps} {result.stopped} {losses}"


def main(arguments: list[str] | None = None) -> None:
    """The command line: each process writes what it ends with into a file of its own."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=Path, required=True, help="folder of these files")
    parser.add_argument("--out")
    parser.add_argument("--kind", default="analog")
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args(arguments)
    changes = {key: int(value) for key, value in (text.split("=") for text in given.set)}
    line, rank = run(given.out, kind=given.kind, die_at=given.die_at, **changes), os.environ.get("RANK", "0")
    leave()
    threads = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    given.to.mkdir(exist_ok=True)
    torch.save({"line": line, "net": run.net.state_dict(), "threads": threads}, given.to / f"{rank}.pt")


if __name__ == "__main__":
    main()
