"""Do networks whose batch norms divide by L1 or TopK spreads resist noise better than with the standard deviation?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mho.studies.claim import Claim, Finding, above, every
from mho.studies.figure import Figure
from mho.studies.noise.arm import DATA, NoiseArm, recipe
from mho.studies.noise.base import CPU, NORMED, PROTOCOL, NoiseStudy, normed, read, within
from mho.studies.noise.measured import Measured, Rows, at_sizes, clean_difference, difference, interval, paired
from mho.studies.noise.settings import SEEDS, SETTINGS
from mho.studies.noise.shown import curves
from mho.studies.outcome import Results
from mho.studies.study import Scale

SCOPES = ("weights", "parameters", "all", "statistics")
KINDS = {"batch": "L2 (batch norm)", "l1": "L1", "topk": "TopK, k = 10"}
_PAPER = "Fagbohungbe & Qian 2022, arXiv:2205.04886, abstract"
_SAME = 0.02
"""Differences of A_avg below two points count as none."""
Found = Results[NoiseArm, Rows]


def _pairs(results: Found, kinds: tuple[str, ...] = ("l1", "topk")) -> list[tuple[str, Measured, Measured]]:
    """Name of the comparison, an arm, and the one with batch norm beside it."""
    base = normed(results, "batch")
    return [(KINDS[kind].partition(",")[0], normed(results, kind), base) for kind in kinds]


def _resists(scope: str) -> Callable[[Results[Any, Any]], Finding]:
    def check(results: Found) -> Finding:
        return every(*(above(f"{name} against L2", difference(a, b, scope)) for name, a, b in _pairs(results)))

    return check


def _guessed(results: Found) -> Finding:
    """The same with answers that are not finite as guesses: what argmax makes of them is one class."""
    parts = []
    for name, a, b in _pairs(results):
        for scope in ("all", "statistics"):
            gain = interval(paired(a, b, *(arm.averages(scope, guessed=True) for arm in (a, b))))
            broken = [arm.not_finite(scope) for arm in (a, b)]
            parts.append(
                above(f"{name} against L2, {SETTINGS[scope].label} ({broken[0]} and {broken[1]} not finite)", gain)
            )
    return every(*parts)


def _no_sacrifice(results: Found) -> Finding:
    return every(*(
        above(f"{name} against L2, accuracy without noise", clean_difference(a, b), -0.01) for name, a, b in _pairs(results)
    ))  # fmt: skip


def _at_every_size(results: Found) -> Finding:
    return every(*(
        above(f"{name} against L2, {where}", gain) for name, a, b in _pairs(results) for where, gain in at_sizes(a, b, "all")
    ))  # fmt: skip


def _same_under_weights(results: Found) -> Finding:
    return every(*(within(f"{name} against L2", difference(a, b, "weights"), _SAME) for name, a, b in _pairs(results)))


def _statistic_decides(results: Found) -> Finding:
    parts = []
    for name, a, b in _pairs(results):
        gain = paired(a, b, *(arm.averages("statistics") - arm.averages("weights") for arm in (a, b)))
        parts.append(
            above(f"{name}: gain under noise on the statistics more than under noise on weights by", interval(gain))
        )
    return every(*parts)


class NormType(NoiseStudy[NoiseArm]):
    """Arms: the same network with L2, L1 and TopK batch norms, under noise on four parts of what is stored."""

    name = "noise-norm-type"
    title = "L1 and TopK batch norms under noise: the stored statistic, or the weights"
    question = (
        "Do L1 and TopK batch norms make a network resist noise better than the usual one? At inference all three are the same "
        "scale and shift a channel, so that a difference can only come from the weights that were learned, or from noise on "
        "the statistic that is stored: a variance, or a spread."
    )
    protocol = (
        f"{PROTOCOL}{CPU} ResNet-8; `full`: ResNet-44 and VGG16. The k of TopK is 10; that of the paper was not to be read. A "
        "stored spread and a stored variance have other names, so other draws. At `cpu` scale 20 minutes of a core: half for "
        "training, beside the networks of `noise-batchnorm`, half for 4 kinds of noise × 6 sizes × 10 draws × 1,000 images × 9 "
        "networks."
    )
    sources = (
        "Fagbohungbe & Qian 2022, arXiv:2205.04886 (the claims)", "Hoffer et al. 2018, arXiv:1803.01814 (L1 and TopK norms)",
    )  # fmt: skip
    claims = (
        Claim("At inference the three are one affine map: under noise on weights alone they differ by less than 2 points",
              _same_under_weights),
        *(Claim(f"L1 and TopK resist noise better than L2; on: {SETTINGS[scope].label}", _resists(scope), _PAPER)
          for scope in SCOPES),
        Claim("That does not hang on answers that are not finite, which a negative variance gives: they count as guesses here",
              _guessed),
        Claim("They are more accurate at every size of noise on every stored tensor", _at_every_size),
        Claim("What L1 and TopK win comes from the stored statistic", _statistic_decides),
        Claim("L1 and TopK cost no accuracy without noise: less than a point", _no_sacrifice, _PAPER),
    )  # fmt: skip
    settings = SCOPES

    def arms(self, scale: Scale) -> list[NoiseArm]:
        """Every network and data set of the scale with the three norms."""
        data = DATA[scale][:2] if scale == "full" else DATA[scale][:1]
        found = []
        for where in data:
            for spec in NORMED[scale]:
                group = f"{spec.partition('?')[0]}-{where.label.lower()}"
                for kind, label in KINDS.items():
                    made = recipe(spec, where, scale, norm=kind)
                    found.append(NoiseArm(f"{group}-{kind}", label, group, SEEDS[scale], made, where, SCOPES))
        return found

    def figures(self, results: Found) -> list[Figure]:
        """a(η) under noise on weights, and on the statistics."""
        arms = read(results)
        return [curves(scope, f"Noise on: {SETTINGS[scope].label}", arms, scope) for scope in SCOPES]
