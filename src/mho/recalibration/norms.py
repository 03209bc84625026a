"""`RecalibrateNorms`: the running statistics of batch norms, taken anew on the aged chip (AdaBS)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from mho.errors import BadInput, NotYet, WrongSetting
from mho.nn.calling import call
from mho.nn.norm import BatchNorm, ScaleBatchNorm
from mho.nn.partial import computed_whole
from mho.recalibration.base import Recalibration
from mho.recalibration.digital import natively, reference
from mho.recalibration.moments import Moments

_CONSTANT = 1e-10
"""A channel whose digital variance is below this share of its mean square does not vary: its variance stays."""
_WITHOUT = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm, _InstanceNorm)


@dataclass(frozen=True, eq=False, repr=False)
class RecalibrateNorms(Recalibration):
    """Running mean and variance of every batch norm, recomputed on the aged chip from inputs without labels.

    The statistics are those of all values of all batches, pooled in float64: Σx/n and Σ(x - mean)²/(n - 1), as torch's
    running statistics after one training step over everything with momentum 1. Norms of `mho.nn.norm`, whose spread does not
    pool, get its mean over the batches.

    Not every network was trained to the statistics of its data as they are given here (augmentation, momentum): on those
    such statistics cost accuracy without any chip. With `digital_net`, the chip is compared with it on the same
    inputs instead: with d and y the norm's inputs digitally and on the chip, and µ, σ² the digital norm's statistics,
    σ'² + ε = (σ² + ε) var(y)/var(d) and µ' = mean(y) - (mean(d) - µ) std(y)/std(d), so that the norm's output has the mean
    and the standard deviation of the digital one. Where µ, σ² are the statistics of d, this is the same.

    A network that drops blocks is computed with all of them, on the chip and digitally.

    Args:
        batches: Inputs, a small share of the training data.
        digital_net: The digital network, or what `to_analog` returned, or None; only statistics are kept.
        passes: "one": one pass; while it lasts, each norm normalises with the statistics of the batch, so that the
            next norm sees nearly what it will see (large batches; with all in one batch exactly that).
            "sequential": norm by norm in order of execution, each with those before it recalibrated; as many passes
            as norms, each ending at its norm.

    References:
        Joshi et al. 2020, Nature Communications, s41467-020-16108-9 (adaptive batch normalisation statistics).
    """

    digital_net: nn.Module | None = None
    passes: Literal["one", "sequential"] = "one"
    _wanted: tuple[dict[str, _Norm], ...] | None = field(init=False, default=None)
    kind: ClassVar[str] = "norms"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.passes not in ("one", "sequential"):
            raise WrongSetting(f"passes = {self.passes!r}", "'one' or 'sequential'", path="passes")
        if self.digital_net is not None:
            digital = reference(self.digital_net)
            with natively(digital):
                object.__setattr__(self, "_wanted", self._digital(digital))
            object.__setattr__(self, "digital_net", None)

    def apply(self, net: nn.Module) -> str:
        """New statistics for every batch norm."""
        norms = _norms(net)
        found = self._in_one(net, norms) if self.passes == "one" else self._sequentially(net, norms)
        for path, norm in norms.items():
            if path not in found:
                raise BadInput("no batch reached this norm", "give inputs that go through the whole network", path=path)
            self._set(norm, found[path], path)
        return f"{len(norms)} norms"

    def _digital(self, net: nn.Module) -> tuple[dict[str, _Norm], ...]:
        """What each norm gets to see, batch by batch."""
        norms = _norms(net)
        found: list[dict[str, _Norm]] = []

        def take(path: str, norm: BatchNorm, x: Tensor, k: int) -> None:
            found.extend({} for _ in range(k + 1 - len(found)))
            found[k].setdefault(path, _Norm.of(norm)).see(_moments(norm, x))

        self._run(net, norms, take)
        return tuple(found)

    def _set(self, norm: BatchNorm, seen: Moments, path: str, batch: int | None = None) -> None:
        """Statistics from what the norm got to see: in a batch, or in all."""
        if self._wanted is None:
            mean, spread = seen.mean, _spread(seen, isinstance(norm, ScaleBatchNorm), unbiased=batch is None)
        else:
            parts = [w[path] for w in self._wanted if path in w] if batch is None else [self._wanted[batch].get(path)]
            if not parts or parts[0] is None:
                raise BadInput("this norm has no digital counterpart", "give the network that was converted", path=path)
            mean, spread = _Norm.pooled([part for part in parts if part is not None]).carried_over(seen, path)
        if not bool(mean.isfinite().all() and spread.isfinite().all()):
            raise BadInput("the statistics are not finite", "check the calibration data", path=path)
        kept = _kept(norm)
        assert norm.running_mean is not None and kept is not None
        norm.running_mean.copy_(mean)
        kept.copy_(spread)

    def _in_one(self, net: nn.Module, norms: dict[str, BatchNorm]) -> dict[str, Moments]:
        found: dict[str, Moments] = {}

        def take(path: str, norm: BatchNorm, x: Tensor, k: int) -> None:
            if x.numel() // x.shape[1] < 2:
                raise BadInput("a batch has one value a channel here", "give larger batches", path=path)
            batch = _moments(norm, x)
            assert batch.sums is not None
            found.setdefault(path, Moments()).merge(batch.count, batch.sums)
            self._set(norm, batch, path, k)

        self._run(net, norms, take)
        return found

    def _sequentially(self, net: nn.Module, norms: dict[str, BatchNorm]) -> dict[str, Moments]:
        calls: dict[str, int] = {}

        def count(path: str, norm: BatchNorm, x: Tensor, k: int) -> None:
            calls[path] = calls.get(path, 0) + 1

        self._run(net, norms, count)
        found: dict[str, Moments] = {}
        for path, times in calls.items():
            moments = found[path] = Moments()
            last = times // len(self.inputs) if times % len(self.inputs) == 0 else times
            seen = 0

            def take(
                path: str, norm: BatchNorm, x: Tensor, k: int, moments: Moments = moments, last: int = last
            ) -> None:
                nonlocal seen
                batch = _moments(norm, x)
                assert batch.sums is not None
                moments.merge(batch.count, batch.sums)
                seen += 1
                if seen % last == 0:
                    raise _Enough

            self._run(net, {path: norms[path]}, take)
            self._set(norms[path], moments, path)
        return found

    def _run(
        self, net: nn.Module, norms: dict[str, BatchNorm], take: Callable[[str, BatchNorm, Tensor, int], None]
    ) -> None:
        """All batches through the network; `take` is told of each norm's input, and of which batch.

        A norm with a hook is never folded.
        """
        k = 0

        def hook(path: str) -> Callable[[Any, Any], None]:
            def run(norm: Any, args: Any) -> None:
                take(path, norm, args[0], k)

            return run

        handles = [norm.register_forward_pre_hook(hook(path)) for path, norm in norms.items()]
        try:
            for k in range(len(self.inputs)):
                try:
                    with computed_whole(net):
                        call(net, self.inputs[k])
                except _Enough:
                    continue
        finally:
            for handle in handles:
                handle.remove()

    def _options(self) -> dict[str, Any]:
        return {"passes": self.passes}

    def _targets(self) -> Iterable[Tensor]:
        return (t for batch in self._wanted or () for norm in batch.values() for t in norm.tensors())

    def __str__(self) -> str:
        return self.kind if self._wanted is None else f"{self.kind} (as digital)"


@dataclass(frozen=True)
class _Norm:
    """A norm of the digital network: its statistics, and what it got to see. The spread of torch's is the variance."""

    mean: Tensor
    spread: Tensor
    eps: float
    scaled: bool
    seen: Moments

    @classmethod
    def of(cls, norm: BatchNorm) -> _Norm:
        """Before it has seen anything."""
        kept = _kept(norm)
        assert norm.running_mean is not None and kept is not None
        return cls(norm.running_mean.double(), kept.double(), norm.eps, isinstance(norm, ScaleBatchNorm), Moments())

    def see(self, batch: Moments) -> None:
        """Take in a batch."""
        assert batch.sums is not None
        self.seen.merge(batch.count, batch.sums)

    @classmethod
    def pooled(cls, parts: list[_Norm]) -> _Norm:
        """What it saw in several batches."""
        whole = replace(parts[0], seen=Moments())
        for part in parts:
            whole.see(part.seen)
        return whole

    def carried_over(self, seen: Moments, path: str) -> tuple[Tensor, Tensor]:
        """Mean and spread of a norm that sees `seen` on a chip, for an output with the digital one's moments."""
        if len(seen.mean) != len(self.mean):
            raise BadInput(
                f"{len(seen.mean)} channels on the chip, {len(self.mean)} in the digital network",
                "give the network that was converted",
                path=path,
            )
        digital, chip = (_spread(each, self.scaled, unbiased=False) for each in (self.seen, seen))
        variance = self.seen.variance(unbiased=False)
        varies = variance > _CONSTANT * (variance + self.seen.mean.square())
        ratio = torch.where(varies, chip / torch.where(varies, digital, 1.0), 1.0)
        deviations = ratio if self.scaled else ratio.sqrt()
        mean = seen.mean - (self.seen.mean - self.mean).to(ratio) * deviations
        return mean, ((self.spread + self.eps) * ratio - self.eps).clamp(min=0)

    def tensors(self) -> tuple[Tensor, ...]:
        """What decides the result."""
        return (self.mean, self.spread, self.seen.mean, _spread(self.seen, self.scaled, unbiased=False))


def _kept(norm: BatchNorm) -> Tensor | None:
    """The spread that a norm keeps for inference: a variance, or a scale."""
    return norm.running_scale if isinstance(norm, ScaleBatchNorm) else norm.running_var


def _moments(norm: BatchNorm, x: Tensor) -> Moments:
    """What a norm sees in a batch; scales, which do not pool, as a third sum that makes their mean over values."""
    found = Moments().add(x, 1)
    if isinstance(norm, ScaleBatchNorm):
        assert found.sums is not None
        scale = norm.statistics(x)[1].detach().double().cpu()
        found.sums = torch.cat([found.sums, found.count * scale[None]])
    return found


def _spread(seen: Moments, scaled: bool, *, unbiased: bool) -> Tensor:
    """The variance, or the mean scale, of what a norm got to see."""
    if not scaled:
        return seen.variance(unbiased=unbiased)
    assert seen.sums is not None
    return seen.sums[2] / seen.count


class _Enough(BaseException):
    """The pass has reached the norm that it is for."""


def _norms(net: nn.Module) -> dict[str, BatchNorm]:
    found = {}
    for path, module in net.named_modules():
        if isinstance(module, BatchNorm) and module.running_mean is not None:
            found[path] = module
        elif isinstance(module, _InstanceNorm) and module.running_mean is not None:
            raise NotYet(
                "running statistics of an instance norm are not recomputed",
                "make it without track_running_stats, or use RecalibrateAffine",
                path=path,
            )
    if not found:
        others = sorted({type(m).__name__ for m in net.modules() if isinstance(m, (*_WITHOUT, BatchNorm))})
        known = f": {', '.join(others)} take theirs from each input and need no recalibration" if others else ""
        raise WrongSetting(
            f"the network has no batch norm with running statistics{known}",
            "RecalibrateAffine matches the outputs of each layer instead",
        )
    return found
