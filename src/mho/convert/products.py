"""How many multiply-accumulates each operator of torch takes that multiplies matrices, from the shapes of its arguments.

The numbers are those of the textbook's product: an attention is counted in full, causal or not, and a Winograd
convolution as a direct one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Formula = Callable[..., int]
"""Takes what the operator returned, then the operator's own arguments; answers the number of multiply-accumulates."""


def _inner(place: int) -> Formula:
    """Every output sums over the last axis of the argument at `place`."""
    return lambda y, *args, **_: y.numel() * args[place].shape[-1]


def _batches_summed(y: Tensor, _: Tensor, a: Tensor, b: Tensor, **__: Any) -> int:
    return a.numel() * b.shape[-1]


def _each(y: Any, a: Sequence[Tensor], b: Sequence[Tensor]) -> int:
    return sum(left.numel() * right.shape[-1] for left, right in zip(a, b, strict=True))


def _grouped(y: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    """Groups cut the rows of `a`, the columns of `b`, or (both with two axes) the axis that is summed."""
    return a.numel() * b.shape[-1] if a.dim() == b.dim() == 2 else y.numel() * a.shape[-1]


def _convolution(y: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return y.numel() * math.prod(weight.shape[1:])


def _transposed(y: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return x.numel() * math.prod(weight.shape[1:])


def _either_way(y: Tensor, x: Tensor, weight: Tensor, *args: Any, **_: Any) -> int:
    """Arguments after the weight: bias, stride, padding, dilation, transposed."""
    return (_transposed if args[4] else _convolution)(y, x, weight)


def _time_first(y: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return y.numel() * math.prod(weight.shape[:2])


def _attention(y: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Axes (…, heads, tokens, width); several heads of queries may share one of keys."""
    return math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _whole_attention(
    y: Any, query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, qkv: Tensor, qkv_bias: Any, out: Tensor,
    *_: Any, **__: Any,
) -> int:  # fmt: skip
    """Projections and attention; axes (batch, tokens, width)."""
    batch, tokens, keys = query.shape[0], query.shape[1], key.shape[1]
    projected = (tokens + 2 * keys) * width * width + tokens * out.numel()
    return batch * (projected + 2 * tokens * keys * width)


def _encoder_layer(
    y: Any, x: Tensor, width: int, heads: int, qkv: Tensor, qkv_bias: Any, out: Tensor, *args: Any, **_: Any
) -> int:
    """Arguments after `out`: five of the first norm, four of the norms, weight, bias, weight and bias."""
    (batch, tokens, _width), first, second = x.shape, args[8], args[10]
    weights = qkv.numel() + out.numel() + first.numel() + second.numel()
    return batch * tokens * (weights + 2 * tokens * width)


def _recurrent_layer(y: Any, x: Tensor, input_weight: Tensor, hidden_weight: Tensor, *_: Any, **__: Any) -> int:
    return math.prod(x.shape[:-1]) * (input_weight.numel() + hidden_weight.numel())


def _recurrent(y: Any, x: Tensor, weights: Sequence[Tensor], *_: Any, **__: Any) -> int:
    """All layers and directions; biases have one axis."""
    return math.prod(x.shape[:-1]) * sum(weight.numel() for weight in weights if weight.dim() > 1)


def _trilinear(
    y: Any, a: Tensor, b: Tensor, c: Tensor, axes_a: list[int], axes_b: list[int], axes_c: list[int], *_: Any, **__: Any
) -> int:
    """One for each term of the sum; `axes` are those that a factor lacks."""
    shapes = []
    for tensor, axes in ((a, axes_a), (b, axes_b), (c, axes_c)):
        for axis in sorted(axes):
            tensor = tensor.unsqueeze(axis)
        shapes.append(tensor.shape)
    return math.prod(torch.broadcast_shapes(*shapes))


def _packed_convolution(y: Tensor, x: Tensor, packed: Any, *_: Any, **__: Any) -> int:
    return _convolution(y, x, packed.unpack()[0])


def _packed_transposed(y: Tensor, x: Tensor, packed: Any, *_: Any, **__: Any) -> int:
    return _transposed(y, x, packed.unpack()[0])


_KINDS: dict[Formula, str] = {
    _inner(0): """
        aten::mm aten::bmm aten::mv aten::dot aten::vdot aten::linear aten::_int_mm aten::_scaled_mm aten::_scaled_mm_v2
        aten::mkldnn_linear aten::_weight_int8pack_mm aten::_weight_int4pack_mm aten::_weight_int4pack_mm_for_cpu
        aten::_weight_int4pack_mm_with_scales_and_zeros aten::_dyn_quant_matmul_4bit aten::_cdist_forward
        aten::_euclidean_dist mkldnn::_linear_pointwise mkl::_mkl_linear quantized::matmul quantized::linear
        quantized::linear_relu quantized::linear_leaky_relu quantized::linear_tanh quantized::linear_dynamic
        quantized::linear_relu_dynamic quantized::linear_dynamic_fp16 quantized::linear_relu_dynamic_fp16
        quantized::linear_with_input_q_dq_qweight_dq_output_fp32 onednn::qlinear_pointwise onednn::linear_dynamic_fp16""",
    _inner(1): "aten::addmm aten::baddbmm aten::addmv aten::_addmm_activation",
    _batches_summed: "aten::addbmm",
    _each: "aten::_foreach_mm",
    _grouped: "aten::_grouped_mm aten::_scaled_grouped_mm aten::_scaled_grouped_mm_v2",
    _either_way: "aten::convolution aten::_convolution aten::convolution_overrideable",
    _convolution: """
        aten::mkldnn_convolution aten::cudnn_convolution aten::cudnn_convolution_relu aten::cudnn_convolution_add_relu
        aten::miopen_convolution aten::miopen_convolution_relu aten::miopen_convolution_add_relu
        aten::miopen_depthwise_convolution aten::_conv_depthwise2d aten::conv_depthwise3d aten::_slow_conv2d_forward
        aten::slow_conv3d_forward aten::slow_conv_dilated2d aten::slow_conv_dilated3d aten::_nnpack_spatial_convolution
        aten::_mps_convolution mkldnn::_convolution_pointwise""",
    _transposed: """
        aten::cudnn_convolution_transpose aten::miopen_convolution_transpose aten::slow_conv_transpose2d
        aten::slow_conv_transpose3d mkldnn::_convolution_transpose_pointwise""",
    _time_first: "aten::conv_tbc",
    _packed_convolution: """
        quantized::conv1d quantized::conv1d_relu quantized::conv2d quantized::conv2d_relu quantized::conv3d
        quantized::conv3d_relu quantized::conv1d_dynamic quantized::conv2d_dynamic quantized::conv3d_dynamic""",
    _packed_transposed: """
        quantized::conv_transpose1d quantized::conv_transpose2d quantized::conv_transpose3d
        quantized::conv_transpose1d_dynamic quantized::conv_transpose2d_dynamic
        quantized::conv_transpose3d_dynamic""",
    _attention: """
        aten::_scaled_dot_product_flash_attention aten::_scaled_dot_product_flash_attention_for_cpu
        aten::_scaled_dot_product_efficient_attention aten::_scaled_dot_product_cudnn_attention
        aten::_scaled_dot_product_fused_attention_overrideable aten::_scaled_dot_product_attention_math_for_mps
        aten::_triton_scaled_dot_attention higher_order::flex_attention""",
    _whole_attention: "aten::_native_multi_head_attention aten::_triton_multi_head_attention",
    _encoder_layer: "aten::_transformer_encoder_layer_fwd",
    _recurrent_layer: "aten::mkldnn_rnn_layer",
    _recurrent: "aten::_cudnn_rnn aten::miopen_rnn",
    _trilinear: "aten::_trilinear",
}  # fmt: skip

PRODUCTS: dict[str, Formula] = {name: formula for formula, names in _KINDS.items() for name in names.split()}
"""Formulas by the operator's name, without its overload and without the underscore of in-place forms. A library with
operators of its own may add to it: ``PRODUCTS["mylib::matmul"] = lambda y, a, b: y.numel() * a.shape[-1]``."""

SEVERAL_WEIGHTS = {
    name
    for name, formula in PRODUCTS.items()
    if formula in (_whole_attention, _encoder_layer, _recurrent_layer, _recurrent)
}
"""Operators that multiply each vector of their first argument with each of several weights."""
