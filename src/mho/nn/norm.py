"""Batch norms that divide by another spread than the standard deviation: `L1BatchNorm2d`, `TopKBatchNorm2d` and others.

What they keep for inference is the spread itself (``running_scale``), not its square, so noise on the stored statistic meets
a number of another size. At inference each is one scale and one shift a channel, as torch's own norm. `torch.export`, ONNX,
`torch.compile` and `torch.jit.trace` take them; `torch.jit.script` and the symbolic trace of `torch.fx` do not.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mho.arguments import number, whole
from mho.errors import BadInput, WrongSetting


class ScaleBatchNorm(nn.Module, ABC):
    """Base: y = (x - µ)/(s + ε)·γ + β, with µ and s of each channel over the batch and all positions.

    Arguments, attributes and modes are those of torch's batch norm, with ``running_scale`` in the place of ``running_var``.
    Running statistics are (1 - momentum)·old + momentum·new, with momentum None the mean over batches: torch's meaning of
    momentum, which is the opposite of that in the code published with the paper. Statistics are computed in float32 at least.

    Args:
        num_features: Channels C.
        eps: Added to the spread.
        momentum: Share of the newest batch in the running statistics.
        affine: With γ and β.
        track_running_stats: Keep statistics for inference; without, those of the batch are always used.

    Raises:
        WrongSetting: No channel, a negative eps, or a momentum outside 0 to 1.
        BadInput: An input of other dimensions or channels, or of whole numbers; a training batch with one value a channel.

    References:
        Hoffer et al. 2018, "Norm matters", arXiv:1803.01814, sections 4.1 to 4.3.
    """

    dimensions: tuple[int, ...]
    running_mean: Tensor | None
    running_scale: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        kind, way = type(self).__name__, "give a share from 0 to 1, or None for the mean over batches"
        self.num_features = num_features = whole(num_features, f"{kind}: num_features")
        self.eps = number(eps, f"{kind}: eps", "give 0 or more", least=0)
        self.momentum = None if momentum is None else number(momentum, f"{kind}: momentum", way, least=0)
        if self.momentum is not None and self.momentum > 1:
            raise WrongSetting(f"momentum = {momentum!r}", way, path=f"{kind}: momentum")
        self.affine, self.track_running_stats = affine, track_running_stats
        made = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.ones(num_features, **made)) if affine else None  # type: ignore[arg-type]
        self.bias = nn.Parameter(torch.zeros(num_features, **made)) if affine else None  # type: ignore[arg-type]
        kept = track_running_stats
        self.register_buffer("running_mean", torch.zeros(num_features, **made) if kept else None)  # type: ignore[arg-type]
        self.register_buffer("running_scale", torch.ones(num_features, **made) if kept else None)  # type: ignore[arg-type]
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device) if kept else None)

    @abstractmethod
    def spread(self, away: Tensor) -> Tensor:
        """The spread s of each channel.

        Args:
            away: Distances |x - µ|, (C, n).

        Returns:
            (C,), for normally distributed x of the size of their standard deviation.
        """

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of a batch, (C,) each, in float32 at least; differentiable.

        Raises:
            BadInput: One value a channel.
        """
        rows = x.movedim(1, 0).flatten(1)
        rows = rows if rows.dtype == torch.float64 else rows.float()
        if rows.shape[1] < 2:
            raise BadInput(f"a batch of shape {tuple(x.shape)}: expected more than 1 value per channel when training",
                           "give larger batches", path=type(self).__name__)  # fmt: skip
        mean = rows.mean(1)
        return mean, self.spread((rows - mean[:, None]).abs())

    def forward(self, x: Tensor) -> Tensor:
        """The input with each channel's mean and spread taken out, in its shape and dtype."""
        if x.dim() not in self.dimensions or x.shape[1] != self.num_features or not x.is_floating_point():
            wanted = " or ".join(f"{n} dimensions" for n in self.dimensions)
            raise BadInput(f"an input of shape {tuple(x.shape)} and {x.dtype}",
                           f"{wanted}, with {self.num_features} channels second, of floating point",
                           path=type(self).__name__)  # fmt: skip
        if self.training or self.running_mean is None or self.running_scale is None:
            mean, scale = self.statistics(x)
            if self.training and self.track_running_stats:
                self._follow(mean.detach(), scale.detach())
        else:
            mean, scale = self.running_mean, self.running_scale
        along = (1, -1, *[1] * (x.dim() - 2))
        y = (x - mean.view(along)) * self.gain(scale).view(along)
        return (y if self.bias is None else y + self.bias.view(along)).to(x.dtype)

    def gain(self, scale: Tensor) -> Tensor:
        """γ/(s + ε), (C,)."""
        return 1 / (scale + self.eps) if self.weight is None else self.weight / (scale + self.eps)

    @torch.no_grad()
    def _follow(self, mean: Tensor, scale: Tensor) -> None:
        assert self.running_mean is not None and self.running_scale is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_scale.lerp_(scale.to(self.running_scale), share)

    def reset_running_stats(self) -> None:
        """Statistics as before any batch: mean 0, spread 1."""
        if self.running_mean is not None and self.running_scale is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_scale.fill_(1)
            self.num_batches_tracked.zero_()

    def extra_repr(self) -> str:
        """As torch's norms."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class L1BatchNorm(ScaleBatchNorm):
    """Base: s = √(π/2)·mean |x - µ|, which for normal x is the standard deviation."""

    def spread(self, away: Tensor) -> Tensor:
        """√(π/2) times the mean distance."""
        return math.sqrt(math.pi / 2) * away.mean(1)


class TopKBatchNorm(ScaleBatchNorm):
    """Base: s = c(n)·mean of the k largest |x - µ|, with c(n) = (1 + √(π ln 4))/(2·√(2 ln n)) for n values a channel.

    With this published constant s is not the standard deviation of normal x, but up to a half larger.

    Args:
        num_features: Channels C.
        like_torch: As for `ScaleBatchNorm`.
        k: How many; 1 is the L∞ norm.
        options: As for `ScaleBatchNorm`.

    Raises:
        WrongSetting: k below 1, or no whole number.
        BadInput: A batch with fewer than k values a channel.
    """

    def __init__(self, num_features: int, *like_torch: Any, k: int = 10, **options: Any) -> None:
        super().__init__(num_features, *like_torch, **options)
        self.k = whole(k, f"{type(self).__name__}: k")

    def spread(self, away: Tensor) -> Tensor:
        """c(n) times the mean of the k largest distances."""
        n = away.shape[1]
        if self.k > n:
            raise BadInput(f"k = {self.k} with {n} values a channel", "give larger batches or a smaller k",
                           path=type(self).__name__)  # fmt: skip
        factor = 0.5 * (1 + math.sqrt(math.pi * math.log(4))) / math.sqrt(2 * math.log(n))
        return factor * away.topk(self.k, dim=1, sorted=False).values.mean(1)

    def extra_repr(self) -> str:
        """With k."""
        return f"{super().extra_repr()}, k={self.k}"


class L1BatchNorm1d(L1BatchNorm):
    """`L1BatchNorm` of (N, C) or (N, C, L)."""

    dimensions = (2, 3)


class L1BatchNorm2d(L1BatchNorm):
    """`L1BatchNorm` of (N, C, H, W)."""

    dimensions = (4,)


class L1BatchNorm3d(L1BatchNorm):
    """`L1BatchNorm` of (N, C, D, H, W)."""

    dimensions = (5,)


class TopKBatchNorm1d(TopKBatchNorm):
    """`TopKBatchNorm` of (N, C) or (N, C, L)."""

    dimensions = (2, 3)


class TopKBatchNorm2d(TopKBatchNorm):
    """`TopKBatchNorm` of (N, C, H, W)."""

    dimensions = (4,)


class TopKBatchNorm3d(TopKBatchNorm):
    """`TopKBatchNorm` of (N, C, D, H, W)."""

    dimensions = (5,)


BatchNorm = _BatchNorm | ScaleBatchNorm
"""Every batch norm."""

OF_CONVOLUTIONS: dict[int, tuple[type[nn.Module], ...]] = {
    2: (nn.BatchNorm2d, L1BatchNorm2d, TopKBatchNorm2d),
    3: (nn.BatchNorm3d, L1BatchNorm3d, TopKBatchNorm3d),
}
"""Norms that have the channels of a convolution of so many dimensions for their own. A norm of one dimension takes for
channels what stands second: positions, behind linear layers in sequences and behind convolutions of a single series."""


def gain_and_shift(norm: BatchNorm) -> tuple[Tensor, Tensor] | None:
    """What a norm computes at inference, y = gain·x + shift, (C,) each; None where it keeps no statistics."""
    spread = norm.running_scale if isinstance(norm, ScaleBatchNorm) else norm.running_var
    if norm.running_mean is None or spread is None:
        return None
    if isinstance(norm, ScaleBatchNorm):
        gain = norm.gain(spread)
    else:
        gain = (spread + norm.eps).rsqrt()
        gain = gain if norm.weight is None else gain * norm.weight
    shift = -norm.running_mean * gain
    return gain, shift if norm.bias is None else norm.bias + shift


@contextmanager
def single_samples_refused(remedy: str) -> Iterator[None]:
    """Inside the block a batch norm that trains on one value a channel is told of as a batch of one sample.

    Raises:
        BadInput: There is one; with this way out.
    """
    try:
        yield
    except ValueError as error:  # torch's own
        if "more than 1 value per channel" not in str(error):
            raise
        raise BadInput("a batch of one sample, on which batch norms cannot be trained", remedy, path="batch") from error
