"""What rows of `cim-resnet` decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, product

import numpy as np

from mho.statistics.curves import RESAMPLES
from mho.statistics.intervals import Interval
from mho.studies.cim_resnet.held import (
    Found,
    Held,
    Table,
    definitions,
    gain,
    interval,
    one,
    slope,
    slope_of_depth,
    under,
)
from mho.studies.cim_resnet.networks import data_of
from mho.studies.claim import Claim, Finding, Verdict, above, below, every
from mho.studies.definitions import DEFINITIONS, MAIN, SIGMAS, SLIDES
from mho.studies.noise.ranks import FEWEST, correlation, spearman
from mho.studies.outcome import NotStored, show_points

YANG = "Yang & Sze 2019, as the NTU slides relay it"
DEPTHS = ("resnet20", "resnet32", "resnet44", "resnet56")
TUNED = ("tuned20", "tuned32", "tuned44", "tuned56")
THEIRS = (0.883, 0.855, 0.702, 0.411, 0.2)
"""Accuracy of the slides' ResNet-20 at each σ."""
_WITHIN, _SURE = 0.05, 0.95


def _depths(results: Found, definition: str, names: Sequence[str] = DEPTHS) -> list[Held]:
    return [one(results, definition, name) for name in names]


def _label(definition: str) -> str:
    return DEFINITIONS[definition].label


def _deeper(names: Sequence[str], of: Callable[[Sequence[Held]], Interval] = slope) -> Callable[[Found], Finding]:
    def check(results: Found) -> Finding:
        return every(*(below(_label(d), of(_depths(results, d, names))) for d in definitions(results, *names)))

    return check


def _crosses(results: Found) -> Finding:
    """ResNet-44 and 56 against 20 and 32 at little and at much variation, as the slides define σ."""
    parts = []
    for d in [d for d in definitions(results, *DEPTHS) if d in MAIN[:2]]:
        for sigma in SIGMAS[1:]:
            flat, flat2, deep, deep2 = (net.accuracy(sigma) for net in _depths(results, d))
            judge = above if sigma < 0.1 else below
            if sigma != 0.1:
                parts.append(judge(f"{_label(d)}, σ {sigma:g}", interval((deep + deep2 - flat - flat2) / 2)))
    if not parts:
        raise NotStored("neither offset definition is stored for all depths", "measure it", path="ideal")
    return every(*parts)


def _pairs(name: str, other: str) -> Callable[[Found], Finding]:
    def check(results: Found) -> Finding:
        there = [net for net in DEPTHS if f"{name}-{net}" in results and f"{other}-{net}" in results]
        if not there:
            raise NotStored(f"'{name}' and '{other}' are not stored for one network", "measure them", path=name)
        parts = []
        for net in there:
            a, b = one(results, name, net), one(results, other, net)
            parts.append(above(a.net.label, gain(a, b)))
        return every(*parts)

    return check


def _closest(results: Found) -> Finding:
    """Root mean square of what relative accuracy differs by from the slides'; chips drawn again."""
    theirs, rng = np.array(THEIRS[1:]) / THEIRS[0], np.random.default_rng(0)
    names = [d for d in definitions(results, "resnet20") if not d.endswith("-free")]  # the same σ with other converters
    tables = [_relative(one(results, d, "resnet20")) for d in names]
    draws = rng.integers(0, len(tables[0]), (2000, len(tables[0])))
    apart = np.array([_rms(table[draws].mean(axis=1), theirs) for table in tables])
    found = {d: float(_rms(table.mean(axis=0), theirs)) for d, table in zip(names, tables, strict=True)}
    order = sorted(found, key=lambda d: found[d])
    if "ideal" not in found or len(order) < 2:
        raise NotStored("there are no two definitions to tell apart", "measure them", path="ideal")
    share = float(np.mean(apart.argmin(axis=0) == names.index("ideal")))
    verdict: Verdict = "holds" if share > _SURE else "fails" if share < 1 - _SURE else "depends"
    told = ", ".join(f"{_label(d)} {100 * found[d]:.1f} points" for d in order[:4])
    return Finding(
        verdict, f"distance to the slides' relative accuracy: {told}; closest in {100 * share:.0f} % of bootstraps"
    )


def _relative(held: Held) -> Table:
    clean = held.accuracy(0.0).mean()
    return np.concatenate([held.accuracy(s)[:, :1] for s in SIGMAS[1:]], axis=1) / clean


def _rms(curves: Table, theirs: Table) -> Table:
    return np.asarray(np.sqrt(np.mean((curves - theirs) ** 2, axis=-1)))


def _growing(names: Sequence[str], unit: str, judge: Callable[[str, Interval], Finding]) -> Callable[[Found], Finding]:
    """What each network keeps less what the one before it keeps; each was trained here, with several seeds."""

    def check(results: Found) -> Finding:
        parts = []
        for d in [d for d in MAIN if d in definitions(results, *names)]:
            nets = [one(results, d, name) for name in names]
            parts += [
                judge(f"{_label(d)}, {b.net.factor} over {a.net.factor} {unit}", gain(b, a)) for a, b in pairwise(nets)
            ]
        return every(*parts)

    return check


_RESNETS = ("kernel1", "width16", "kernel5")


def _kernels(*families: tuple[str, str, str], judge: Callable[[str, Interval], Finding]) -> Callable[[Found], Finding]:
    """Of each family of filters of 1, 3 and 5: what 3 keeps less what 1 keeps, and 5 less 3."""

    def check(results: Found) -> Finding:
        parts = []
        for names in families:
            for d in [d for d in MAIN if d in definitions(results, *names)]:
                small, middle, large = (one(results, d, name) for name in names)
                where = data_of(middle.net, results.scale).label
                label = f"{middle.net.label.partition(',')[0]}, {where}, {_label(d)}"
                parts += [judge(f"{label}, 3 over 1", gain(middle, small)), judge("5 over 3", gain(large, middle))]
        return every(*parts)

    return check


def _same(what: str, found: Interval) -> Finding:
    """Whether two keep the same within `_WITHIN`."""
    inside = found.low > -_WITHIN and found.high < _WITHIN
    outside = found.low > _WITHIN or found.high < -_WITHIN
    return Finding("holds" if inside else "fails" if outside else "depends", f"{what} {show_points(found)}")


def _no_relation(results: Found) -> Finding:
    """Among networks of one kind on one data set at a time; those that were tuned are the published ones again."""
    parts = []
    for d, (origin, data) in product(MAIN, (("published", 0), ("trained", 0), ("trained", 1))):
        nets = [held for held in under(results, d, origin).values() if held.net.data == data]
        if len(nets) < FEWEST:
            continue
        found = spearman([n.accuracy(0.0).mean() for n in nets], [n.kept().mean() for n in nets])
        clear = found.low > 0 or found.high < 0
        verdict: Verdict = "fails" if clear else "holds" if max(-found.low, found.high) < 0.5 else "depends"
        where = data_of(nets[0].net, results.scale).label
        parts.append(Finding(verdict, f"{_label(d)}, {len(nets)} {origin} networks, {where} {correlation(found)}"))
    if not parts:
        raise NotStored(
            f"no definition is stored for {FEWEST} networks of one kind on one data set", "measure them", path="ideal"
        )
    return every(*parts)


def _turns(results: Found) -> Finding:
    """ResNet-20 ahead of the SqueezeNet at 0 and behind at some σ, of which four are asked; chips and seeds drawn again.

    Chips are the same for both networks, their images too; training seeds are of each alone.
    """
    parts = []
    for d in [d for d in MAIN if d in definitions(results, "width16", "squeeze")]:
        resnet, other = (one(results, d, name) for name in ("width16", "squeeze"))
        chips, seeds = resnet.accuracy(0.0).shape
        drawn = _shares(chips, 0), _shares(seeds, 1), _shares(other.accuracy(0.0).shape[1], 2)
        leads = [_lead(resnet.accuracy(s), other.accuracy(s), *drawn) for s in SIGMAS]
        shares = [float(np.mean((leads[0] > 0) & (lead < 0))) for lead in leads[1:]]
        sure = 1 - (1 - _SURE) / len(shares)
        verdict: Verdict = "holds" if max(shares) > sure else "fails" if max(shares) < 1 - _SURE else "depends"
        told = ", ".join(f"{share:.2f} at {s:g}" for s, share in zip(SIGMAS[1:], shares, strict=True))
        parts.append(Finding(verdict, f"{_label(d)}: bootstrap probability {told}"))
    return every(*parts)


def _shares(count: int, seed: int) -> Table:
    """How often each of so many is drawn in each bootstrap, as a share: (RESAMPLES, count)."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES) / count


def _lead(a: Table, b: Table, chips: Table, a_seeds: Table, b_seeds: Table) -> Table:
    """Mean of `a` less that of `b`, each chips × seeds, in every bootstrap."""
    means = [np.einsum("bd,ds,bs->b", chips, table, seeds) for table, seeds in ((a, a_seeds), (b, b_seeds))]
    return np.asarray(means[0] - means[1])


def _ten_bits(results: Found) -> Finding:
    parts = []
    for net in [n for n in DEPTHS if f"ideal-{n}" in results and f"ideal-free-{n}" in results]:
        a, b = one(results, "ideal", net), one(results, "ideal-free", net)
        lost = np.mean([a.accuracy(s) - b.accuracy(s) for s in SIGMAS], axis=0)
        parts.append(above(a.net.label, interval(lost), -0.02))
    if not parts:
        raise NotStored("ideal converters are not stored", "measure them", path="ideal-free-resnet20")
    return every(*parts)


def converters(results: Found, sign: str, rows: int) -> Held:
    """An arm of converters."""
    return Held(results[f"converters-{sign}-{rows}"], results.scale)


def _taller(results: Found) -> Finding:
    parts = []
    for sign in ("offset", "pair"):
        low, high = (converters(results, sign, rows) for rows in (64, 256))
        parts += [
            above(f"{sign}, {bits} bits", interval(low.accuracy(0.0, bits=bits) - high.accuracy(0.0, bits=bits)))
            for bits in (4, 5, 6)
        ]
    return every(*parts)


def _seven_bits(results: Found) -> Finding:
    parts = []
    for sign in ("offset", "pair"):
        held = converters(results, sign, 128)
        lost = held.accuracy(0.1, bits=7) - held.accuracy(0.1, bits=10)
        parts.append(above(f"{sign}, 128 rows, σ 0.1", interval(lost), -0.02))
    return every(*parts)


CLAIMS = (
    Claim("Deeper networks fall faster: what they keep above chance, for 12 layers more", _deeper(DEPTHS), SLIDES,
          "ResNet-20 88.3 to 20 %, ResNet-56 91.1 to 17 %, one draw a σ"),
    Claim("and it is depth, beyond what four networks scatter around a line", _deeper(DEPTHS, slope_of_depth)),
    Claim("Deeper networks fall faster when they are fine-tuned quantisation-aware, too", _deeper(TUNED), SLIDES),
    Claim("ResNet-44 and 56 are ahead of 20 and 32 at σ = 0.05, and behind from 0.15 on", _crosses, SLIDES,
          "44 and 56 have 86 and 88.6 % against 85.5 and 85.6 %, then 28.9 and 34.1 % against 41.1 and 44.6 %"),
    Claim("The slides' σ is a share of each cell's own conductance, offset cells, one scale a column", _closest),
    Claim("Differential pairs keep more than offset cells where σ is a share of each cell's own conductance",
          _pairs("pair", "ideal")),
    Claim("and where it is a share of g_max", _pairs("pair-gmax", "gmax")),
    Claim("Networks of more layers fall faster, trained here on another data set",
          _growing(("second-resnet8", "second-resnet14", "second-resnet20"), "layers", below)),
    Claim("Narrower networks fall faster", _growing(("width8", "width16", "width32"), "channels", above), SLIDES,
          "8 channels 82.8 to 12.3 %, 32 channels 90.9 to 75.4 %"),
    Claim("The size of the filters hardly matters: within 5 points", _kernels(_RESNETS, judge=_same), SLIDES,
          "5 × 5 88.7 to 20.2 %, 3 × 3 88.3 to 20 %, 1 × 1 53.8 to 12.8 %"),
    Claim("nor in a network that is no ResNet, nor on another data set",
          _kernels(("plain1", "plain3", "plain5"), ("second1", "second3", "second5"), judge=_same)),
    Claim("Networks of smaller filters fall faster",
          _kernels(_RESNETS, ("plain1", "plain3", "plain5"), ("second1", "second3", "second5"), judge=above), YANG),
    Claim("Accuracy without variation and what is kept have no clear relation", _no_relation, YANG),
    Claim("ResNet is ahead of a SqueezeNet without variation and behind with much", _turns, YANG),
    Claim("Converters of 10 bits do not limit: they cost less than 2 points", _ten_bits, SLIDES),
    Claim("Taller arrays need finer converters: 64 rows against 256, without variation", _taller),
    Claim("7 bits are enough on 128 rows: they cost less than 2 points against 10", _seven_bits),
)  # fmt: skip
