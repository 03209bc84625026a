"""`fuse`: a chip's network that is only evaluated, with its batch norms in the read-out and its images in rows.

y = (W x + b - µ) / sqrt(σ² + ε) γ + β is one scale and one shift a column, which the read-out applies anyway; the pass of
the norm over memory falls away. It is the same arithmetic in another order. Where this is possible is read off the
network's graph, from symbolic tracing; a network that cannot be traced is computed as it stands, only slower.
"""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mho.chip.programmed import Programmed
from mho.errors import WrongSetting
from mho.nn import AnalogLayer
from mho.nn.matrix import matrices
from mho.nn.own_forward import OwnForward
from mho.nn.source import Digital, sources

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fuse(net: nn.Module, *, inplace: bool = False) -> nn.Module:
    """The same chip, faster, for evaluation alone.

    Every batch norm that reads the output of one matrix, which nothing else reads, goes into the digital scale and shift of
    that matrix's columns and leaves an identity behind, as torch's own fusing does. Where no operation of the network minds
    the layout of its images, convolutions answer in rows (channels_last).

    Args:
        net: What ``chip.at(t)`` returned, recalibrated or not; put into eval mode.
        inplace: Change `net` itself instead of a copy.

    Returns:
        The fused network. Its layers answer with their norms, so look at parts of `net` instead.

    Raises:
        WrongSetting: No chip's network.
    """
    if not any(matrix.programmed for matrix in matrices(net)):
        raise WrongSetting("this network is no chip's", "pass what mho.program(net).at(t) returned")
    net = (net if inplace else copy.deepcopy(net)).eval()
    worth = any(type(m) in _NORMS or (isinstance(m, nn.Conv2d) and isinstance(m, AnalogLayer)) for m in net.modules())
    graph = _trace(net) if worth else None
    if graph is not None:
        _fold_norms(net, graph)
        if _blind(net, graph):
            for module in net.modules():
                if isinstance(module, AnalogLayer) and isinstance(module, nn.Conv2d):
                    source = next(module.views()).matrix.source
                    if isinstance(source, Programmed):
                        source.rows = True
    return net


@torch.no_grad()
def _fold_norms(net: nn.Module, graph: fx.Graph) -> None:
    modules = dict(net.named_modules(remove_duplicate=False))
    for path, norm_path in _pairs(net, graph).items():
        layer, norm = modules[path], modules[norm_path]
        assert isinstance(layer, AnalogLayer) and isinstance(norm, _BatchNorm)
        if not _answers_with_its_matrix(layer) or norm.running_mean is None or _hooked(layer) or _hooked(norm):
            continue
        view = next(layer.views())
        source = view.matrix.source
        if not isinstance(source, Programmed):
            continue
        assert norm.running_var is not None
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        bias = layer.bias
        mean = norm.running_mean - bias if isinstance(bias, torch.Tensor) else norm.running_mean
        shift = -mean * scale if norm.bias is None else norm.bias - mean * scale
        view.matrix.source = source.scaled(scale, view.operator)
        layer.bias = nn.Parameter(shift, requires_grad=False)
        for name, module in modules.items():
            if module is norm:
                parent, _, child = name.rpartition(".")
                net.get_submodule(parent)._modules[child] = nn.Identity()


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


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


def _blind(net: nn.Module, graph: fx.Graph) -> bool:
    """True when every operation takes tensors of any layout, and the last word is a vector's."""
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


def _trace(net: nn.Module) -> fx.Graph | None:
    """Forwards run with symbols, and may leave them in buffers: a copy is traced that shares only arrays and parameters."""
    shared = [*matrices(net), *net.parameters()]
    try:
        return _Tracer().trace(copy.deepcopy(net, {id(part): part for part in shared}))
    except Exception:  # whatever a user's forward raises when it meets symbols
        return None


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
        if type(norm) in _NORMS and times[id(norm)] == 1 and reader.args == (node,):
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
    answers: list[Any] = []
    handle = view.matrix.register_forward_hook(lambda _matrix, _arguments, y: answers.append(y))
    bias = layer.bias
    try:
        layer.bias = None  # type: ignore[assignment]
        with torch.no_grad(), sources([view.matrix], lambda _: Digital()):
            result = layer(x)
    except Exception:  # a forward that needs other inputs than this one
        return False
    finally:
        handle.remove()
        layer.bias = bias  # type: ignore[assignment]
    return len(answers) == 1 and result is answers[0]
