"""`AnalogLinear`."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from mho.crossbar import Operator
from mho.nn.layer import AnalogLayer, MatrixView

LINEAR = Operator()


class AnalogLinear(AnalogLayer, nn.Linear):
    """`torch.nn.Linear` on arrays; the bias is added digitally. Shapes as in torch."""

    def forward(self, input: Tensor) -> Tensor:
        """y = W x + b through the arrays, (…, in_features) -> (…, out_features)."""
        return self.matrix(input, self.weight, LINEAR, self.bias)

    def views(self) -> Iterator[MatrixView]:
        """The one matrix."""
        yield MatrixView("weight", self.matrix, self.weight, LINEAR)
