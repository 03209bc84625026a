"""Transposed convolutions, taken as convolutions over the zero-stuffed input."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from mho.crossbar import Operator
from mho.errors import UseInstead
from mho.nn.layer import AnalogLayer, MatrixView


class _AnalogConvTranspose(AnalogLayer, nn.modules.conv._ConvTransposeNd):
    def build(self, path: str) -> None:
        if self.hw.dac.range == "abs_max":
            raise UseInstead(
                "a range for every input vector is not defined for a transposed convolution's zero-stuffed input",
                "set dac.range to 'calibrated', or keep the layer digital",
                path=path,
            )
        super().build(path)

    def _operator(self, output_padding: tuple[int, ...] | None = None) -> Operator:
        return Operator(
            len(self.kernel_size), tuple(self.stride), self.padding, tuple(self.dilation), self.groups,
            transposed=True, output_padding=tuple(self.output_padding) if output_padding is None else output_padding,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Transposed convolution through the arrays; arguments as in torch."""
        dims = len(self.kernel_size)
        assert not isinstance(self.padding, str)
        stride, pads, kernel = list(self.stride), list(self.padding), list(self.kernel_size)
        padding = self._output_padding(input, output_size, stride, pads, kernel, dims, list(self.dilation))
        operator = self._operator(tuple(padding))
        return self.matrix(input, self.weight, operator, self.bias)

    def views(self) -> Iterator[MatrixView]:
        """The one matrix: rows are input channels of a group × kernel taps."""
        yield MatrixView("weight", self.matrix, self.weight, self._operator())


class AnalogConvTranspose1d(_AnalogConvTranspose, nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d` on arrays; the bias is added digitally. Shapes as in torch."""


class AnalogConvTranspose2d(_AnalogConvTranspose, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` on arrays; the bias is added digitally. Shapes as in torch."""


class AnalogConvTranspose3d(_AnalogConvTranspose, nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d` on arrays; the bias is added digitally. Shapes as in torch."""
