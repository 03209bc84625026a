"""What a look at the network's graph allows: norms folded into the read-out, images that stay in rows.

The graph comes from symbolic tracing. A network that cannot be traced is computed as it stands, only slower.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from mho.nn import AnalogLayer, AnalogMatrix
from mho.nn.norm import FOLDED, Behind, FoldedNorm
from mho.nn.own_forward import OwnForward


def optimise(net: nn.Module) -> nn.Module:
    """Link batch norms to the matrices before them, and let convolutions answer in rows; changes and returns `net`."""
    worth = any(type(m) in FOLDED or (isinstance(m, nn.Conv2d) and isinstance(m, AnalogLayer)) for m in net.modules())
    graphs = [_trace(net, training=training) for training in (False, True)] if worth else []
    traced = [graph for graph in graphs if graph is not None]
    if len(traced) == 2:
        _link_norms(net, traced)
        _keep_rows(net, traced)
    return net


def _link_norms(net: nn.Module, graphs: list[fx.Graph]) -> None:
    """Let every matrix know the batch norm that reads its output and nothing else does, in training and evaluation."""
    found = [_pairs(net, graph) for graph in graphs]
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


_BLIND = (
    nn.modules.pooling._AvgPoolNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd, nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd,
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.LeakyReLU, nn.Sigmoid,
    nn.Tanh, nn.Identity, nn.Flatten, nn.Linear, nn.Softmax, nn.LogSoftmax, AnalogLayer,
)  # fmt: skip
_BLIND_CALLS: set[Any] = {
    F.relu, torch.relu, F.relu6, F.hardtanh, F.hardswish, F.hardsigmoid, F.silu, F.gelu, F.elu, F.leaky_relu, F.pad,
    torch.sigmoid, torch.tanh, operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.truediv,
    torch.add, torch.mul, torch.cat, torch.flatten, torch.mean, F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool2d,
    F.adaptive_max_pool2d, F.dropout, F.softmax, F.log_softmax, operator.getitem,
}  # fmt: skip
_BLIND_METHODS = {"relu", "add", "mul", "mean", "flatten", "reshape", "sigmoid", "tanh", "size", "dim", "contiguous"}
_TAILS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.Tanh, nn.ReLU, nn.Dropout, nn.Identity)
_TAIL_CALLS: set[Any] = {F.softmax, F.log_softmax, F.relu, torch.relu, torch.sigmoid, torch.tanh, "sigmoid", "relu"}
_FLAT: set[Any] = {torch.flatten, torch.mean, "flatten", "reshape", "mean"}


def _keep_rows(net: nn.Module, graphs: list[fx.Graph]) -> None:
    """Let 2-d convolutions answer in rows (channels_last) whatever they are given, where nobody can notice.

    That is where every operation of the network takes tensors of any layout, and the last word is a vector's.
    """
    if all(_blind(net, graph) for graph in graphs):
        for module in net.modules():
            if isinstance(module, AnalogLayer) and isinstance(module, nn.Conv2d):
                next(module.views()).matrix.rows = True


def _blind(net: nn.Module, graph: fx.Graph) -> bool:
    for node in graph.nodes:
        if node.op == "call_module" and not isinstance(net.get_submodule(node.target), _BLIND):
            return False
        if node.op == "call_function" and node.target not in _BLIND_CALLS:
            return False
        if node.op == "call_method" and node.target not in _BLIND_METHODS:
            return False
    last = next(node for node in graph.nodes if node.op == "output").args[0]
    while isinstance(last, fx.Node):
        module = net.get_submodule(str(last.target)) if last.op == "call_module" else None
        if last.target in _FLAT or isinstance(module, (nn.Linear, nn.Flatten)):
            return True
        if not isinstance(module, _TAILS) and last.target not in _TAIL_CALLS:
            return False
        last = last.args[0]
    return False


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, AnalogLayer) or super().is_leaf_module(m, module_qualified_name)


def _trace(net: nn.Module, *, training: bool) -> fx.Graph | None:
    modes = [(module, module.training) for module in net.modules()]
    try:
        for module, _ in modes:
            module.training = training
        return _Tracer().trace(net)
    except Exception:  # whatever a user's forward raises when it meets symbols
        return None
    finally:
        for module, mode in modes:
            module.training = mode


def _pairs(net: nn.Module, graph: fx.Graph) -> dict[str, str]:
    """Path of each layer whose only reader is a batch norm, with the norm's path; each of them called once."""
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
