"""Which exit a chip should use: exits over σ of the cells and over age, fixed ones, by entropy, and thresholds tuned again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import mho
from mho.data import Dataset, load
from mho.exits import Answers, best_exit, decide, observe, tune
from mho.hardware import Hardware
from mho.models import b_lenet, digits_cnn, multi_exit
from mho.models.early_exits import resnet20_exits, resnet32_exits, resnet56_exits
from mho.models.multi_exit import MultiExit
from mho.statistics.intervals import Interval, mean_interval
from mho.studies import Arm, Claim, Figure, Finding, Job, Results, Scale, Series, Study, Table, above, below, every
from mho.studies.figure import points
from mho.studies.outcome import show_level
from mho.tasks import Exits
from mho.training import fit

SIGMAS = (0.0, 0.05, 0.1, 0.15, 0.2)
AGES = ("1 h", "1 day", "1 month", "1 year")
BUDGET = 0.7
"""Share of the backbone's multiply-accumulates that thresholds are tuned for."""
_CHOICE = 1000
"""Images at most on which exits and thresholds are chosen: training images that no training saw."""
_SLIDES = "Early-exit study of the NTU slides, 2022"


@dataclass(frozen=True)
class ExitsArm(Arm):
    """A network with exits.

    Attributes:
        network: Name in `NETWORKS`.
        data: As `mho.data.load` takes it, without a split.
        weights: Of the joint loss.
        train: Images to train on.
        test: Test images.
        frozen: The backbone is the published one and stays as it is.
    """

    network: str = "digits"
    data: str = "digits?"
    weights: str = "equal"
    train: int = 900
    test: int | None = None
    frozen: bool = False


def _digits() -> MultiExit:
    return multi_exit(digits_cnn(), ["2", "8"], head="conv", example=torch.zeros(2, 1, 8, 8))


NETWORKS: dict[str, Callable[[], MultiExit]] = {
    "digits": _digits, "b_lenet": b_lenet, "resnet20": lambda: resnet20_exits(trained=True),
    "resnet32": lambda: resnet32_exits(trained=True), "resnet56": lambda: resnet56_exits(trained=True),
}  # fmt: skip
Found = Results[ExitsArm, list[dict[str, Any]]]


def hardware(sigma: float) -> Hardware:
    """8-bit weights in two cells of 4 bits, converters of 10 bits; each cell off by σ of its own conductance, per chip."""
    settings: dict[str, Any] = {
        "encoding.cell_bits": 4,
        "cell.levels": 16,
        "adc.bits": 10,
        "array.rows": 128,
        "dac.slice_bits": None,
    }
    hw = Hardware.preset("neurosim-rram", **settings)
    return hw.replace(variations=[{"sigma": sigma, "relative_to": "ideal"}]) if sigma else hw


def _settings(scale: Scale) -> Iterator[tuple[str, Hardware, Sequence[str]]]:
    for sigma in SIGMAS[::4] if scale == "smoke" else SIGMAS:
        yield f"σ {sigma:g}", hardware(sigma), ("0 s",)
    yield "pcm", Hardware.preset("pcm"), AGES[-1:] if scale == "smoke" else AGES


def _data(arm: ExitsArm) -> tuple[Dataset, Dataset, Dataset]:
    """Images to train on, to choose on and to test on."""
    sep = "" if arm.data.endswith("?") else "&"
    training = load(f"{arm.data}{sep}split=train")
    choice = slice(arm.train, arm.train + _CHOICE)
    left = replace(training, inputs=training.inputs[choice], labels=training.labels[choice])
    test = load(arm.data.removesuffix("?")) if arm.test is None else load(f"{arm.data}{sep}n={arm.test}")
    return training.subset(arm.train), left, test


class EarlyExits(Study[ExitsArm, list[dict[str, Any]]]):
    """Arms: networks, with weights of the joint loss."""

    name = "early-exits"
    title = "Which exit a chip should use"
    question = (
        "Does a deeper exit fall faster with σ and still stay ahead; which exit is best on a chip of some σ or age; do "
        "thresholds that are tuned again on the aged chip pay?"
    )
    protocol = (
        "σ: 8-bit weights in two cells of 4 bits, 10-bit converters, each cell off by σ of its own conductance, drawn once a "
        f"chip; ages: the preset 'pcm'. The best exit, and entropy thresholds for {BUDGET:.0%} of the multiply-accumulates, are "
        "chosen on training images that no training saw and reported on test images; thresholds of the digital network, or "
        "tuned again on each chip at its age. Intervals are Student's over chips. At `cpu` scale: published ResNets on CIFAR-10 "
        "with side classifiers trained on top, and B-LeNet on MNIST trained jointly."
    )
    sources = (_SLIDES, "Teerapittayanon, McDanel, Kung 2016, arXiv:1709.01686")
    chips = {"smoke": 2, "cpu": 10, "full": 25}  # noqa: RUF012

    def arms(self, scale: Scale) -> list[ExitsArm]:
        """The quickest first."""
        if scale == "smoke":
            return [ExitsArm("digits-equal", "digits CNN, equal weights", group="digits")]
        lenet = ExitsArm(
            "", "", "mnist", network="b_lenet", data="mnist", train=6000, test=None if scale == "full" else 1000
        )
        cifar = ExitsArm(
            "",
            "",
            "cifar10",
            data="cifar10?prep=imagenet",
            train=10000,
            test=None if scale == "full" else 1000,
            frozen=True,
        )
        found = [
            replace(lenet, data="mnist?", name=f"b-lenet-{w}", label=f"B-LeNet, {w} weights", weights=w)
            for w in ("equal", "falling", "rising")
        ]
        return found + [
            replace(cifar, name=name, label=f"ResNet-{name[6:]}, published", network=name)
            for name in ("resnet20", "resnet32", "resnet56")
        ]

    def run(self, arm: ExitsArm, job: Job) -> list[dict[str, Any]]:
        """A row for the digital network, and one for each setting, chip and age."""
        training, left, test = _data(arm)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = NETWORKS[arm.network]()
        job.progress("training")
        epochs = 2 if arm.frozen else 4 if job.scale == "smoke" else 8
        fit(
            net.freeze(arm.frozen), training, epochs=epochs, lr=0.05, schedule="onecycle", task=Exits(weights=arm.weights),
            progress=job.steps,
        )  # fmt: skip
        net.freeze(False)
        first = observe(net, left)
        clean = tune(first, macs=max(BUDGET, _least(first)))
        rows = [_row("digital", -1, "0 s", first, observe(net, test), clean)]
        for setting, hw, ages in _settings(job.scale):
            analog = mho.calibrate(mho.to_analog(net, hw, example=test.inputs[:2]), left)
            for number in range(self.chips[job.scale]):
                job.progress(f"{setting}, chip {number}")
                chip = mho.program(analog, seed=0, chip=number)
                for age in ages:
                    old = mho.fuse(chip.at(age), inplace=True)
                    assert isinstance(old, MultiExit)
                    rows.append(_row(setting, number, age, observe(old, left), observe(old, test, seed=1), clean))
        return rows

    def tables(self, results: Found) -> list[Table]:
        """Accuracy of every exit, of the chosen exit, and by entropy, at each setting and age."""
        return [_table(outcome.arm.label, outcome.first) for outcome in results.values()]

    def figures(self, results: Found) -> list[Figure]:
        """Accuracy of each exit over σ."""
        drawn = []
        for outcome in results.values():
            exits, sigmas = range(len(outcome.first[0]["accuracy"])), _sigmas(outcome.first)
            series = [
                Series(f"exit {k + 1}", points([_level(outcome.first, f"σ {s:g}", "0 s", k) for s in sigmas]), sigmas)
                for k in exits
            ]
            drawn.append(
                Figure(f"sigma-{outcome.arm.name}", outcome.arm.label, series, "accuracy (%)", "linear", "σ of a cell")
            )
        return drawn


def _least(answers: Answers) -> float:
    return answers.macs.deciding[0] / answers.macs.alone[-1]


def _row(setting: str, chip: int, age: str, choice: Answers, test: Answers, clean: Any) -> dict[str, Any]:
    """What one chip's exits give on the test, and what was chosen elsewhere gives there."""
    static, again = best_exit(choice), tune(choice, macs=max(BUDGET, _least(choice)))
    found = {"static": static.report(test), "clean": clean.report(test), "again": again.report(test)}
    return {
        "setting": setting, "chip": chip, "age": age, "samples": len(test),
        "accuracy": [round(test.accuracy(name), 6) for name in test.names],
        "recall": {name: [round(r, 4) for r in recalls] for name, recalls in test.per_class().items()},
        "static_exit": static.rule.exit + 1,  # type: ignore[attr-defined]
        **{f"{name}_accuracy": round(d.accuracy.value, 6) for name, d in found.items()},
        **{f"{name}_macs": round(d.macs_share, 6) for name, d in found.items()},
        "first_leave": round(decide(test, clean.rule).shares["exit1"], 6),
    }  # fmt: skip


def _of(rows: list[dict[str, Any]], setting: str, age: str) -> list[dict[str, Any]]:
    return [row for row in rows if (row["setting"], row["age"]) == (setting, age)]


def _sigmas(rows: list[dict[str, Any]]) -> list[float]:
    """Sizes that were measured."""
    there = {row["setting"] for row in rows}
    return [s for s in SIGMAS if f"σ {s:g}" in there]


def _level(rows: list[dict[str, Any]], setting: str, age: str, exit_: int) -> Interval:
    return mean_interval([row["accuracy"][exit_] for row in _of(rows, setting, age)])


def _table(label: str, rows: list[dict[str, Any]]) -> Table:
    names = [f"exit {k + 1}" for k in range(len(rows[0]["accuracy"]))]
    lines = []
    for setting, age in dict.fromkeys((row["setting"], row["age"]) for row in rows[1:]):
        at = _of(rows, setting, age)
        exits = [show_level(_level(rows, setting, age, k)) for k in range(len(names))]
        chosen = ", ".join(
            f"{e}: {sum(row['static_exit'] == e for row in at)}" for e in sorted({r["static_exit"] for r in at})
        )
        parts = [show_level(mean_interval([row[f"{n}_accuracy"] for row in at])) for n in ("static", "clean", "again")]
        macs = f"{100 * np.mean([row['clean_macs'] for row in at]):.0f} / {100 * np.mean([row['again_macs'] for row in at]):.0f}"
        lines.append([setting if setting != "pcm" else f"pcm, {age}", *exits, chosen, *parts, macs])
    head = [
        label,
        *names,
        "best exit: chips",
        "best exit (%)",
        "entropy, digital T (%)",
        "entropy, tuned again (%)",
        "MACs of both (%)",
    ]
    return Table(head, lines)


def _per_chip(rows: list[dict[str, Any]], exit_: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Accuracy (σ, chips)."""
    return np.array([[row["accuracy"][exit_] for row in _of(rows, f"σ {s:g}", "0 s")] for s in _sigmas(rows)])


def _faster(results: Found) -> Finding:
    """Slope over σ of the last exit less that of the first, chip by chip."""
    parts = []
    for outcome in results.values():
        x = np.array(_sigmas(outcome.first)) - np.mean(_sigmas(outcome.first))
        apart = _per_chip(outcome.first, -1) - _per_chip(outcome.first, 0)
        parts.append(below(f"{outcome.arm.label}, points for σ = 0.1", mean_interval(0.1 * (x @ apart) / (x @ x))))
    return every(*parts)


def _ahead(results: Found) -> Finding:
    """The last exit less the first at every σ."""
    return every(*(
        above(f"{outcome.arm.label}, σ {s:g}", mean_interval(apart))
        for outcome in results.values()
        for s, apart in zip(_sigmas(outcome.first), _per_chip(outcome.first, -1) - _per_chip(outcome.first, 0), strict=True)
    ))  # fmt: skip


def _again(results: Found) -> Finding:
    """Thresholds tuned again less those of the digital network, on pcm at the oldest age."""
    parts = []
    for outcome in results.values():
        gains = [row["again_accuracy"] - row["clean_accuracy"] for row in _of(outcome.first, "pcm", AGES[-1])]
        parts.append(above(f"{outcome.arm.label}, pcm after {AGES[-1]}", mean_interval(gains)))
    return every(*parts)


EarlyExits.claims = (
    Claim("A deeper exit falls faster with σ", _faster, _SLIDES),
    Claim("and is still ahead at every σ", _ahead, _SLIDES),
    Claim(
        "Thresholds tuned again on the aged chip are more accurate, within the same budget of multiply-accumulates",
        _again,
    ),
)
