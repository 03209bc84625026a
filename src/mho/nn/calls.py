"""Calls of torch's functions that multiply with a parameter, and how arrays would answer them.

Seen are `F.linear`, convolutions, `x @ w` and `w @ x`, `addmm`, `einsum` of two tensors, and products with a stack of matrices
(experts): one matrix out of it, `bmm`, `grouped_mm`. The parameter may be transposed; anything else computed from it is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.crossbar import Operator
from mho.crossbar.operator import operator_of

LINEAR = Operator()
CONVOLUTIONS: dict[Any, int] = {
    F.conv1d: 1, F.conv2d: 2, F.conv3d: 3, torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3,
}  # fmt: skip
_PRODUCTS = {torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__, torch.Tensor.__rmatmul__}
_ADDED = {torch.addmm, Tensor.addmm}
_BATCHED = {torch.bmm, Tensor.bmm}
_GROUPED = {getattr(torch, "_grouped_mm", None), getattr(F, "grouped_mm", None)}
MULTIPLIERS = {F.linear, torch.einsum, *CONVOLUTIONS, *_PRODUCTS, *_ADDED, *_BATCHED, *_GROUPED}
"""All of torch's functions that `product_of` knows."""


class Read(NamedTuple):
    """How torch's operator reads a parameter.

    Attributes:
        operator: torch's operator on each matrix.
        transposed: The parameter holds (rows, columns), as in `x @ w`.
        parts: Matrices along its first axis (experts); 0 where it is one matrix.
        columns: Axes that make the columns, in their order, where it is read by `einsum`; the rows' axes are `rows`.
        rows: See `columns`.
    """

    operator: Operator
    transposed: bool = False
    parts: int = 0
    columns: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()


class Call(NamedTuple):
    """A call of torch's that arrays can answer.

    Attributes:
        parameter: Name of the parameter.
        read: How it is read.
        part: Which of its matrices; None for all of them at once.
        answer: From the map of one matrix (part, input, bias) to the call's result.
    """

    parameter: str
    read: Read
    part: int | None
    answer: Callable[[Callable[[int, Tensor, Tensor | None], Tensor]], Tensor]


def product_of(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], names: Mapping[int, str]
) -> Call | None:
    """The call as a product with a parameter, or None where it is none that arrays can answer.

    Args:
        func: A function of torch's.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        names: Names of the parameters that are looked for, by id.
    """
    if func is F.linear or func in CONVOLUTIONS:
        return _layered(func, *args, names=names, **kwargs)
    if func is torch.einsum and not kwargs:
        return _summed(*args, names=names)
    if kwargs or not all(isinstance(value, Tensor) for value in args[:2]):
        return _grouped(args, kwargs, names) if func in _GROUPED else None
    if func in _PRODUCTS and len(args) == 2:
        return _multiplied(args[0], args[1], None, names) or _from_left(args[0], args[1], names)
    if func in _ADDED and len(args) == 3:
        return _multiplied(args[1], args[2], args[0], names)
    if func in _BATCHED and len(args) == 2:
        return _batched(args[0], args[1], names)
    return _grouped(args, kwargs, names) if func in _GROUPED else None


def _layered(
    func: Any,
    input: Tensor,
    weight: Any,
    bias: Tensor | None = None,
    *args: Any,
    names: Mapping[int, str],
    **kwargs: Any,
) -> Call | None:
    found = _held(weight, names)
    if found is None:
        return None
    name, transposed, part, parts = found
    if func is not F.linear:
        operator = convolution(CONVOLUTIONS[func], *args, **kwargs)
    elif weight.dim() != 2:
        return None
    else:
        operator = LINEAR
    return Call(name, Read(operator, transposed, parts), part, lambda answer: answer(part or 0, input, bias))


def _multiplied(x: Tensor, weight: Tensor, bias: Tensor | None, names: Mapping[int, str]) -> Call | None:
    found = _held(weight, names) if weight.dim() == 2 and (bias is None or bias.dim() == 1) else None
    if found is None:
        return None
    name, transposed, part, parts = found
    return Call(name, Read(LINEAR, not transposed, parts), part, lambda answer: answer(part or 0, x, bias))


def _from_left(weight: Tensor, x: Tensor, names: Mapping[int, str]) -> Call | None:
    """W x, with the vectors in the columns of x."""
    found = _held(weight, names) if weight.dim() == 2 and x.dim() > 1 else None
    if found is None:
        return None
    name, transposed, part, parts = found
    return Call(name, Read(LINEAR, transposed, parts), part, lambda answer: answer(part or 0, x.mT, None).mT)


def _summed(equation: str, *operands: Any, names: Mapping[int, str]) -> Call | None:
    """`torch.einsum` of an activation with a parameter: axes of the parameter alone are columns, axes of both are summed over."""
    tensors = operands[0] if len(operands) == 1 else operands
    if "->" not in equation or "." in equation or len(tensors) != 2:
        return None
    terms, out = equation.replace(" ", "").split("->")
    (a, b), (x, weight) = terms.split(","), tensors
    if id(weight) not in names:
        a, b, x, weight = b, a, weight, x
    if id(weight) not in names or any(len(set(term)) < len(term) for term in (a, b, out)):
        return None
    rows, columns, left = [c for c in b if c in a], [c for c in b if c not in a], [c for c in a if c not in b]
    if set(rows) & set(out) or set(out) != {*left, *columns} or not rows or not columns:
        return None
    sizes = [weight.shape[b.index(c)] for c in columns]
    back = [[*left, *columns].index(c) for c in out]
    vectors = [a.index(c) for c in (*left, *rows)]

    def answered(answer: Callable[[int, Tensor, Tensor | None], Tensor]) -> Tensor:
        given = x.permute(vectors).flatten(len(left))
        return answer(0, given, None).unflatten(-1, sizes).permute(back)

    axes = tuple(map(b.index, columns)), tuple(map(b.index, rows))
    return Call(names[id(weight)], Read(LINEAR, False, 0, *axes), None, answered)


def _batched(x: Tensor, weight: Tensor, names: Mapping[int, str]) -> Call | None:
    """(E, n, rows) with (E, rows, columns): matrix by matrix."""
    found = _stack(weight, names)
    if found is None:
        return None
    name, transposed = found

    def answered(answer: Callable[[int, Tensor, Tensor | None], Tensor]) -> Tensor:
        return torch.stack([answer(i, part, None) for i, part in enumerate(x)])

    return Call(name, Read(LINEAR, not transposed, len(weight)), None, answered)


def _grouped(args: tuple[Any, ...], kwargs: dict[str, Any], names: Mapping[int, str]) -> Call | None:
    """(n, rows) with (E, rows, columns) and the ends of the groups of rows."""
    x, weight = args[:2] if len(args) > 1 else (kwargs.get("input"), kwargs.get("mat2"))
    ends = args[2] if len(args) > 2 else kwargs.get("offs")
    found = _stack(weight, names) if isinstance(weight, Tensor) else None
    if found is None or ends is None:
        return None
    name, transposed = found

    def answered(answer: Callable[[int, Tensor, Tensor | None], Tensor]) -> Tensor:
        y = x.new_zeros(len(x), weight.shape[-1])
        begin = 0
        pieces = []
        for i, end in enumerate(ends.tolist()):
            if end > begin:
                pieces.append(answer(i, x[begin:end], None))
            begin = max(begin, end)
        pieces.append(y[begin:])
        return torch.cat(pieces)

    return Call(name, Read(LINEAR, not transposed, len(weight)), None, answered)


def _held(weight: Any, names: Mapping[int, str]) -> tuple[str, bool, int | None, int] | None:
    """Name of the parameter that a tensor is, or its transpose, or a matrix out of it: (name, transposed, part, parts)."""
    if id(weight) in names:  # before anything else: a tracer's stand-in for the parameter is no tensor
        return names[id(weight)], False, None, 0
    if not isinstance(weight, Tensor):
        return None
    base = weight._base if weight._is_view() else None
    if base is None or id(base) not in names:
        return None
    if base.dim() == 3 and weight.dim() == 2:
        size = base.stride(0)
        part, rest = divmod(int(weight.storage_offset() - base.storage_offset()), max(int(size), 1))
        if rest or part >= len(base):
            return None
        turned = _turned(weight, base[0])
        return None if turned is None else (names[id(base)], turned, part, len(base))
    if weight.storage_offset() != base.storage_offset():
        return None
    turned = _turned(weight, base)
    return None if turned is None else (names[id(base)], turned, None, 0)


def _stack(weight: Tensor, names: Mapping[int, str]) -> tuple[str, bool] | None:
    """Name of the parameter that a stack of matrices is, and whether each is transposed."""
    if weight.dim() != 3:
        return None
    base = weight if id(weight) in names else weight._base if weight._is_view() else None
    if base is None or id(base) not in names or base.dim() != 3 or len(base) != len(weight):
        return None
    turned = _turned(weight[0], base[0])
    return None if turned is None or weight.stride(0) != base.stride(0) else (names[id(base)], turned)


def _turned(weight: Tensor, like: Tensor) -> bool | None:
    """False for the matrix itself, True for its transpose, None for anything else."""
    if weight.shape == like.shape and weight.stride() == like.stride():
        return False
    if like.dim() == 2 and weight.shape == like.T.shape and weight.stride() == like.T.stride():
        return True
    return None


def convolution(dims: int, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Operator:
    """The operator of a call of torch's convolution, with its arguments behind the bias."""

    def wide(value: Any) -> Any:
        return value if isinstance(value, str) else (value,) * dims if isinstance(value, int) else tuple(value)

    return operator_of(dims, wide(stride), wide(padding), wide(dilation), groups)
