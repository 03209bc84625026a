"""Multiply-accumulates of whatever a network computes, counted operator by operator as torch dispatches them.

What multiplies matrices is counted by formula (`products`), an outer product by its size; element-wise operators, views,
reductions, norms, pooling and look-ups count nothing. What may multiply and has no formula is collected by name. Work that
never passes torch's dispatcher (NumPy, kernels launched by hand) cannot be seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mho.convert.products import PRODUCTS, SEVERAL_WEIGHTS

_TORCHS_OWN = {"aten", "prim", "prims", "quantized", "mkldnn", "mkl", "onednn"}
_INDICES = {torch.int32, torch.int64, torch.bool}
_TRANSFORMS = ("_fft_", "linalg_", "_linalg_", "cholesky", "_cholesky", "geqrf", "_pdist", "_compute_linear")
"""Beginnings of names of operators that multiply a matrix by itself or by fixed factors."""
_WITHOUT_PRODUCTS = re.compile(
    r"_foreach_(?!.*mm).*|_?(chunk_)?cat|_?stack|set|resize_as|copy|_copy_from.*|copy_sparse_to_sparse|where|lift_fresh"
    r"|(_unsafe_|_unsafe_masked_)?index.*|_index_put_impl|.*scatter.*|masked_fill|put|fill"
    r"|complex|polar|searchsorted|isin|equal|allclose|normal|bernoulli|is_.*|_has_same_storage_numel|_functional_assert_async"
    r"|.*(batch|layer|group|instance|rms|weight)_norm.*|linalg_vector_norm|linalg__powsum|linalg_cross|_linalg_check_errors"
    r"|native_dropout|rrelu_with_noise.*|_prelu_kernel|_masked_scale|_masked_softmax|_(log_)?softmax_backward_data"
    r"|.*_pool[123]d|.*grid_sampler.*|embedding_renorm|.*_loss(2d)?(_forward)?|binary_cross_entropy.*|dist"
    r"|_thnn_fused_(lstm|gru)_cell|_transform_bias_rescale_qkv|.*(jagged|nested)_.*|_nested_from.*"
    r"|.*fake_quantize.*|_fused_moving_avg_obs_fq_helper.*|quantize_per.*|.*_affine_quantized.*|_make_per_channel_.*"
    r"|rsub|floor_divide|copysign|heaviside|gcd|lcm|_add_relu|_fused_sdp_choice"
)
"""Operators of torch that read several tensors and multiply none of them as matrices."""


class MacCounter(TorchDispatchMode):
    """Context that counts the multiply-accumulates of everything that is computed inside.

    Attributes:
        macs: Their number.
        not_counted: Operators that may multiply matrices and that nobody knows how to count, with the number of calls.
        by_address: Multiply-accumulates that read a factor at an address (see `at`).
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.not_counted: Counter[str] = Counter()
        self.by_address: Counter[int] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.higher_order.cond:
            condition, then, otherwise, operands = args
            with self:
                return (then if condition else otherwise)(*operands)
        name = _name(func)
        composite = isinstance(func, torch._ops.OpOverload) and name not in PRODUCTS
        if composite and func is not torch.ops.prim.device.default:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        macs = _macs(func, name, result, args, kwargs)
        if macs is None:
            self.not_counted[name] += 1
        else:
            self.macs += macs
            if macs:
                self.by_address.update(_reads(name, macs, args, kwargs))
        self.saw(func, name, macs, result, args, kwargs)
        return result

    def saw(
        self, func: Any, name: str, macs: int | None, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Told of each operator that ran; `macs` is None where nobody can count it. For those that look closer."""


def address(tensor: Tensor) -> int:
    """Where a tensor's memory begins; 0 where it has none."""
    return tensor.data_ptr() if type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout is torch.strided else 0


def at(tensor: Tensor, by_address: Mapping[int, int]) -> int:
    """Sum of what is known about addresses in a tensor's memory: about itself, its transpose, its parts."""
    first = address(tensor)
    last = first + tensor.nbytes if first else 0
    return sum(number for where, number in by_address.items() if first <= where < last)


def _reads(name: str, macs: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[int, int]:
    """Multiply-accumulates of one call by the address of each tensor that it multiplies."""
    if name in SEVERAL_WEIGHTS:
        vectors = args[0].numel() // args[0].shape[-1]
        weights = [leaf for leaf in tree_leaves(args[1:]) if isinstance(leaf, Tensor) and leaf.dim() > 1]
        return {address(weight): vectors * weight.numel() for weight in weights}
    return {address(leaf): macs for leaf in factors(name, args, kwargs)}


def factors(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that a product multiplies, without what it adds (first) and an attention's mask (fourth, or by name)."""
    first = int(name.startswith(("aten::add", "aten::badd")))
    read = (args[:3],) if "scaled_dot" in name else (args[first:], kwargs)
    return [leaf for leaf in tree_leaves(read) if isinstance(leaf, Tensor)]


def _name(func: Any) -> str:
    """As "aten::addmm": without the overload and without the underscore of an in-place form."""
    if not isinstance(func, torch._ops.OpOverload):
        return f"higher_order::{func.name()}"
    return func._schema.name.removesuffix("_")


def _macs(func: Any, name: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Multiply-accumulates of one call, or None where nobody can tell."""
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor) and (leaf.is_nested or leaf.numel() > 1)]
    whole = not any(tensor.is_nested or tensor.layout not in _LAYOUTS for tensor in tensors)
    if name in PRODUCTS:
        return PRODUCTS[name](result, *args, **kwargs) if whole else None
    known: Callable[..., int] | None = flop_registry.get(getattr(func, "_overloadpacket", func))
    if known is not None:
        return known(*args, **kwargs, out_val=result) // 2 if whole else None
    if name in ("aten::mul", "aten::addr") and whole:
        factors = tensors[-2:]
        outer = len(factors) == 2 and result.numel() > max(factor.numel() for factor in factors)
        return result.numel() if outer else 0
    packed = any(isinstance(leaf, torch.ScriptObject) for leaf in leaves)
    return 0 if _multiplies_nothing(func, name, tensors, packed) else None


_LAYOUTS = (torch.strided, torch._mkldnn)  # type: ignore[attr-defined]


def _multiplies_nothing(func: Any, name: str, tensors: list[Tensor], packed: bool) -> bool:
    """True for operators that cannot hold a product of matrices.

    These are the element-wise ones, reductions and views, those that read no tensor at all, and of torch's own those that
    read one only, besides indices. Another library's operator may do anything with what it reads.
    """
    if name.startswith("profiler::") or not (tensors or packed):
        return True
    if not isinstance(func, torch._ops.OpOverload):
        return False
    if {torch.Tag.pointwise, torch.Tag.reduction, torch.Tag.view_copy} & set(func.tags):
        return True
    space, own = name.split("::")
    if space not in _TORCHS_OWN:
        return False
    if _WITHOUT_PRODUCTS.fullmatch(own) or is_view(func):
        return True
    if "backward" in own:  # Those of products are in torch's own table, or among these.
        return re.search(r"conv|attention|rnn|lstm|dist|^linear|mkldnn_linear|matmul", own) is None
    if space == "quantized":
        return not packed or own.startswith("embedding")
    operands = [tensor for tensor in tensors if tensor.dtype not in _INDICES]
    return len(operands) < 2 and not packed and not own.startswith(_TRANSFORMS)


def is_view(func: Any) -> bool:
    """True for operators of torch that only look at a tensor's memory in another way."""
    returned = [value.alias_info for value in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in returned)
