"""`RecalibrateNorms`: the running statistics of batch norms, taken anew on the aged chip (AdaBS)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from mho.errors import BadInput, NotYet, WrongSetting
from mho.training.recalibration.base import Recalibration
from mho.training.recalibration.moments import Moments

_WITHOUT = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm, _InstanceNorm)


@dataclass(frozen=True, eq=False, repr=False)
class RecalibrateNorms(Recalibration):
    """Running mean and variance of every batch norm, recomputed on the aged chip from inputs without labels.

    The statistics are those of all values of all batches, pooled in float64: Σx/n and Σ(x - mean)²/(n - 1), as torch's
    running statistics after one training step over everything with momentum 1.

    Args:
        batches: Inputs, a small share of the training data.
        passes: "one": one pass; while it lasts, each norm normalises with the statistics of the batch, so that the
            next norm sees nearly what it will see (large batches; with all in one batch exactly that).
            "sequential": norm by norm in order of execution, each with those before it recalibrated; as many passes
            as norms, each ending at its norm.

    References:
        Joshi et al. 2020, Nature Communications, s41467-020-16108-9 (adaptive batch normalisation statistics).
    """

    passes: Literal["one", "sequential"] = "one"
    kind: ClassVar[str] = "norms"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.passes not in ("one", "sequential"):
            raise WrongSetting(f"passes = {self.passes!r}", "'one' or 'sequential'", path="passes")

    @classmethod
    def of(cls, batches: Iterable[Any], digital_net: nn.Module, **options: Any) -> RecalibrateNorms:
        """From inputs alone."""
        return cls(batches, **options)

    def apply(self, net: nn.Module) -> str:
        """New statistics for every batch norm."""
        norms = _norms(net)
        found = self._in_one(net, norms) if self.passes == "one" else self._sequentially(net, norms)
        for path, norm in norms.items():
            if path not in found:
                raise BadInput("no batch reached this norm", "give inputs that go through the whole network", path=path)
            _set(norm, found[path].mean, found[path].variance(unbiased=True), path)
        return f"{len(norms)} norms"

    def _in_one(self, net: nn.Module, norms: dict[str, _BatchNorm]) -> dict[str, Moments]:
        found: dict[str, Moments] = {}

        def take(path: str, norm: _BatchNorm, x: Tensor) -> None:
            batch = Moments().add(x, 1)
            assert batch.sums is not None
            if batch.count < 2:
                raise BadInput("a batch has one value a channel here", "give larger batches", path=path)
            found.setdefault(path, Moments()).merge(batch.count, batch.sums)
            _set(norm, batch.mean, batch.variance(unbiased=False), path)

        self._run(net, norms, take)
        return found

    def _sequentially(self, net: nn.Module, norms: dict[str, _BatchNorm]) -> dict[str, Moments]:
        calls: dict[str, int] = {}

        def count(path: str, norm: _BatchNorm, x: Tensor) -> None:
            calls[path] = calls.get(path, 0) + 1

        self._run(net, norms, count)
        found: dict[str, Moments] = {}
        for path, times in calls.items():
            moments = found[path] = Moments()
            last = times // len(self.inputs) if times % len(self.inputs) == 0 else times
            seen = 0

            def take(path: str, norm: _BatchNorm, x: Tensor, moments: Moments = moments, last: int = last) -> None:
                nonlocal seen
                moments.add(x, 1)
                seen += 1
                if seen % last == 0:
                    raise _Enough

            self._run(net, {path: norms[path]}, take)
            _set(norms[path], moments.mean, moments.variance(unbiased=True), path)
        return found

    def _run(
        self, net: nn.Module, norms: dict[str, _BatchNorm], take: Callable[[str, _BatchNorm, Tensor], None]
    ) -> None:
        """All batches through the network; `take` is told of each norm's input. A norm with a hook is never folded."""

        def hook(path: str) -> Callable[[Any, Any], None]:
            def run(norm: Any, args: Any) -> None:
                take(path, norm, args[0])

            return run

        handles = [norm.register_forward_pre_hook(hook(path)) for path, norm in norms.items()]
        try:
            for x in self.inputs:
                try:
                    net(x)
                except _Enough:
                    continue
        finally:
            for handle in handles:
                handle.remove()

    def _options(self) -> dict[str, Any]:
        return {"passes": self.passes}


class _Enough(BaseException):
    """The pass has reached the norm that it is for."""


def _norms(net: nn.Module) -> dict[str, _BatchNorm]:
    found = {}
    for path, module in net.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            found[path] = module
        elif isinstance(module, _InstanceNorm) and module.running_mean is not None:
            raise NotYet(
                "running statistics of an instance norm are not recomputed",
                "make it without track_running_stats, or use RecalibrateAffine",
                path=path,
            )
    if not found:
        others = sorted({type(m).__name__ for m in net.modules() if isinstance(m, (*_WITHOUT, _BatchNorm))})
        known = f": {', '.join(others)} take theirs from each input and need no recalibration" if others else ""
        raise WrongSetting(
            f"the network has no batch norm with running statistics{known}",
            "RecalibrateAffine matches the outputs of each layer instead",
        )
    return found


def _set(norm: _BatchNorm, mean: Tensor, variance: Tensor, path: str) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    if not bool(mean.isfinite().all() and variance.isfinite().all()):
        raise BadInput("the statistics are not finite", "check the calibration data", path=path)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
