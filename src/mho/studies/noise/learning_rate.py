"""Does the learning rate decide how much noise a network resists, and is it more than how far it was trained?"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from mho.data import Dataset, load
from mho.errors import NotFinite
from mho.statistics.intervals import mean_interval
from mho.studies.claim import Claim, Finding, above, below, both, every
from mho.studies.figure import Figure, Series, points
from mho.studies.noise.arm import DATA, NoiseArm, recipe
from mho.studies.noise.base import PROTOCOL, NoiseStudy
from mho.studies.noise.descent import EPOCHS, LOSS, descended
from mho.studies.noise.measured import Measured, Rows, difference, interval
from mho.studies.noise.ranks import correlation, spearman
from mho.studies.noise.settings import SEEDS, SETTINGS, absent_row, measured
from mho.studies.noise.sharpness import sharpness, tails
from mho.studies.noise.shown import accuracies, averages
from mho.studies.outcome import NotStored, Results
from mho.studies.study import Job, Scale
from mho.studies.table import Table

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
_NETWORK = {"smoke": "plain_cnn?width=4", "cpu": "plain_cnn", "full": "cifar_resnet?depth=20"}
_LEVEL: Mapping[Scale, tuple[int, int, float]] = {"smoke": (2, 3, 1.8), "cpu": (10, 20, 1.4), "full": (100, 200, 0.1)}
"""Epochs, most epochs, and the training loss of the comparison at equal loss."""
_BATCH: Mapping[Scale, int] = {"smoke": 32, "cpu": 32, "full": 128}
"""Images a step; few, so that low rates have come somewhere after ten passes over few images."""
_PAPER = "Fagbohungbe & Qian 2022, arXiv:2205.07856, abstract"
_CURVED = 300
"""Training images that curvature is measured on."""


@dataclass(frozen=True)
class RateArm(NoiseArm):
    """A learning rate; the recipe has it.

    Attributes:
        most: Epochs.
        level: Training loss at which networks of all rates are compared.
    """

    most: int = 1
    level: float = 0.0

    def rows(self, job: Job, **about: Any) -> list[dict[str, Any]]:
        """Train once, and measure the network of both comparisons."""
        test, ranges = load(self.data.test), load(self.data.ranges)
        nets = descended(
            self.recipe, job.seed, ranges, until=self.level, most=self.most, device=job.device, progress=job.steps
        )
        found: list[dict[str, Any]] = []
        for part in (EPOCHS, LOSS):
            if part not in nets:
                found.append({**absent_row("diverged, or the level was not reached", test), "part": part})
                continue
            net, losses = nets[part].net, nets[part].losses
            said = {"loss": losses[-1], "epochs": len(losses), **_shape(net, ranges), **about}
            try:
                rows = list(measured(net, test, self.settings, job.scale, progress=job.steps, **said))
            except NotFinite as error:
                rows = [absent_row(error.problem, test)]
            found += [{**row, "part": part} for row in rows]
        return found


Found = Results[RateArm, Rows]


def _shape(net: Any, data: Dataset) -> dict[str, float]:
    return {"sharpness": sharpness(net, data.inputs[:_CURVED], data.labels[:_CURVED]), **tails(net)}


def _rates(results: Found, part: str) -> list[tuple[float, Measured]]:
    """Those at which the networks of all seeds learned, in order: none is judged by the seeds that survived."""
    found = [(o.arm.recipe.lr, Measured(o, part)) for o in results.values()]
    held = sorted(((lr, arm) for lr, arm in found if arm.seeds and not arm.failed), key=lambda pair: pair[0])
    if len(held) < 3:
        raise NotStored(f"fewer than three rates gave networks ({part})", "measure them", path="rates")
    return held


def _product(arm: Measured, setting: str) -> Any:
    """A₀·A_avg, draws × seeds."""
    return arm.averages(setting) * arm.about("score")


def _sweet_spot(part: str) -> Any:
    """Whether a rate inside the range is better than both ends of it: chosen for each seed on the other seeds."""

    def check(results: Found) -> Finding:
        return every(*(_inside(results, part, setting) for setting in ("weights", "max")))

    return check


def _inside(results: Found, part: str, setting: str) -> Finding:
    held = _rates(results, part)
    seeds = sorted(set[int].intersection(*(set(arm.seeds) for _, arm in held)))
    if len(seeds) < 2:
        raise NotStored("one training seed is not enough to choose a rate on others", "measure another", path="seeds")
    products = np.stack([_product(arm, setting)[:, [arm.seeds.index(seed) for seed in seeds]] for _, arm in held])
    inner = products[1:-1]
    best = [1 + int(np.delete(inner, i, axis=2).mean(axis=(1, 2)).argmax()) for i in range(len(seeds))]
    chosen = np.stack([products[rate, :, i] for i, rate in enumerate(best)], axis=1)
    named = ", ".join(f"{held[rate][0]:g}" for rate in sorted(set(best)))
    of = f"noise on {SETTINGS[setting].label}: best inner rate on the other seeds, {named}"
    return both(*(
        above(f"{what}, {held[end][0]:g}", interval(chosen - products[end]))
        for what, end in ((f"{of}, against the smallest that learned", 0), ("against the largest", -1))
    ))  # fmt: skip


def _rate_matters(results: Found) -> Finding:
    held = _rates(results, LOSS)
    (small, first), (large, last) = held[0], held[-1]
    return every(*(
        above(f"rate {large:g} against {small:g} at equal loss, A_avg, noise on {SETTINGS[name].label}",
              difference(last, first, name))
        for name in ("weights", "max")
    ))  # fmt: skip


def _rises(results: Found) -> Finding:
    """Rates ten times apart, and the largest against its neighbour: A_avg at equal loss."""
    held = dict(_rates(results, LOSS))
    rates = [*held]
    steps = [(low, high) for low in rates for high in rates if abs(np.log10(high / low) - 1) < 0.1] + [
        (rates[-2], rates[-1])
    ]
    return every(*(
        above(f"noise on {SETTINGS[name].label}: {high:g} against {low:g}", difference(held[high], held[low], name))
        for name in ("weights", "max") for low, high in steps
    ))  # fmt: skip


def _sharp(results: Found) -> Finding:
    """A value a rate: networks of one rate are no independent ones."""
    parts = []
    for name in ("weights", "max"):
        values = [(arm.about("sharpness").mean(), arm.kept(name).mean()) for _, arm in _rates(results, EPOCHS)]
        what = (
            f"noise on {SETTINGS[name].label}: rank correlation over rates of sharpness and what is left above chance"
        )
        parts.append(below(what, spearman(*np.array(values).T), show=correlation))
    return every(*parts)


class LearningRate(NoiseStudy[RateArm]):
    """Arms: learning rates. Each training gives two networks: after the same epochs, and at the same training loss."""

    name = "noise-learning-rate"
    title = "Learning rates and the noise that a network resists"
    question = (
        "Is there a learning rate between the smallest and the largest at which accuracy and resistance to noise are best "
        "together; is it still there among networks trained to the same loss; and does the curvature of the loss tell beforehand?"
    )
    protocol = (
        f"{PROTOCOL} Nine constant rates from 1e-4 to 1, SGD with momentum 0.9, weight decay 5e-4, no augmentation. At equal "
        "epochs every network is trained as long; at equal loss each until the first epoch after which its loss on 1,000 "
        "training images is at the level, if it gets there in twice the epochs. A rate counts where the networks of all seeds "
        "learned. At `cpu` scale: plain CNN of four convolutions, the first 10,000 training images of CIFAR-10, 10 epochs with "
        "32 images a step, loss 1.4, the first 1,000 test images, 3 seeds, 10 draws; 35 minutes of a core: two thirds "
        "of training, the rest 2 kinds of noise × 6 sizes × 10 draws × 1,000 images × 54 networks at most. Sharpness is "
        "the largest eigenvalue of the Hessian on 300 training images in steps relative to each tensor's deviation. The best "
        "rate is chosen for each seed on the other seeds, and compared on that one."
    )
    sources = ("Fagbohungbe & Qian 2022, arXiv:2205.07856 (the claim)",)
    claims = (
        Claim("Accuracy × A_avg is best at a rate inside the range: a sweet spot", _sweet_spot(EPOCHS), _PAPER),
        Claim("The sweet spot is there among networks of equal training loss, too", _sweet_spot(LOSS)),
        Claim("At equal loss the largest rate gives networks that resist more than the smallest", _rate_matters),
        Claim("and it rises all along the rates", _rises),
        Claim("Sharper networks resist less", _sharp),
    )  # fmt: skip
    settings = ("weights", "max")

    def arms(self, scale: Scale) -> list[RateArm]:
        """The rates; the middle first."""
        data = DATA[scale][0]
        epochs, most, level = _LEVEL[scale]
        rates = RATES[2::2] if scale == "smoke" else RATES
        return [
            RateArm(
                f"rate-{lr:g}", f"{lr:g}", data.label, SEEDS[scale],
                recipe(_NETWORK[scale], data, scale, lr=lr, epochs=epochs, schedule="constant", augment=False,
                       batch=_BATCH[scale]), data,
                self.settings, most, level,
            )
            for lr in sorted(rates, key=lambda rate: abs(np.log(rate / 0.03)))
        ]  # fmt: skip

    def tables(self, results: Found) -> list[Table]:
        """Both comparisons: accuracy, what is left under noise, how far it was trained and the shape of the weights."""
        tables = []
        for part, what in ((EPOCHS, "equal epochs"), (LOSS, "equal loss")):
            arms = [Measured(o, part) for o in sorted(results.values(), key=lambda o: o.arm.recipe.lr)]
            first = accuracies(arms)
            rows = [
                (label, *rest, *(f"{arm.about(key).mean():.3g}" if arm.seeds else "–" for key in _SHAPE))
                for arm, (label, *rest) in zip(arms, first.rows, strict=True)
            ]
            tables.append(Table((f"rate, {what}", *first.head[1:], *_SHAPE.values()), rows))
            tables += averages([arm for arm in arms if arm.seeds], self.settings)
        return tables

    def figures(self, results: Found) -> list[Figure]:
        """Accuracy, A_avg and their product over the rate, for both comparisons; sharpness."""
        drawn = []
        for part, what in ((EPOCHS, "after the same epochs"), (LOSS, "at the same training loss")):
            with suppress(NotStored):
                drawn.append(_over_rates(part, f"Learning rate, {what}", _rates(results, part)))
        held = _rates(results, EPOCHS)
        curved = [mean_interval(arm.about("sharpness")) for _, arm in held]
        series = [Series("after the same epochs", curved, [lr for lr, _ in held])]
        return [*drawn, Figure("sharpness", "Sharpness", series, "largest curvature", "log", "learning rate")]


def _over_rates(name: str, title: str, held: list[tuple[float, Measured]]) -> Figure:
    x = [lr for lr, _ in held]
    lines = {
        "accuracy without noise": [mean_interval(arm.about("score")) for _, arm in held],
        "A_avg": [interval(arm.averages("weights")) for _, arm in held],
        "accuracy × A_avg": [interval(_product(arm, "weights")) for _, arm in held],
    }
    series = [Series(label, points(values), x) for label, values in lines.items()]
    return Figure(name, title, series, "%", "log", "learning rate", low=0.0, high=103.0, legend=True)


_SHAPE = {
    "epochs": "epochs", "loss": "training loss", "sharpness": "sharpness", "std": "std of weights",
    "max_over_std": "largest / std",
}  # fmt: skip
