"""Convolution with TensorFlow's 'SAME' padding."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SameConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with ceil(size / stride) pixels a side, as TensorFlow's 'SAME' padding gives.

    The padding depends on the size of the input; where its total is odd, the extra zeros go to the right and
    below.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, ceil(H / stride), ceil(W / stride))."""
        height, width = (self._total(input.shape[axis + 2], axis) for axis in (0, 1))
        padded = F.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def _total(self, size: int, axis: int) -> int:
        stride, reach = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        outputs = -(-size // stride)
        return max((outputs - 1) * stride + reach - size, 0)
