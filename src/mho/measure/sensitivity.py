"""Which layers lose the accuracy: every layer alone on a chip, or alone spared from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from mho.arguments import check_mode, network, one_of, whole
from mho.chip import Chip, program
from mho.chip.programmed import Programmed
from mho.errors import WrongSetting
from mho.measure.evaluate import measure
from mho.measure.linearised import Estimate, estimate
from mho.measure.monte_carlo import digital_measurement
from mho.measure.sensitivity_result import LayerSensitivity, SensitivityResult
from mho.measure.test_data import TestData
from mho.nn import AnalogLayer
from mho.nn.in_place import hardware_in_place
from mho.nn.layer import MatrixView, check_calibrated
from mho.nn.source import Digital, sources
from mho.progress import Meter, Progress, check_progress, telling
from mho.statistics.intervals import check_confidence
from mho.store import Measurement
from mho.tasks import Named
from mho.units import seconds

Mode = Literal["alone", "spared"]


def sensitivity(
    net: nn.Module,
    data: Iterable[Any],
    *,
    time: str | float = "1 day",
    chips: int = 4,
    seed: int = 0,
    mode: Mode = "alone",
    estimated: bool = True,
    samples: int = 512,
    confidence: float | str = 0.95,
    task: Named | None = None,
    progress: Progress = None,
) -> SensitivityResult:
    """What each layer's arrays cost, measured layer by layer, and estimated from gradients.

    "alone": only this layer is on a programmed, aged chip, all others are digital; its cost is what the network then
    loses against the digital one. "spared": all layers are on the chip except this one; its cost is what the whole
    chip loses beyond that. Layers have draws of their own, so the cells of a layer are exactly those that it has on the
    whole chip of that seed and number, and all differences are paired over chips. (Noise drawn for each product is not
    paired: which numbers a layer gets depends on the layers read before it.)

    The rise of the loss (for classes the cross-entropy) is far less noisy than the loss of accuracy on the same samples:
    rank by it where few samples or chips are affordable.

    Args:
        net: What `to_analog` returned, calibrated.
        data: Test data: batches of (inputs, targets).
        time: Age of the chips.
        chips: Their number; 0 measures nothing and only estimates, on the errors of 4 chips.
        seed: Root seed; chip i is the chip i of `drift` with that seed.
        mode: "alone" or "spared".
        estimated: Also estimate the rise of the loss from gradients (see `mho.measure.linearised`); costs one pass
            forward and two back over `samples` items, for all layers together.
        samples: Most items for the estimate.
        confidence: Of the intervals.
        task: What is scored, see `drift`.
        progress: True for a bar, or told of each pass (`mho.progress.Step`).

    Raises:
        WrongSetting: Bad arguments; a network without arrays, or that is one chip already.
        BadInput: Unusable data or weights.
    """
    network(net)
    check_mode()
    check_progress(progress)
    one_of(mode, "mode", ("alone", "spared"))
    remedy = "give a whole number, at least 1; 0 with estimated=True only"
    chips = whole(chips, "chips", least=0 if estimated else 1, remedy=remedy)
    whole(samples, "samples")
    confidence, t_s, layers = check_confidence(confidence), seconds(time, "time"), _layers(net)
    check_calibrated(net)
    test, seed = TestData.of(data, task=task), whole(seed, "seed", least=0)
    with telling(progress, "sensitivity", "passes") as told:
        return _measured(net, test, layers, told, t_s, chips, seed, mode, estimated, samples, confidence)


def _measured(
    net: nn.Module, test: TestData, layers: dict[str, list[MatrixView]], told: Meter, t_s: float, chips: int, seed: int,
    mode: Mode, estimated: bool, samples: int, confidence: float,
) -> SensitivityResult:  # fmt: skip
    total = chips * len(layers)
    told(0, total, known="measuring the digital network")
    digital = digital_measurement(net, test)
    full: list[Measurement] = []
    single: dict[str, list[Measurement]] = {path: [] for path in layers}
    errors: dict[str, list[Tensor]] = {}
    cells: dict[str, int] = {}
    for index in range(chips or 4):
        chip = program(net, seed, chip=index)
        aged = chip.at(t_s)
        if estimated:
            for path, error in weight_errors(aged).items():
                errors.setdefault(path, []).append(error)
        cells = cells or {path: cells_of(chip, views) for path, views in layers.items()}
        if not chips:
            continue
        address = ("read", seed, index)
        full.append(measure(aged, test, chip=index, age_s=t_s, address=address))
        matrices = {path: [view.matrix for view in views] for path, views in _layers(aged, programmed=True).items()}
        for number, path in enumerate(layers, start=index * len(layers)):
            others = [m for other, held in matrices.items() for m in held if (other == path) == (mode == "spared")]
            with sources(others, lambda _: Digital()):
                single[path].append(measure(aged, test, chip=index, age_s=t_s, address=address))
            told(number + 1, total, known=path)
    found = estimate(net, test, errors, samples=samples, seed=seed) if estimated else {}
    macs, every = _macs(net, test)
    score = test.task.headline
    rows = []
    for path, views in layers.items():
        before, after = ([digital] * chips, single[path]) if mode == "alone" else (single[path], full)
        number = macs.get(path, 0)
        rows.append(
            LayerSensitivity(
                path=path,
                weights=sum(view.weight.numel() for view in views),
                cells=cells[path],
                macs=number,
                mac_share=number / every if every else math.nan,
                losses=tuple(score.worth(b.mean) - score.worth(a.mean) for b, a in zip(before, after, strict=True)),
                rises=tuple(a.loss - b.loss for b, a in zip(before, after, strict=True)),
                estimate=_summed([found[view.matrix.path] for view in views]) if found else None,
            )
        )
    return SensitivityResult(
        layers=tuple(rows),
        mode=mode,
        age_s=t_s,
        chips=chips,
        samples=digital.samples,
        digital=digital,
        full=tuple(full),
        confidence=confidence,
        score=score,
        subject=f"{test.info.name} on '{hardware_in_place(net).label}'",
    )


def weight_errors(aged: nn.Module) -> dict[str, Tensor]:
    """What the arrays of a chip's network stand for, less the digital weights, by path of the matrix.

    Args:
        aged: What `Chip.at` returned.
    """
    found = {}
    for views in _layers(aged, programmed=True).values():
        for view in views:
            source = view.matrix.source
            assert isinstance(source, Programmed)
            found[view.matrix.path] = source.weight(view.operator) - view.weight.detach()
    return found


def cells_of(chip: Chip, views: Sequence[MatrixView]) -> int:
    """Cells that the matrices take on a chip."""
    return sum(state["g"].numel() for view in views for state in chip.arrays[view.matrix.path].states)


def _layers(net: nn.Module, *, programmed: bool = False) -> dict[str, list[MatrixView]]:
    """The matrices of each layer, by the path that `digital` takes."""
    found = {}
    for path, module in net.named_modules():
        if isinstance(module, AnalogLayer) and (views := list(module.views())):
            if not programmed and views[0].matrix.programmed:
                raise WrongSetting("this network is one chip already", "pass the network that to_analog returned")
            found[path] = views
    if not found:
        raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
    return found


def _macs(net: nn.Module, data: TestData) -> tuple[dict[str, int], int]:
    """Multiply-accumulates by path of the layer, and those of the whole network; nothing and 0 where unknown."""
    placement: Any = getattr(net, "placement", None)
    if placement is None:
        return {}, 0
    if placement.digital_macs is None:
        x = data.batches[0][0]
        placement = placement.counted(net, x[:1] if isinstance(x, Tensor) else x)
    counts: dict[str, int] = {}
    for weight in (weight for weight in placement if weight.placed == "analog"):
        counts[weight.path] = counts.get(weight.path, 0) + (weight.macs or 0)
    return counts, sum(counts.values()) + placement.digital_macs


def _summed(parts: Sequence[Estimate]) -> Estimate:
    return Estimate(*(sum(values) for values in zip(*parts, strict=True)))
