"""Programs of `torch.export` as modules whose layers are torch's own again.

An exported program is a flat list of ATen calls on parameters; nothing in it says "a convolution layer",
which is what goes onto arrays. Each call of a known operator on a parameter is put back as the layer that
makes this very call, under its old name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from mho.errors import BadInput, NotYet, UseInstead
from mho.models.archive import refuse_code

_aten = torch.ops.aten
_CONVOLUTIONS: dict[tuple[int, bool], type[nn.Module]] = {
    (1, False): nn.Conv1d, (2, False): nn.Conv2d, (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d, (2, True): nn.ConvTranspose2d, (3, True): nn.ConvTranspose3d,
}  # fmt: skip
_BATCH_NORMS: dict[int, type[nn.Module]] = {
    2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d
}  # fmt: skip


class _Inputs(nn.Module):
    """Refuses inputs of other shapes than the program was exported for; the graph holds these as constants.

    Args:
        shapes: For each input its name and its sizes, None where they are free.
    """

    def __init__(self, shapes: tuple[tuple[str, tuple[int | None, ...]], ...]) -> None:
        super().__init__()
        self.shapes = shapes

    def forward(self, *inputs: Tensor) -> None:
        for x, (name, sizes) in zip(inputs, self.shapes, strict=True):
            if len(x.shape) != len(sizes) or any(
                s not in (None, n) for s, n in zip(sizes, x.shape, strict=True)
            ):
                asked = ", ".join("any" if size is None else str(size) for size in sizes)
                raise BadInput(
                    f"input '{name}' has shape {tuple(x.shape)}, but the program was exported for ({asked})",
                    "export it with those sizes free (dynamic_shapes), or give inputs of these",
                )


class _Layer(NamedTuple):
    """A layer that stands for one call: its tensors by their names in the layer and in the program."""

    module: nn.Module
    input: fx.Node
    tensors: dict[str, str]


def load_exported(file: str | Path) -> fx.GraphModule:
    """Read a file of `torch.export.save`; see `with_layers`.

    Raises:
        BadInput: No such file, not an exported program, or one that would run code when it is read.
    """
    path = Path(file)
    if not path.is_file():
        raise BadInput(
            "there is no such file", "give the path of a file of torch.export.save", path=str(file)
        )
    refuse_code(path)
    try:
        program = torch.export.load(path)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"cannot be read as an exported program ({reason})",
            "write it again with torch.export.save",
            path=str(file),
        ) from error
    return with_layers(program)


def with_layers(program: ExportedProgram) -> fx.GraphModule:
    """The program with layers of `torch.nn` in place of calls on parameters.

    These are linear layers, convolutions, transposed convolutions, embeddings and batch norms.

    Parameters keep their names where the layer's own name is known. Dropout stays off in training mode too.

    Args:
        program: Exported in eval mode, with a free batch size.

    Raises:
        UseInstead: It was exported in training mode, or for one batch size.
        NotYet: Inputs or outputs are nested.
    """
    _check(program)
    source = program.module(check_guards=False)
    graph = source.graph
    placed: dict[tuple[Any, ...], str] = {}
    for node in list(graph.nodes):
        layer = _read(source, node)
        if layer is None:
            continue
        call = (type(layer.module), repr(layer.module), *layer.tensors.values())
        if call not in placed:
            placed[call] = _place(source, node, layer, set(placed.values()))
        with graph.inserting_before(node):
            replacement = graph.call_module(placed[call], (layer.input,))
        replacement.meta = dict(node.meta)
        node.replace_all_uses_with(replacement)
        graph.erase_node(node)
    _drop_unused(graph)
    _flat_signature(program, graph)
    _guard(source)
    return fx.GraphModule(source, graph).eval()


def _check(program: ExportedProgram) -> None:
    for node in program.graph.nodes:
        given = _arguments(node)
        if given.get("training") is True or (
            node.target is _aten.dropout.default and given.get("train") is True
        ):
            raise UseInstead(
                f"the program was exported in training mode ('{node.name}' is active)",
                "call model.eval() before exporting",
            )
    names = set(program.graph_signature.user_inputs)
    inputs = [
        node.meta.get("val")
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in names
    ]
    first = next((value for value in inputs if isinstance(value, Tensor) and value.dim()), None)
    if first is not None and isinstance(first.shape[0], int):
        raise UseInstead(
            f"the program was exported for batches of exactly {first.shape[0]}",
            "export it with dynamic_shapes={'<input>': {0: torch.export.Dim.DYNAMIC}} and two examples",
        )


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Arguments of an ATen call by name, with defaults."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return {}
    schema = node.target._schema.arguments
    given = {a.name: a.default_value for a in schema if a.has_default_value()}
    given.update(zip((a.name for a in schema), node.args, strict=False))
    return given | dict(node.kwargs)


def _read(source: fx.GraphModule, node: fx.Node) -> _Layer | None:
    reader = _READERS.get(node.target) if node.op == "call_function" else None
    given = _arguments(node)
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
) -> _Layer | None:
    """A layer made of a weight and perhaps a bias, both parameters."""
    held = {
        name: _tensor(source, node) for name, node in (("weight", weight), ("bias", bias)) if node is not None
    }
    if not isinstance(x, fx.Node) or any(
        h is None or not isinstance(h[1], nn.Parameter) for h in held.values()
    ):
        return None
    found = {name: h for name, h in held.items() if h is not None}
    if "bias" in found and found["bias"][1].dim() != 1:
        return None
    with torch.device("meta"):
        module = build(found["weight"][1], "bias" in found)
    for name, (_, value) in found.items():
        setattr(module, name, value)
    return _Layer(module, x, {name: target for name, (target, _) in found.items()})


def _dense(weight: Tensor, bias: bool) -> nn.Module:
    return nn.Linear(weight.shape[1], weight.shape[0], bias=bias)


def _linear(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> _Layer | None:
    return _with_parameters(source, _dense, given["input"], given["weight"], given["bias"])


def _product(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> _Layer | None:
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


def _convolution(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> _Layer | None:
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


def _embedding(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> _Layer | None:
    def build(weight: Tensor, bias: bool) -> nn.Module:
        padding = None if given["padding_idx"] < 0 else given["padding_idx"]
        return nn.Embedding(weight.shape[0], weight.shape[1], padding_idx=padding)

    return _with_parameters(source, build, given["indices"], given["weight"], None)


def _batch_norm(source: fx.GraphModule, node: fx.Node, given: dict[str, Any]) -> _Layer | None:
    names = ("weight", "bias", "running_mean", "running_var")
    found = {name: tensor for name in names if (tensor := _tensor(source, given[name])) is not None}
    shown = given["input"].meta.get("val")
    if len(found) != len(names) or not isinstance(shown, Tensor) or shown.dim() not in _BATCH_NORMS:
        return None
    features = len(found["weight"][1])
    module = _BATCH_NORMS[shown.dim()](features, eps=given["eps"], momentum=given["momentum"])
    for name, (_, value) in found.items():
        setattr(module, name, value)
    return _Layer(module, given["input"], {name: target for name, (target, _) in found.items()})


_READERS: dict[Any, Callable[[fx.GraphModule, fx.Node, dict[str, Any]], _Layer | None]] = {
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


def _place(source: fx.GraphModule, node: fx.Node, layer: _Layer, taken: set[str]) -> str:
    """Put the layer into the module, under its old name if that can be told, and return the name."""
    weight = layer.tensors["weight"]
    holder, _, leaf = weight.rpartition(".")
    plain = weight.removesuffix("weight").rstrip("._") or "layer"
    candidates = [_recorded_name(node, layer), holder if leaf == "weight" else "", plain]
    candidates += [f"{plain}_layer{number or ''}" for number in range(len(source.graph.nodes))]
    name = next(c for c in candidates if c and c not in taken and _is_free(source, c, layer.module))
    source.add_submodule(name, layer.module)
    return name


def _recorded_name(node: fx.Node, layer: _Layer) -> str:
    """Path of the innermost module around the call, if it was of the layer's own class."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return ""
    path, cls = stack[-1]
    name = cls if isinstance(cls, str) else f"{cls.__module__}.{cls.__qualname__}"
    return path if name == f"{type(layer.module).__module__}.{type(layer.module).__qualname__}" else ""


def _is_free(source: fx.GraphModule, path: str, layer: nn.Module) -> bool:
    """Nothing stands at the path, or only the bare tensors of this layer."""
    there: Any = source
    for part in path.split("."):
        there = getattr(there, part, None)
        if there is None:
            return True
    own = layer.state_dict().keys()
    return (
        isinstance(there, nn.Module) and not there._modules and {*there._parameters, *there._buffers} <= own
    )


def _drop_unused(graph: fx.Graph) -> None:
    views = {_aten.permute.default, _aten.t.default, _aten.transpose.int}
    for node in reversed(list(graph.nodes)):
        if not node.users and (node.op == "get_attr" or node.target in views):
            graph.erase_node(node)


def _flat_signature(program: ExportedProgram, graph: fx.Graph) -> None:
    """Plain arguments and a plain result in place of export's flattening of nested ones."""
    spec = program.call_spec
    args, kwargs = pytree.tree_unflatten(range(spec.in_spec.num_leaves), spec.in_spec)
    result = pytree.tree_unflatten(range(spec.out_spec.num_leaves), spec.out_spec)
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    if not all(isinstance(leaf, int) for leaf in (*args, *kwargs.values(), *outputs)):
        raise NotYet(
            "the program takes or returns nested structures", "export a wrapper of tensors to tensors"
        )
    (output,) = graph.find_nodes(op="output")
    if isinstance(result, int):
        output.args = (output.args[0][0],)
    graph.set_codegen(fx.graph.CodeGen())
    graph._tracer_cls = None  # export's own tracer cannot be made again when the module is unpickled.


def _guard(source: fx.GraphModule) -> None:
    """Check the shapes of the inputs before anything else. (torch's own guards cannot be pickled.)"""
    graph = source.graph
    inputs = [n for n in graph.find_nodes(op="placeholder") if isinstance(n.meta.get("val"), Tensor)]
    shapes = tuple(
        (n.name, tuple(s if isinstance(s, int) else None for s in n.meta["val"].shape)) for n in inputs
    )
    source.add_submodule("_inputs", _Inputs(shapes))
    last = list(graph.find_nodes(op="placeholder"))[-1]
    with graph.inserting_after(last):
        graph.call_module("_inputs", tuple(inputs))
