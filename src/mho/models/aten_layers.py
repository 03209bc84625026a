"""Which layer of `torch.nn` makes a given ATen call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

_aten = torch.ops.aten
_CONVOLUTIONS: dict[tuple[int, bool], type[nn.Module]] = {
    (1, False): nn.Conv1d, (2, False): nn.Conv2d, (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d, (2, True): nn.ConvTranspose2d, (3, True): nn.ConvTranspose3d,
}  # fmt: skip
_BATCH_NORMS: dict[int, type[nn.Module]] = {
    2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d
}  # fmt: skip


class CallLayer(NamedTuple):
    """A layer that stands for one call.

    Attributes:
        module: The layer, with the program's own tensors.
        input: What it is called with.
        tensors: Names in the layer to names in the program.
    """

    module: nn.Module
    input: fx.Node
    tensors: dict[str, str]


def arguments(node: fx.Node) -> dict[str, Any]:
    """Arguments of an ATen call by name, with defaults."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return {}
    schema = node.target._schema.arguments
    given = {a.name: a.default_value for a in schema if a.has_default_value()}
    given.update(zip((a.name for a in schema), node.args, strict=False))
    return given | dict(node.kwargs)


def read_layer(source: fx.GraphModule, node: fx.Node) -> CallLayer | None:
    """The layer that makes the call of a node; None when there is none, or its weights are computed.

    Args:
        source: The module that holds the tensors.
        node: Any node of its graph.
    """
    reader = _READERS.get(node.target) if node.op == "call_function" else None
    given = arguments(node)
    if reader is None or not all(_is_constant(v) for k, v in given.items() if k not in _TENSORS):
        return None
    return reader(source, node, given)


_TENSORS = {"input", "weight", "bias", "running_mean", "running_var", "indices", "self", "mat1", "mat2"}


def _is_constant(value: Any) -> bool:
    return not any(isinstance(leaf, (fx.Node, torch.SymInt)) for leaf in pytree.tree_leaves(value))


def _tensor(source: fx.GraphModule, node: Any) -> tuple[str, Tensor] | None:
    """Name and value of a parameter or buffer."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    name = str(node.target)
    holder, _, leaf = name.rpartition(".")
    value = getattr(source.get_submodule(holder), leaf, None)
    return (name, value) if isinstance(value, Tensor) else None


def _with_parameters(
    source: fx.GraphModule, build: Callable[[Tensor, bool], nn.Module], x: Any, weight: Any, bias: Any
) -> CallLayer | None:
    """A layer made of a weight and perhaps a bias, both parameters."""
    held = {name: _tensor(source, node) for name, node in (("weight", weight), ("bias", bias)) if node is not None}
    if not isinstance(x, fx.Node) or any(h is None or not isinstance(h[1], nn.Parameter) for h in held.values()):
        return None
    found = {name: h for name, h in held.items() if h is not None}
    if "bias" in found and found["bias"][1].dim() != 1:
        return None
    with torch.device("meta"):
        module = build(found["weight"][1], "bias" in found)
    for name, (_, value) in found.items():
        setattr(module, name, value)
    return CallLayer(module, x, {name: target for name, (target, _) in found.items()})


def _dense(weight: Tensor, bias: bool) -> nn.Module:
    return nn.Linear(weight.shape[1], weight.shape[0], bias=bias)


def _linear(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> CallLayer | None:
    return _with_parameters(source, _dense, given["input"], given["weight"], given["bias"])


def _product(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> CallLayer | None:
    """``x @ weight.T`` (+ bias), which is what a linear layer becomes in the core ATen set."""
    is_sum = node.target is _aten.addmm.default
    x, right = (given["mat1"] if is_sum else given["self"]), given["mat2"]
    transposed = isinstance(right, fx.Node) and (right.target, *right.args[1:]) in (
        (_aten.permute.default, [1, 0]), (_aten.t.default,),
        (_aten.transpose.int, 0, 1), (_aten.transpose.int, 1, 0),
    )  # fmt: skip
    if not transposed or (is_sum and (given["alpha"], given["beta"]) != (1, 1)):
        return None
    return _with_parameters(source, _dense, x, right.args[0], given["self"] if is_sum else None)


def _convolution(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> CallLayer | None:
    transposed = given.get("transposed", "output_padding" in given)

    def build(weight: Tensor, bias: bool) -> nn.Module:
        dims, groups = weight.dim() - 2, given["groups"]
        settings = {key: _wide(given[key], dims) for key in ("stride", "padding", "dilation")}
        c_in, c_out = weight.shape[1] * groups, weight.shape[0]
        if transposed:
            c_in, c_out = weight.shape[0], weight.shape[1] * groups
            settings["output_padding"] = _wide(given["output_padding"], dims)
        kernel = tuple(weight.shape[2:])
        return _CONVOLUTIONS[dims, transposed](c_in, c_out, kernel, groups=groups, bias=bias, **settings)

    return _with_parameters(source, build, given["input"], given["weight"], given["bias"])


def _wide(value: Any, dims: int) -> Any:
    if isinstance(value, str):
        return value
    return tuple(value) * dims if len(value) == 1 else tuple(value)


def _embedding(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> CallLayer | None:
    def build(weight: Tensor, bias: bool) -> nn.Module:
        padding = None if given["padding_idx"] < 0 else given["padding_idx"]
        return nn.Embedding(weight.shape[0], weight.shape[1], padding_idx=padding)

    return _with_parameters(source, build, given["indices"], given["weight"], None)


def _batch_norm(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> CallLayer | None:
    names = ("weight", "bias", "running_mean", "running_var")
    found = {name: tensor for name in names if (tensor := _tensor(source, given[name])) is not None}
    shown = given["input"].meta.get("val")
    if len(found) != len(names) or not isinstance(shown, Tensor) or shown.dim() not in _BATCH_NORMS:
        return None
    features = len(found["weight"][1])
    module = _BATCH_NORMS[shown.dim()](features, eps=given["eps"], momentum=given["momentum"])
    for name, (_, value) in found.items():
        setattr(module, name, value)
    holder = source.get_submodule(found["running_mean"][0].rpartition(".")[0])
    module.num_batches_tracked = getattr(holder, "num_batches_tracked", module.num_batches_tracked)
    return CallLayer(module, given["input"], {name: target for name, (target, _) in found.items()})


_READERS: dict[Any, Callable[[fx.GraphModule, fx.Node, dict[str, Any]], CallLayer | None]] = {
    _aten.linear.default: _linear,
    _aten.addmm.default: _product,
    _aten.mm.default: _product,
    _aten.conv1d.default: _convolution,
    _aten.conv2d.default: _convolution,
    _aten.conv3d.default: _convolution,
    _aten.conv1d.padding: _convolution,
    _aten.conv2d.padding: _convolution,
    _aten.conv3d.padding: _convolution,
    _aten.conv_transpose1d.default: _convolution,
    _aten.conv_transpose2d.input: _convolution,
    _aten.conv_transpose3d.input: _convolution,
    _aten.convolution.default: _convolution,
    _aten.embedding.default: _embedding,
    _aten.batch_norm.default: _batch_norm,
}
