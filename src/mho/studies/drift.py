"""What is left of published networks as their chips age, without any retraining.

Question: how long do networks that were trained digitally stay within 1 % of their accuracy, on which hardware, and
what decides it? Arms: networks (depth, depthwise, size) × hardware, and for ResNet-20 the compensation, the converters
and the parts of the cell's behaviour one at a time. Protocol: studies of drift by Joshi et al. 2020, Le Gallo et al.
2023 and Rasch et al. 2023 evaluate at 1 h to 1 year after programming; every arm here has at least 8 chips, common
seeds (paired draws), and the same test samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mho
from mho.data import load
from mho.measure import DriftResult
from mho.models import published

TIMES = ("1 h", "1 day", "1 month", "6 months", "1 year")
BUDGET = 0.01
SAMPLES = 2000
"""First test images of CIFAR-10 (of 10,000, in their original order); all 1,000 of the keywords."""
_RESNET20 = "cifar10_resnet20"


@dataclass(frozen=True)
class Arm:
    """One line of the study.

    Attributes:
        name: Folder of its rows.
        network: Name of a published network.
        hardware: Preset.
        changes: Changed settings, as `Hardware.replace` takes them.
        group: Figure it belongs to.
        label: How the figure names it.
    """

    name: str
    network: str
    hardware: str
    group: str
    label: str
    changes: dict[str, Any] = field(default_factory=dict)


NETWORKS = {
    "cifar10_resnet20": "ResNet-20",
    "cifar10_resnet32": "ResNet-32",
    "cifar10_resnet44": "ResNet-44",
    "cifar10_resnet56": "ResNet-56",
    "cifar10_resnet8_mlperf": "ResNet-8 (MLPerf Tiny)",
    "kws_dscnn_mlperf": "DS-CNN keywords (depthwise)",
    "stories260k": "stories260K Llama (next token)",
}
_COMPENSATION: dict[str, dict[str, Any]] = {
    "none": {"compensation": {"kind": "none"}},
    "global, exact reading": {"compensation": {"kind": "global", "readout": "exact"}},
    "per column": {"compensation": {"kind": "per_column"}},
}
_CAUSES: dict[str, dict[str, Any]] = {
    "no programming noise": {"cell.programming_noise": 0.0},
    "no drift": {"cell.drift": 0.0},
    "no read noise": {"cell.read_noise": 0.0},
    "ideal converters": {"dac.bits": None, "adc.bits": None},
    "6-bit converters": {"dac.bits": 6, "adc.bits": 6},
}


def arms() -> list[Arm]:
    """Every arm, the quickest to answer the main question first."""
    found = [Arm(f"pcm-{n}", n, "pcm", "networks", label) for n, label in NETWORKS.items()]
    for name in ("hermes", "reram", "hwa-standard"):
        found.append(Arm(f"{name}-{_RESNET20}", _RESNET20, name, "hardware", name))
    found.append(Arm("hwa-standard-kws_dscnn_mlperf", "kws_dscnn_mlperf", "hwa-standard", "keywords", "hwa-standard"))
    found.append(
        Arm(
            "pcm-cifar10_resnet8_mlperf-stem-digital",
            "cifar10_resnet8_mlperf",
            "pcm",
            "stem",
            "stem digital",
            {"digital": ["stem"]},
        )
    )
    for group, table in (("compensation", _COMPENSATION), ("causes", _CAUSES)):
        for label, changes in table.items():
            folder = f"pcm-{_RESNET20}-{label.replace(',', '').replace(' ', '-')}"
            found.append(Arm(folder, _RESNET20, "pcm", group, label, changes))
    return found


def run(
    out: Path, *, workers: int = 1, chips: int = 8, only: str = "", progress: Callable[[str], None] = lambda _: None
) -> None:
    """Measure every arm whose name contains `only`; rows that are there already are kept.

    Args:
        out: Folder with one folder an arm.
        workers: Processes.
        chips: Chips of each arm.
        only: Part of the arms' names.
        progress: Told what is being measured.
    """
    for arm in arms():
        if only not in arm.name:
            continue
        progress(arm.name)
        model, info = published(arm.network)
        assert info.data is not None, "every network of the study has data"
        images = info.data.startswith("cifar10")
        test = load(f"{info.data}&n={SAMPLES}" if images else info.data)
        # The other sets have no training part; ranges look at inputs only, never at labels.
        ranges = load(f"{info.data}&split=train&n=1000") if images else test
        hw = mho.Hardware.preset(arm.hardware)
        net = mho.to_analog(model, hw.replace(**arm.changes) if arm.changes else hw, example=test.inputs[:2])
        mho.calibrate(net, ranges)
        mho.drift(
            net, test, TIMES, chips=chips, out=out / arm.name, workers=workers, name=NETWORKS[arm.network],
            command=f"mho study drift --out {out.name} --only {arm.name} --chips {chips}",
        )  # fmt: skip


def results(out: Path) -> Iterator[tuple[Arm, DriftResult]]:
    """What is stored of each arm."""
    for arm in arms():
        rows = out / arm.name / "rows.jsonl"
        if rows.exists() and rows.stat().st_size:
            yield arm, DriftResult.load(out / arm.name)
