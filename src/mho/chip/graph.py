"""What a look at a network's graph says: which norm reads which layer, and whether anybody minds the layout of images.

The graph comes from symbolic tracing; a network that cannot be traced has none.
"""

from __future__ import annotations

import copy
import math
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from mho.nn import AnalogLayer
from mho.nn.functional import Functional
from mho.nn.matrix import digitally, matrices
from mho.nn.modes import evaluating
from mho.nn.norm import OF_CONVOLUTIONS, BatchNorm, ScaleBatchNorm
from mho.nn.own_forward import OwnForward

_BLIND = (
    nn.modules.pooling._AvgPoolNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd, nn.modules.dropout._DropoutNd,
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.LeakyReLU, nn.Sigmoid,
    BatchNorm, nn.Tanh, nn.Identity, nn.Flatten, nn.Linear, nn.Softmax, nn.LogSoftmax, AnalogLayer,
)  # fmt: skip
_BLIND_CALLS: set[Any] = {
    F.relu, torch.relu, F.relu6, F.hardtanh, F.hardswish, F.hardsigmoid, F.silu, F.gelu, F.elu, F.leaky_relu, F.pad,
    torch.sigmoid, torch.tanh, operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.truediv,
    torch.add, torch.mul, torch.cat, torch.flatten, torch.mean, F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool2d,
    F.adaptive_max_pool2d, F.dropout, F.softmax, F.log_softmax, operator.getitem, operator.ge, torch.where,
}  # fmt: skip
_BLIND_METHODS = {"relu", "add", "mul", "mean", "flatten", "reshape", "sigmoid", "tanh", "size", "dim", "contiguous"}
_TAILS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.Tanh, nn.ReLU, nn.Dropout, nn.Identity)
_TAIL_CALLS: set[Any] = {F.softmax, F.log_softmax, F.relu, torch.relu, torch.sigmoid, torch.tanh, "sigmoid", "relu"}
_FLAT: set[Any] = {torch.flatten, torch.mean, "flatten", "reshape", "mean"}


def blind_to_layout(net: nn.Module, graph: fx.Graph) -> bool:
    """True when the layout of images changes no answer: every operation takes any, and what is answered are no images."""
    for node in graph.nodes:
        if node.op == "call_module":
            called = net.get_submodule(node.target)
            if not isinstance(called, _BLIND) or isinstance(called, Functional):
                return False
            if isinstance(called, OwnForward) and not _answers_alike(called):
                return False
        if node.op == "call_function" and node.target not in _BLIND_CALLS:
            return False
        if node.op == "call_method" and node.target not in _BLIND_METHODS:
            return False
    given = next(node for node in graph.nodes if node.op == "output").args[0]
    answers = given.values() if isinstance(given, dict) else given if isinstance(given, (tuple, list)) else [given]
    return all(_is_flat(net, last) for last in answers)


def _is_flat(net: nn.Module, last: Any) -> bool:
    """True when an answer of the graph is no image."""
    while isinstance(last, fx.Node):
        module = net.get_submodule(str(last.target)) if last.op == "call_module" else None
        if last.target in _FLAT or isinstance(module, (nn.Linear, nn.Flatten)):
            return True
        if not isinstance(module, _TAILS) and last.target not in _TAIL_CALLS:
            return False
        last = last.args[0]
    return False


def _answers_alike(layer: OwnForward) -> bool:
    """True when a forward of the user's answers the same, whatever the layout of its images; asked by a trial."""
    if not isinstance(layer, nn.Conv2d):
        return False
    size = [4 * k * d for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    shape = (2, layer.in_channels, *size)  # large enough that the answer has a layout
    x = torch.arange(math.prod(shape)).sin().reshape(shape).to(layer.weight)
    twin = copy.deepcopy(layer, {id(part): part for part in (layer.matrix, *layer.parameters())})
    try:
        with torch.no_grad(), digitally(twin), evaluating(twin):  # not called as a module: hooks are not told
            planar, rows = twin.forward(x), twin.forward(x.contiguous(memory_format=torch.channels_last))
        return bool(torch.allclose(planar, rows, rtol=1e-3, atol=1e-3 * float(planar.abs().amax())))
    except Exception:  # a forward that needs other inputs than this one, or another layout
        return False


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True  # so that a forward that reads a layer's own tensors shows in the graph

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (AnalogLayer, ScaleBatchNorm)) or super().is_leaf_module(m, module_qualified_name)


def trace(net: nn.Module) -> fx.Graph | None:
    """Forwards run with symbols, and may leave them in buffers: a copy is traced that shares only arrays and parameters."""
    shared = [*matrices(net), *net.parameters()]
    try:
        return _Tracer().trace(copy.deepcopy(net, {id(part): part for part in shared}))
    except Exception:  # whatever a user's forward raises when it meets symbols
        return None


def _dims(layer: nn.Module) -> int:
    return len(layer.kernel_size) if isinstance(layer, nn.modules.conv._ConvNd) else 0


def norms_behind(net: nn.Module, graph: fx.Graph) -> dict[str, str]:
    """Path of each layer whose only reader is a batch norm, with the norm's path; each of them called once."""
    calls = [node for node in graph.nodes if node.op == "call_module"]
    modules = {str(node.target): net.get_submodule(str(node.target)) for node in calls}
    times = {id(m): sum(modules[str(node.target)] is m for node in calls) for m in modules.values()}
    found = {}
    read = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
    for node in calls:
        layer = modules[str(node.target)]
        if not isinstance(layer, AnalogLayer) or len(node.users) != 1 or times[id(layer)] != 1:
            continue
        reader = next(iter(node.users))
        norm = modules.get(str(reader.target)) if reader.op == "call_module" else None
        if type(norm) in OF_CONVOLUTIONS.get(_dims(layer), ()) and times[id(norm)] == 1 and reader.args == (node,):
            if any(name.startswith((f"{node.target}.", f"{reader.target}.")) for name in read):
                continue  # the network computes with their own tensors, too
            found[str(node.target)] = str(reader.target)
    return found
