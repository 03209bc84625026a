"""Programs of `torch.export` as modules whose layers are torch's own again.

An exported program is a flat list of ATen calls on parameters; nothing in it says "a convolution layer",
which is what goes onto arrays. Each call of a known operator on a parameter is put back as the layer that
makes this very call, under its old name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from mho.errors import BadInput, NotYet, UseInstead
from mho.models.archive import refuse_code
from mho.models.aten_layers import CallLayer, arguments, read_layer

_aten = torch.ops.aten


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
            if len(x.shape) != len(sizes) or any(s not in (None, n) for s, n in zip(sizes, x.shape, strict=True)):
                asked = ", ".join("any" if size is None else str(size) for size in sizes)
                raise BadInput(
                    f"input '{name}' has shape {tuple(x.shape)}, but the program was exported for ({asked})",
                    "export it with those sizes free (dynamic_shapes), or give inputs of these",
                )


def load_exported(file: str | Path) -> fx.GraphModule:
    """Read a file of `torch.export.save`; see `with_layers`.

    Raises:
        BadInput: No such file, not an exported program, or one that would run code when it is read.
    """
    path = Path(file)
    if not path.is_file():
        raise BadInput("there is no such file", "give the path of a file of torch.export.save", path=str(file))
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
        layer = read_layer(source, node)
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
        given = arguments(node)
        if given.get("training") is True or (node.target is _aten.dropout.default and given.get("train") is True):
            raise UseInstead(
                f"the program was exported in training mode ('{node.name}' is active)",
                "call model.eval() before exporting",
            )
    names = set(program.graph_signature.user_inputs)
    inputs = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    first = next((value for value in inputs if isinstance(value, Tensor) and value.dim()), None)
    if first is not None and isinstance(first.shape[0], int):
        raise UseInstead(
            f"the program was exported for batches of exactly {first.shape[0]}",
            "export it with dynamic_shapes={'<input>': {0: torch.export.Dim.DYNAMIC}} and two examples",
        )


def _place(source: fx.GraphModule, node: fx.Node, layer: CallLayer, taken: set[str]) -> str:
    """Put the layer into the module, under its old name if that can be told, and return the name."""
    weight = layer.tensors["weight"]
    holder, _, leaf = weight.rpartition(".")
    plain = weight.removesuffix("weight").rstrip("._") or "layer"
    candidates = [_recorded_name(node, layer), holder if leaf == "weight" else "", plain]
    candidates += [f"{plain}_layer{number or ''}" for number in range(len(source.graph.nodes))]
    name = next(c for c in candidates if c and c not in taken and _is_free(source, c, layer.module))
    source.add_submodule(name, layer.module)
    return name


def _recorded_name(node: fx.Node, layer: CallLayer) -> str:
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
    return isinstance(there, nn.Module) and not there._modules and {*there._parameters, *there._buffers} <= own


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
        raise NotYet("the program takes or returns nested structures", "export a wrapper of tensors to tensors")
    (output,) = graph.find_nodes(op="output")
    if isinstance(result, int):
        output.args = (output.args[0][0],)
    graph.set_codegen(fx.graph.CodeGen())
    graph._tracer_cls = None  # export's own tracer cannot be made again when the module is unpickled.


def _guard(source: fx.GraphModule) -> None:
    """Check the shapes of the inputs before anything else. (torch's own guards cannot be pickled.)"""
    graph = source.graph
    inputs = [n for n in graph.find_nodes(op="placeholder") if isinstance(n.meta.get("val"), Tensor)]
    shapes = tuple((n.name, tuple(s if isinstance(s, int) else None for s in n.meta["val"].shape)) for n in inputs)
    source.add_submodule("_inputs", _Inputs(shapes))
    last = list(graph.find_nodes(op="placeholder"))[-1]
    with graph.inserting_after(last):
        graph.call_module("_inputs", tuple(inputs))
