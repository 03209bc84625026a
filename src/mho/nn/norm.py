"""Batch norms that stand right behind a matrix: in evaluation, part of its digital output scale and bias.

y = (W x + b - µ) / sqrt(σ² + ε) γ + β is one scale and one shift a column, which the read-out applies anyway; the pass
of the norm over memory falls away. It is the same arithmetic in another order. In training the norm keeps the byte-wide
codes of its input for the way back instead of the input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from mho.crossbar.product import Affine
from mho.crossbar.step import Single
from mho.kernels import decode
from mho.nn.one_node import one_node


class Behind(NamedTuple):
    """Where a norm stands. (A tuple, so that the modules in it are no sub-modules of who holds it.)

    Attributes:
        layer: The layer whose output it reads.
        norm: The norm.
        parent: The module that holds the norm.
        name: Its name there.
    """

    layer: nn.Module
    norm: FoldedNorm
    parent: nn.Module
    name: str

    def folds(self, x: Tensor) -> bool:
        """True when the matrix of the layer, about to read `x`, may do the norm's work."""
        norm = self.norm
        if norm.training or torch.is_grad_enabled() or self.parent._modules.get(self.name) is not norm:
            return False
        observed = self.layer._forward_hooks or norm._forward_hooks or norm._forward_pre_hooks
        observed = observed or _global_forward_hooks or _global_forward_pre_hooks
        traced = torch.compiler.is_compiling() or type(x) is not Tensor
        if observed or traced or torch._C._functorch.is_functorch_wrapped_tensor(x):
            return False
        mean = norm.running_mean
        return mean is not None and mean.dtype == x.dtype and not torch.is_autocast_enabled(x.device.type)

    def trains(self) -> bool:
        """True when the norm will be differentiated and can do with the codes of its input."""
        return torch.is_grad_enabled() and self.parent._modules.get(self.name) is self.norm


class FoldedNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm whose input comes from one matrix and goes nowhere else."""

    digital_class: type[nn.Module]
    _expected: tuple[int, Single | None] | None

    @classmethod
    def from_digital(cls, module: nn.Module) -> FoldedNorm:
        """The same norm; parameters, buffers and hooks are shared with `module`, which stays as it is."""
        norm = FOLDED[type(module)].__new__(FOLDED[type(module)])
        norm.__dict__ = {k: v.copy() if isinstance(v, dict) else v for k, v in module.__dict__.items()}
        norm.digital_class, norm._expected = type(module), None
        return norm

    def to_digital(self) -> nn.Module:
        """The norm that this one was made from."""
        module = self.digital_class.__new__(self.digital_class)
        module.__dict__ = {k: v.copy() if isinstance(v, dict) else v for k, v in self.__dict__.items()}
        del module.__dict__["digital_class"], module.__dict__["_expected"]
        return module

    def as_affine(self, bias: Tensor | None) -> Affine:
        """Scale and shift of a matrix with that bias and this norm."""
        assert self.running_mean is not None and self.running_var is not None
        scale = (self.running_var + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        mean = self.running_mean if bias is None else self.running_mean - bias
        shift = -mean * scale
        return Affine(scale, shift if self.bias is None else shift + self.bias)

    def expect(self, y: Tensor | None, codes: Single | None = None) -> None:
        """Take note of the tensor that has this norm's work done already, or comes with its codes; None: of nothing."""
        self._expected = None if y is None else (id(y), codes)

    @one_node
    def forward(self, input: Tensor) -> Tensor:
        """As torch's. What the matrix did already is not done again, and of an input with codes only these are kept."""
        expected, self._expected = self._expected, None
        if expected is None or expected[0] != id(input):
            return super().forward(input)
        codes = expected[1]
        if codes is None:
            return input
        where, shape = input.data_ptr(), input.shape

        def pack(kept: Tensor) -> Tensor | Single:
            return codes if kept.shape == shape and kept.data_ptr() == where else kept

        with torch.autograd.graph.saved_tensors_hooks(pack, _unpack):
            return super().forward(input)


def _unpack(kept: Tensor | Single) -> Tensor:
    return decode(kept.kept, kept.factor, kept.shift) if isinstance(kept, Single) else kept


class FoldedBatchNorm1d(FoldedNorm, nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` behind a matrix."""


class FoldedBatchNorm2d(FoldedNorm, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` behind a matrix."""


class FoldedBatchNorm3d(FoldedNorm, nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d` behind a matrix."""


FOLDED: dict[type[nn.Module], type[FoldedNorm]] = {
    nn.BatchNorm1d: FoldedBatchNorm1d,
    nn.BatchNorm2d: FoldedBatchNorm2d,
    nn.BatchNorm3d: FoldedBatchNorm3d,
}
"""What each class of torch becomes; subclasses of them are left alone."""
