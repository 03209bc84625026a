"""Which architectures resist noise, does depth help, and does it depend on what the noise is a share of?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mho.statistics.curves import RESAMPLES, expanded
from mho.statistics.intervals import Interval
from mho.studies.claim import Claim, Finding, Verdict, above, below, both, every
from mho.studies.figure import Figure, Series, points
from mho.studies.noise.arm import DATA
from mho.studies.noise.base import PROTOCOL, NoiseStudy, read
from mho.studies.noise.measured import Measured, Rows, interval
from mho.studies.noise.networks import PUBLISHED, SETTINGS, NetworkArm, all_networks
from mho.studies.noise.ranks import FEWEST, correlation, kendall, places, redrawn, spearman
from mho.studies.noise.settings import SETTINGS as NOISES
from mho.studies.noise.shown import accuracies, averages, curves, level
from mho.studies.outcome import NotStored, Results, show_points
from mho.studies.study import Scale
from mho.studies.table import Table

_BENCHMARK = "Fagbohungbe & Qian 2020, arXiv:2011.11840, abstract"
_YANG = "Yang & Sze 2019, arXiv:1912.12167, as a later study relays it"
_BENCHMARK_NOISE = f"{_BENCHMARK}; what its noise is relative to was not to be read"
_YANG_NOISE = f"{_YANG}; what its noise is relative to was not to be read"
_SIMILAR = 0.05
_SURE = 0.95
Found = Results[NetworkArm, Rows]


def _group(results: Found, group: str) -> dict[str, Measured]:
    """Networks of a data set that learned, by their short names."""
    held = {o.arm.name.removeprefix(f"{group}-"): Measured(o) for o in results.values() if o.arm.group == group}
    return {name: arm for name, arm in held.items() if arm.seeds}


def _trained(results: Found) -> dict[str, dict[str, Measured]]:
    """Those that were trained here, by data set."""
    groups = {o.arm.group: o.arm.data.label for o in results.values() if o.arm.group != PUBLISHED}
    return {label: _group(results, group) for group, label in groups.items()}


def _of(arms: Mapping[str, Measured], name: str) -> Measured:
    if name not in arms:
        raise NotStored(f"network '{name}' is not stored, or learned nothing", "measure it", path=name)
    return arms[name]


def _gain(one: Measured, other: Measured, setting: str) -> Interval:
    """What one network keeps above chance, less what another of other layers does: neither draws nor seeds are paired, and
    half-widths add in squares."""
    return _less(interval(one.kept(setting)), interval(other.kept(setting)))


def _less(a: Interval, b: Interval) -> Interval:
    value, half = a.value - b.value, float(np.hypot(a.half_width, b.half_width))
    return Interval.around(value, half)


_STEPS = (("plain4", "plain6"), ("plain6", "plain8"), ("resnet8", "resnet14"), ("resnet14", "resnet20"))
_LONGEST = ("cifar10_resnet20", "cifar10_resnet56")


def _depth(setting: str, judge: Callable[[str, Interval], Finding]) -> Callable[[Results[Any, Any]], Finding]:
    def check(results: Found) -> Finding:
        pairs = [(group, arms, *step) for group, arms in _trained(results).items() for step in _STEPS]
        if published := _group(results, PUBLISHED):
            pairs.append((PUBLISHED, published, *_LONGEST))
        return every(*(
            judge(f"{group}: {_of(arms, deep).label} against {_of(arms, flat).label}",
                  _gain(_of(arms, deep), _of(arms, flat), setting))
            for group, arms, flat, deep in pairs
        ))  # fmt: skip

    return check


def _turns(results: Found) -> Finding:
    parts = []
    for group, arms in _trained(results).items():
        deep, flat = _of(arms, "resnet20"), _of(arms, "resnet8")
        parts.append(both(
            above(f"{group}: ResNet-20 against ResNet-8, of the deviation", _gain(deep, flat, "weights")),
            below("of the largest", _gain(deep, flat, "max")),
        ))  # fmt: skip
    return every(*parts)


def _vgg(results: Found) -> Finding:
    parts = []
    for (group, arms), setting in product(_trained(results).items(), SETTINGS):
        best = _of(arms, "vgg")
        like = [arm for arm in arms.values() if arm is not best and abs(arm.clean.value - best.clean.value) <= _SIMILAR]
        parts += [
            above(f"{group}, {NOISES[setting].label}: against {arm.label}", _gain(best, arm, setting)) for arm in like
        ]
    return every(*parts) if parts else Finding("open", "no other network is as accurate")


def _parameters(results: Found) -> Finding:
    parts = []
    for group, held in _trained(results).items():
        arms = list(held.values())
        sizes = [arm.about("parameters")[0] for arm in arms]
        ways = {"A_avg": Measured.averages, "what is left above chance": Measured.kept}
        parts += [
            above(f"{group}: rank correlation of parameters and {what}",
                  spearman(sizes, [of(arm, "weights").mean() for arm in arms]), show=correlation)
            for what, of in ways.items()
        ]  # fmt: skip
    return every(*parts)


def _tasks(results: Found) -> Finding:
    return every(*(_alike(results, setting) for setting in SETTINGS))


def _alike(results: Found, setting: str) -> Finding:
    """τ between training seeds on a data set less τ between data sets, of rankings by one seed each; networks drawn again."""
    groups = _trained(results)
    if len(groups) < 2:
        raise NotStored("one data set alone is stored", "measure another", path="groups")
    one, other = [*groups.values()][:2]
    names = [name for name in one if name in other]
    seeds = min(len(arms[name].seeds) for arms in (one, other) for name in names) if len(names) >= FEWEST else 0
    if seeds < 2:
        raise NotStored(
            f"{len(names)} networks with {seeds} seeds on both", f"measure {FEWEST} with two", path="groups"
        )
    here, there = (np.array([arms[n].kept(setting).mean(axis=0)[:seeds] for n in names]).T for arms in (one, other))

    def taus(rows: NDArray[np.int64]) -> tuple[float, float]:
        a, b = here[:, rows], there[:, rows]
        same = [kendall(x[i], x[j]) for x in (a, b) for i, j in combinations(range(seeds), 2)]
        return float(np.mean(same)), float(np.mean([kendall(x, y) for x, y in product(a, b)]))

    same, across = taus(np.arange(len(names)))
    rng = np.random.default_rng(0)
    found = [np.subtract(*taus(rng.integers(0, len(names), len(names)))) for _ in range(RESAMPLES)]
    low, high = expanded(np.array(found), len(names), _SURE)
    what = f"{NOISES[setting].label}: Kendall's τ {across:+.2f} between data sets, {same:+.2f} between training seeds on one"
    return above(f"{what}; difference", Interval(same - across, low, high), show=correlation)


def _inversion(results: Found) -> Finding:
    """Accuracy of ResNet-20 less SqueezeNet's without noise, and at the largest size at which SqueezeNet is still above chance:
    below that there is no order. Beside it the share of draws and seeds, drawn again, in which the two change places."""
    parts = []
    for (group, arms), setting in product(_trained(results).items(), SETTINGS):
        pair = (_of(arms, "resnet20"), _of(arms, "squeezenet"))
        etas, left = pair[0].shares(setting)[0], [interval(table) for table in pair[1].scores(setting)]
        seen = [i for i, found in enumerate(left) if found.low > float(pair[1].about("chance")[0])]
        if not seen:
            raise NotStored(
                f"SqueezeNet is at chance under every {NOISES[setting].label}", "measure smaller η", path=setting
            )
        noisy = [arm.scores(setting)[seen[-1]] for arm in pair]
        clean = [np.broadcast_to(arm.about("score"), table.shape) for arm, table in zip(pair, noisy, strict=True)]
        first, last = (redrawn(tables[0], 0) - redrawn(tables[1], 1) for tables in (clean, noisy))
        share = float(np.mean((first > 0) & (last < 0)))
        before, behind = (_less(*map(interval, tables)) for tables in (clean, noisy))
        verdict: Verdict = "depends"
        if before.low > 0 and behind.high < 0:
            verdict = "holds"
        elif behind.low >= 0 or before.high <= 0:
            verdict = "fails"
        what = f"{group}, {NOISES[setting].label}: {show_points(before)} without noise, {show_points(behind)} at η = "
        parts.append(Finding(verdict, f"{what}{etas[seen[-1]]:g}, bootstrap probability of a change {share:.2f}"))
    return every(*parts)


def _filters(results: Found) -> Finding:
    pairs = (("5 × 5 against 3 × 3", "plain4-5x5", "plain4"), ("3 × 3 against 1 × 1", "plain4", "plain4-1x1"))
    return every(*(
        above(f"{group}: {what}, noise on {NOISES[setting].label}", _gain(_of(arms, large), _of(arms, small), setting))
        for group, arms in _trained(results).items() for setting in SETTINGS for what, large, small in pairs
    ))  # fmt: skip


class Architectures(NoiseStudy[NetworkArm]):
    """Arms: architectures on data sets, and published networks, under noise relative to two things."""

    name = "noise-architectures"
    title = "Which architectures resist noise, and relative to what"
    question = (
        "Which architectures resist noise on their weights best; do deeper and larger ones resist more; is it the same on "
        "another data set; and does the ranking of depth turn around between noise relative to a tensor's standard deviation, as "
        "one line of studies has it, and noise relative to full scale, as the other has it?"
    )
    protocol = (
        f"{PROTOCOL} Thirteen networks: SGD with one cycle up to a rate of 0.05, weight decay 5e-4 (the ViT: AdamW, 2e-3, "
        "0.05); batch norm behind every convolution but LeNet's, layer norms in the ViT. At `cpu` scale: the first 10,000 "
        "training images of CIFAR-10, 8 epochs with crops and flips, and the first 6,000 of MNIST, 4 epochs, 64 images a "
        "step, in bfloat16 mixed precision (the ViT: float32); the first 500 test images, 3 seeds, 10 draws; six published "
        "networks on 500 images of their own test sets. `full` adds ResNet-44, VGG16, CIFAR-100 and Fashion-MNIST. Half an "
        "hour on two cores with `--workers 2`: 84 networks, 2 kinds of noise × 6 sizes × 10 draws × 500 images. Networks "
        "differ in accuracy, so what they keep above chance is compared; of parameters A_avg, the paper's measure, is, too. "
        "Networks of other layers share no draws: differences between them have both networks' intervals. A published network "
        "is one training: its intervals are over draws alone. Ranks are redrawn over seeds and draws: expanded percentiles."
    )
    sources = ("Fagbohungbe & Qian 2020, arXiv:2011.11840", "Yang & Sze 2019, arXiv:1912.12167")
    claims = (
        Claim("Deeper networks resist noise relative to the standard deviation more", _depth("weights", above), _BENCHMARK_NOISE),
        Claim("Deeper networks resist noise relative to the largest weight less", _depth("max", below), _YANG_NOISE),
        Claim("The ranking of depth turns around between the two", _turns),
        Claim("VGG resists most among networks that are as accurate, within 5 points", _vgg, _BENCHMARK),
        Claim("Networks with more parameters resist more", _parameters, _BENCHMARK),
        Claim("The ranking depends on the data set, more than on the training seed", _tasks, _BENCHMARK),
        Claim("ResNet is ahead of SqueezeNet without noise and behind under much of it", _inversion, _YANG),
        Claim("Larger filters keep more: 5 × 5, then 3 × 3, then 1 × 1", _filters, _YANG),
    )  # fmt: skip
    settings = SETTINGS

    def arms(self, scale: Scale) -> list[NetworkArm]:
        """The first data set, the others, the published networks."""
        return all_networks(scale)

    def tables(self, results: Found) -> list[Table]:
        """Of each data set: ranks, then every number."""
        found = []
        for group in dict.fromkeys(outcome.arm.group for outcome in results.values()):
            arms = [arm for arm in read(results) if arm.group == group]
            found += [_ranks(results, group), accuracies(arms, group), *averages(arms, self.settings, group)]
        return found

    def figures(self, results: Found) -> list[Figure]:
        """A_avg of every network relative to both; a(η) by depth."""
        drawn = []
        for data in DATA[results.scale]:
            group = data.label.lower()
            arms = _group(results, group)
            order = sorted(arms.values(), key=lambda arm: -arm.averages("weights").mean())
            series = [
                Series(NOISES[name].label, points([interval(arm.averages(name)) for arm in order]), range(len(order)), "points")
                for name in SETTINGS
            ]  # fmt: skip
            title = f"{data.label}: what is left under noise on weights"
            if order:
                drawn.append(Figure(f"networks-{group}", title, series, "A_avg (%)", [arm.label for arm in order], "network",
                                    legend=True))  # fmt: skip
            deep = [arm for name, arm in arms.items() if name.startswith(("resnet", "squeeze"))]
            drawn += [
                curves(f"depth-{name}-{group}", f"{data.label}, noise on: {NOISES[name].label}", deep, name)
                for name in SETTINGS if deep
            ]  # fmt: skip
        return drawn


def _ranks(results: Found, group: str) -> Table:
    arms = list(_group(results, group).values())
    ways = [(of, name) for name in SETTINGS for of in ("A_avg", "above chance")]
    by_way = [places([(arm.averages if of == "A_avg" else arm.kept)(name) for arm in arms]) for of, name in ways]
    clean = rankdata([-arm.clean.value for arm in arms])
    rows = [
        (arm.label, f"{arm.about('parameters')[0]:.0f}", level(arm.clean), f"{first:g}",
         *(f"{ranks[i].value:g} [{ranks[i].low:g}, {ranks[i].high:g}]" for ranks in by_way))
        for i, (arm, first) in enumerate(zip(arms, clean, strict=True))
    ]  # fmt: skip
    head = (
        group,
        "parameters",
        "accuracy without noise (%)",
        "rank of it",
        *(f"rank of {of}, {NOISES[name].label}" for of, name in ways),
    )
    return Table(head, rows)
