"""Convolutions of one, two and three dimensions, with groups, dilation, strides and every padding mode."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from mho.crossbar import Operator
from mho.crossbar.operator import operator_of
from mho.nn.layer import AnalogLayer, MatrixView


class _AnalogConv(AnalogLayer, nn.modules.conv._ConvNd):
    def _operator(self) -> Operator:
        padding = self.padding if self.padding_mode == "zeros" else (0,) * len(self.kernel_size)
        return operator_of(len(self.kernel_size), tuple(self.stride), padding, tuple(self.dilation), self.groups)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return self.matrix(input, weight, self._operator(), bias)

    def views(self) -> Iterator[MatrixView]:
        """The one matrix: rows are input channels of a group × kernel taps."""
        yield MatrixView("weight", self.matrix, self.weight, self._operator())


class AnalogConv1d(_AnalogConv, nn.Conv1d):
    """`torch.nn.Conv1d` on arrays; the bias is added digitally. Shapes as in torch."""


class AnalogConv2d(_AnalogConv, nn.Conv2d):
    """`torch.nn.Conv2d` on arrays; the bias is added digitally. Shapes as in torch."""


class AnalogConv3d(_AnalogConv, nn.Conv3d):
    """`torch.nn.Conv3d` on arrays; the bias is added digitally. Shapes as in torch."""
