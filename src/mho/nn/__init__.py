"""Analog layers: each a subclass of torch's own, one file a kind."""

from mho.nn.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from mho.nn.conv_transpose import AnalogConvTranspose1d, AnalogConvTranspose2d, AnalogConvTranspose3d
from mho.nn.layer import AnalogLayer, MatrixView
from mho.nn.linear import AnalogLinear
from mho.nn.matrix import AnalogMatrix

__all__ = [
    "AnalogConv1d", "AnalogConv2d", "AnalogConv3d", "AnalogConvTranspose1d", "AnalogConvTranspose2d",
    "AnalogConvTranspose3d", "AnalogLayer", "AnalogLinear", "AnalogMatrix", "MatrixView",
]  # fmt: skip
