"""Rules by which a converter's range follows from the values that it met: quantiles, moving averages, deviations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from mho.arguments import number
from mho.errors import WrongSetting
from mho.units import share

Method = Literal["max", "quantile", "moving_average", "std", "error"]

_KEPT = 65_536
"""Values kept of each tensor: the 0.9999 quantile of 65,536 values rests on its 6 largest; several batches add up."""
_GOLDEN = 0.6180339887498949
"""Its multiples fill the unit interval evenly, whatever the step between two of them."""
_TAKES: dict[str, tuple[str, ...]] = {
    "max": (),
    "quantile": ("quantile",),
    "moving_average": ("quantile", "sigmas", "momentum"),
    "std": ("sigmas",),
    "error": (),
}


@dataclass(frozen=True)
class Rule:
    """How a range is found.

    Attributes:
        method: max, the largest |x|; quantile, that of all |x|; moving_average, r ← (1 - m) r + m r_k over batches k,
            with r_k the quantile of the batch, or a number of its standard deviations; std, a number of standard
            deviations of all values; error, the range of the smallest squared error at the layer's output.
        quantile: Share of the values that a range covers, in (0, 1].
        sigmas: Range in standard deviations, instead of a quantile; as published, it may exceed the largest value.
        momentum: m; None: 1/k, the plain mean over the batches.
    """

    method: Method
    quantile: float | None = 1.0
    sigmas: float | None = None
    momentum: float | None = None

    def moments(self) -> bool:
        """True when it takes the moments of all values."""
        return self.method == "std" or (self.method == "moving_average" and self.sigmas is not None)

    def range(self, values: Values) -> Tensor:
        """The range of `values`, scalar and positive; a layer that only ever sees zeros gets the range 1."""
        if self.method in ("max", "quantile"):
            return values.quantile(1.0 if self.method == "max" or self.quantile is None else self.quantile)
        if self.method == "std":
            return self._deviations(values, list(values.batches))
        value: Tensor | None = None
        for k, batch in enumerate(values.batches, 1):
            if self.sigmas is not None:
                found = self._deviations(values, [batch])
            else:
                found = values.quantile(1.0 if self.quantile is None else self.quantile, [batch])
            share = 1 / k if self.momentum is None else self.momentum
            value = found if value is None else value + share * (found - value)
        return torch.ones(()) if value is None else value

    def _deviations(self, values: Values, batches: list[int]) -> Tensor:
        value = values.deviation(batches) * (3.0 if self.sigmas is None else self.sigmas)
        if value > 0:
            return value
        return values.quantile(1.0, batches)


def rules(method: Method, adc_method: Method | None, quantile: Any, sigmas: Any, momentum: Any) -> tuple[Rule, Rule]:
    """The rules of the DACs and of the ADCs; an option counts for each of the two methods that takes it.

    Raises:
        WrongSetting: Unknown method, an option that neither takes, or a value outside its range.
    """
    methods = (method, method if adc_method is None else adc_method)
    for name in methods:
        if name not in get_args(Method):
            raise WrongSetting(f"unknown method {name!r}", f"one of {', '.join(get_args(Method))}", path="method")
    quantile = None if quantile is None else share(quantile, "quantile")
    sigmas = None if sigmas is None else number(sigmas, "sigmas", "3 is a usual choice")
    momentum = None if momentum is None else share(momentum, "momentum")
    options = {"quantile": quantile, "sigmas": sigmas, "momentum": momentum}
    for option, value in options.items():
        if value is not None and not any(option in _TAKES[name] for name in methods):
            able = ", ".join(name for name, taken in _TAKES.items() if option in taken)
            raise WrongSetting(
                f"{option} = {value} means nothing to method '{method}'", f"{able} can take it", path=option
            )
    if quantile is not None and not 0 < quantile <= 1:
        raise WrongSetting(f"quantile = {quantile} lies outside (0, 1]", "0.9999 covers all but one value in 10,000")
    if sigmas is not None and not 0 < sigmas < float("inf"):
        raise WrongSetting(f"sigmas = {sigmas} is not positive", "3 is a usual choice", path="sigmas")
    if momentum is not None and not 0 < momentum <= 1:
        raise WrongSetting(f"momentum = {momentum} lies outside (0, 1]", "None is the mean of all", path="momentum")
    if quantile is not None and sigmas is not None and "moving_average" in methods:
        raise WrongSetting("a moving average of both quantile and sigmas", "give one of them", path="sigmas")
    first, second = (Rule(name, quantile, sigmas, momentum) for name in methods)
    return first, second


class Values:
    """What is kept of the values that one converter met, by batch: an even sample of |x|, the largest, and two moments.

    Args:
        moments: Keep the moments, of all values.
    """

    def __init__(self, moments: bool) -> None:
        self.moments = moments
        self.batches: dict[int, list[Tensor]] = {}
        self._largest: dict[int, Tensor] = {}
        self._sums: dict[int, list[float]] = {}

    def add(self, x: Tensor, batch: int) -> None:
        """Values of any shape."""
        self.batches.setdefault(batch, []).append(_sample(x))
        if x.numel():
            largest = torch.stack(torch.aminmax(x.detach())).abs().max().float()
            self._largest[batch] = torch.maximum(largest, self._largest.get(batch, largest))
        if self.moments and x.numel():
            variance, mean = (float(v) for v in torch.var_mean(x.detach().float(), correction=0))
            sums = self._sums.setdefault(batch, [0.0, 0.0, 0.0])
            for i, value in enumerate((1.0, mean, variance + mean * mean)):
                sums[i] += x.numel() * value

    def sizes(self, batch: int | None = None) -> list[Tensor]:
        """|x|, of one batch or of all."""
        return self.batches[batch] if batch is not None else [part for parts in self.batches.values() for part in parts]

    def quantile(self, quantile: float, batches: list[int] | None = None) -> Tensor:
        """The quantile of |x| over some batches, or all: the largest of all values for 1, else that of their sample."""
        some = list(self.batches) if batches is None else batches
        found = [self._largest[batch] for batch in some if batch in self._largest]
        if not found:
            return torch.ones(())
        largest = torch.stack(found).max()
        largest = largest if largest != 0 else torch.ones_like(largest)
        if quantile == 1:
            return largest
        values = torch.cat([part for batch in some for part in self.sizes(batch)])
        value = torch.kthvalue(values, max(1, round(quantile * len(values)))).values
        return value if value > 0 else largest

    def deviation(self, batches: list[int]) -> Tensor:
        """The standard deviation (of the population) over some batches."""
        device = next((part.device for part in self.sizes()), None)
        number, first, second = (sum(self._sums[b][i] for b in batches if b in self._sums) for i in range(3))
        if not number:
            return torch.zeros((), device=device)
        return torch.tensor(max(second / number - (first / number) ** 2, 0.0) ** 0.5, device=device)


def _sample(x: Tensor) -> Tensor:
    """|x|, thinned evenly to at most `_KEPT` values: one of each stretch, at places that follow no pattern of the axes."""
    flat = x.detach().flatten()
    if flat.numel() > _KEPT:
        stretch = flat.numel() / _KEPT
        number = torch.arange(_KEPT, dtype=torch.float64)
        flat = flat[((number + (number * _GOLDEN).frac()) * stretch).long().to(flat.device)]
    return flat.abs().float()
