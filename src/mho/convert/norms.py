"""Which batch norms stand right behind a matrix, found by tracing the network once."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from mho.nn import AnalogLayer, AnalogMatrix
from mho.nn.norm import FOLDED, Behind, FoldedNorm
from mho.nn.own_forward import OwnForward


def link_norms(net: nn.Module) -> nn.Module:
    """Let every matrix know the batch norm that reads its output and nothing else does, in training and evaluation.

    Found by symbolic tracing; a network that cannot be traced keeps its norms as they are, only slower. Changes `net`
    and returns it.
    """
    if not any(type(module) in FOLDED for module in net.modules()):
        return net
    found = [_pairs(net, training=training) for training in (False, True)]
    modules = dict(net.named_modules(remove_duplicate=False))
    for path, norm_path in found[0].items():
        layer, norm = modules[path], modules[norm_path]
        if found[1].get(path) != norm_path or not _answers_with_its_matrix(layer):
            continue
        folded = FoldedNorm.from_digital(norm)
        for name, module in modules.items():
            if module is norm:
                parent, _, child = name.rpartition(".")
                net.get_submodule(parent)._modules[child] = folded
        parent, _, child = norm_path.rpartition(".")
        next(layer.views()).matrix.link(Behind(layer, folded, net.get_submodule(parent), child))
    return net


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, AnalogLayer) or super().is_leaf_module(m, module_qualified_name)


def _pairs(net: nn.Module, *, training: bool) -> dict[str, str]:
    """Path of each layer whose only reader is a batch norm, with the norm's path; each of them called once."""
    modes = [(module, module.training) for module in net.modules()]
    try:
        for module, _ in modes:
            module.training = training
        graph = _Tracer().trace(net)
    except Exception:  # whatever a user's forward raises when it meets symbols
        return {}
    finally:
        for module, mode in modes:
            module.training = mode
    calls = [node for node in graph.nodes if node.op == "call_module"]
    modules = {str(node.target): net.get_submodule(str(node.target)) for node in calls}
    times = {id(m): sum(modules[str(node.target)] is m for node in calls) for m in modules.values()}
    found = {}
    for node in calls:
        layer = modules[str(node.target)]
        if not isinstance(layer, AnalogLayer) or len(node.users) != 1 or times[id(layer)] != 1:
            continue
        reader = next(iter(node.users))
        norm = modules.get(str(reader.target)) if reader.op == "call_module" else None
        if type(norm) in FOLDED and times[id(norm)] == 1 and reader.args == (node,):
            found[str(node.target)] = str(reader.target)
    return found


def _answers_with_its_matrix(layer: nn.Module) -> bool:
    """True when the layer's output is its matrix's, untouched; a forward of the user's is asked by a trial."""
    assert isinstance(layer, AnalogLayer)
    if len(list(layer.views())) != 1:
        return False
    if not isinstance(layer, OwnForward):
        return isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd))
    view = next(layer.views())
    dims = view.operator.dims
    size = tuple(4 * k * d for k, d in zip(view.weight.shape[2:], view.operator.dilation, strict=True))
    x = torch.zeros(2, view.weight.shape[1] * (view.operator.groups if dims else 1), *size).to(view.weight)
    answers: list[Tensor] = []

    def answer(matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: object) -> Tensor:
        answers.append(operator(x, weight))  # type: ignore[operator]
        return answers[-1]

    view.matrix.observer = answer
    bias = layer.bias
    try:
        layer.bias = None  # type: ignore[assignment]
        with torch.no_grad():
            result = layer(x)
    except Exception:  # a forward that needs other inputs than this one
        return False
    finally:
        view.matrix.observer, layer.bias = None, bias  # type: ignore[assignment]
    return len(answers) == 1 and result is answers[0]
