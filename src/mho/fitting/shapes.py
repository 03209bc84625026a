"""`Shape`: a law that a fit may choose, as a basis of functions of r and as the `Law` of a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mho.devices.hermes import FITS
from mho.devices.law import SMALLEST, Law
from mho.devices.pcm import PROGRAMMING_US
from mho.devices.reram_cmo import PROGRAMMING_US as CMO_US
from mho.devices.reram_milo import SIGMA_US as MILO_US
from mho.devices.reram_wan import G_REFERENCE_US, SIGMA_US

Floats = NDArray[np.float64]
_TABLE_CELLS, _TABLE_MOST = 8, 24
"""Cells that each point of a table needs on average, and most points."""


@dataclass(frozen=True)
class Shape:
    """A family of laws, linear in its coefficients, or with ``link`` log in their exponent.

    Attributes:
        name: In words.
        basis: From r (N,) to its functions (N, q).
        size: q.
        law: From coefficients and the range of r that was measured to a `Law`; none where it is 0 everywhere.
        link: ``log``: the law is exp of the sum.
    """

    name: str
    basis: Callable[[Floats], Floats]
    size: int
    law: Callable[[Sequence[float], tuple[float, float]], Law | None]
    link: Literal["identity", "log"] = "identity"

    def values(self, coefficients: Floats, r: Floats) -> Floats:
        """The law at r for several sets of coefficients, (B, N)."""
        found = np.atleast_2d(coefficients) @ self.basis(r).T
        return np.asarray(np.exp(np.clip(found, -60, 60)) if self.link == "log" else found)


def none() -> Shape:
    """Zero everywhere."""
    return Shape("none", lambda r: np.zeros((len(r), 0)), 0, lambda c, span: None)


def polynomial(degree: int) -> Shape:
    """Of a degree, in r."""
    return Shape(
        ("constant", "linear in G", "quadratic in G", "cubic in G")[degree],
        lambda r: np.stack([r**k for k in range(degree + 1)], axis=1),
        degree + 1,
        lambda c, span: Law(coefficients=tuple(map(float, c))),
    )


def logarithm() -> Shape:
    """a + b ln r, held beyond what was measured."""

    def law(c: Sequence[float], span: tuple[float, float]) -> Law:
        ends = sorted(c[0] + c[1] * np.log(np.maximum(span, SMALLEST)))
        return Law(form="log", coefficients=(float(c[0]), float(c[1])), low=float(ends[0]), high=float(ends[1]))

    return Shape(
        "logarithmic in G", lambda r: np.stack([np.ones_like(r), np.log(np.maximum(r, SMALLEST))], axis=1), 2, law
    )


def power() -> Shape:
    """a r^b, held beyond what was measured."""

    def law(c: Sequence[float], span: tuple[float, float]) -> Law:
        ends = sorted(np.exp(c[0] + c[1] * np.log(np.maximum(span, SMALLEST))))
        return Law(
            form="power", coefficients=(float(np.exp(c[0])), float(c[1])), low=float(ends[0]), high=float(ends[1])
        )

    return Shape(
        "power of G", lambda r: np.stack([np.ones_like(r), np.log(np.maximum(r, SMALLEST))], axis=1), 2, law, "log"
    )


def table(at: Floats) -> Shape:
    """Straight lines between values at the targets."""

    def basis(r: Floats) -> Floats:
        return np.stack([np.interp(r, at, row) for row in np.eye(len(at))], axis=1)

    def law(c: Sequence[float], span: tuple[float, float]) -> Law:
        return Law(form="table", coefficients=tuple(map(float, c)), at=tuple(map(float, at)))

    return Shape(f"a value for each of the {len(at)} targets", basis, len(at), law)


def scaled(name: str, law: Law) -> Shape:
    """k times a law of this house."""

    def basis(r: Floats) -> Floats:
        import torch

        return np.asarray(law(torch.from_numpy(np.ascontiguousarray(r))).numpy())[:, None]

    def times(c: Sequence[float], span: tuple[float, float]) -> Law:
        k = float(c[0])
        first = (
            (k * law.coefficients[0], law.coefficients[1])
            if law.form == "power"
            else tuple(k * v for v in law.coefficients)
        )
        low, high = (None if v is None else k * v for v in (law.low, law.high))
        return law.replace(coefficients=first, low=low, high=high)

    return Shape(f"k times the law of '{name}'", basis, 1, times)


PCM_NU = Law(form="log", coefficients=(0.0244, -0.0155), low=0.049, high=0.1)
PCM_NU_STD = Law(form="log", coefficients=(-0.0059, -0.0125), low=0.008, high=0.045)
PCM_READING = Law(form="power", coefficients=(0.0088, -0.65), high=0.2)
"""The laws of `mho.devices.pcm.PCM`, which a test holds to it."""


def of_programming(targets_r: Floats, cells: int, g_max_us: float) -> list[Shape]:
    """What σ_p may be, from the fewest coefficients to the most."""
    count, rising = len(targets_r), bool(targets_r.min() > 0)

    def in_r(coefficients: Sequence[float], unit_us: float, size: float) -> Law:
        """A polynomial of g / unit_us, in r."""
        return Law(coefficients=tuple(c * size * (g_max_us / unit_us) ** k for k, c in enumerate(coefficients)))

    house = [
        scaled("pcm", in_r(PROGRAMMING_US, g_max_us, g_max_us / 25.0)),
        scaled("hermes", in_r(FITS[2].programming_us, g_max_us, g_max_us / FITS[2].g_max_us)),
        scaled("reram_wan", in_r(SIGMA_US[1.0], g_max_us, g_max_us / G_REFERENCE_US)),
        scaled("reram_milo", in_r(MILO_US, 1.0, 1.0)),
        scaled("reram_cmo", in_r(CMO_US["2%"], 1.0, 1.0)),
    ]
    found = [polynomial(0), *(house if count > 2 else [])]
    found += [power()] * (rising and count > 1)
    found += [polynomial(degree) for degree in (1, 2, 3) if count > degree + (degree > 1)]
    return found + [table(targets_r)] * (4 < count <= _TABLE_MOST and cells >= _TABLE_CELLS * count)


def of_bias(targets: int) -> list[Shape]:
    """What the systematic error of programming may be."""
    return [none(), polynomial(0), *([polynomial(1)] if targets > 1 else [])]


def of_nu(targets: int) -> list[Shape]:
    """What the mean drift exponent may be."""
    some = [scaled("pcm", PCM_NU), logarithm(), polynomial(1)] if targets > 2 else []
    return [none(), polynomial(0), *some, *([polynomial(2)] if targets > 4 else [])]


def of_nu_spread(targets: int) -> list[Shape]:
    """What the spread of the drift exponent may be."""
    return [none(), polynomial(0), *([scaled("pcm", PCM_NU_STD), logarithm()] if targets > 2 else [])]


def of_trend(targets: int) -> list[Shape]:
    """What the mean change in a decade may be."""
    return [none(), *(polynomial(degree) for degree in (0, 1, 2) if targets > degree + (degree > 1))]


def of_fluctuation(targets: int) -> list[Shape]:
    """What the size of the fluctuation in a decade may be."""
    some = [logarithm(), power()] if targets > 2 else []
    return [*(polynomial(degree) for degree in (0, 1, 2) if targets > degree + (degree > 1)), *some]


def of_reading(targets: int) -> list[Shape]:
    """What the read noise may be, relative to the conductance."""
    return [polynomial(0), *([scaled("pcm", PCM_READING), power()] if targets > 2 else [])]
