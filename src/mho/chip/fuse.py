"""`fuse`: a chip's network that is only evaluated, with its batch norms in the read-out and its images in channels_last.

y = (W x + b - µ) / sqrt(σ² + ε) γ + β is one scale and one shift a column, which the read-out applies anyway; the pass of
the norm over memory falls away. It is the same arithmetic in another order. Where this is possible is read off the
network's graph, from symbolic tracing; a network that cannot be traced is computed as it stands, only slower.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import nn

from mho.chip.graph import blind_to_layout, norms_behind, trace
from mho.chip.programmed import Programmed
from mho.errors import WrongSetting
from mho.nn import AnalogLayer
from mho.nn.matrix import matrices
from mho.nn.modes import evaluating
from mho.nn.norm import BatchNorm, gain_and_shift
from mho.nn.own_forward import OwnForward
from mho.nn.source import Digital, sources


def fuse(net: nn.Module, *, inplace: bool = False) -> nn.Module:
    """The same chip, faster, for evaluation alone.

    Every batch norm that reads the output of one convolution, which nothing else reads, goes into the digital scale and shift
    of that matrix's columns and leaves an identity behind, as torch's own fusing does. Where no operation of the network minds
    the layout of its images, convolutions answer in channels_last.

    Args:
        net: What ``chip.at(t)`` returned, recalibrated or not; put into eval mode.
        inplace: Change `net` itself instead of a copy.

    Returns:
        The fused network. Its layers answer with their norms, so look at parts of `net` instead.

    Raises:
        WrongSetting: No chip's network.
    """
    if not isinstance(net, nn.Module) or not any(matrix.programmed for matrix in matrices(net)):
        raise WrongSetting("this network is no chip's", "pass what mho.program(net).at(t) returned")
    net = (net if inplace else copy.deepcopy(net)).eval()
    Fusion.of(net).apply(net)
    return net


class Fusion(NamedTuple):
    """What can be fused in networks of one structure; the same for every chip of a network, at every age.

    Attributes:
        norms: Path of each layer whose only reader is a batch norm, with the norm's path.
        channels_last: No operation minds the layout of images.
    """

    norms: dict[str, str]
    channels_last: bool

    @classmethod
    def of(cls, net: nn.Module) -> Fusion:
        """What a trace of a network in eval mode says; nothing for one that cannot be traced, or need not be."""
        graph = None
        if any(isinstance(m, AnalogLayer) and isinstance(m, nn.modules.conv._ConvNd) for m in net.modules()):
            with evaluating(net):
                graph = trace(net)
        return cls({}, False) if graph is None else cls(norms_behind(net, graph), blind_to_layout(net, graph))

    def apply(self, net: nn.Module) -> None:
        """Fuse a chip's network of this structure in place."""
        _fold_norms(net, self.norms)
        if self.channels_last:
            for module in net.modules():
                if isinstance(module, AnalogLayer) and isinstance(module, nn.Conv2d):
                    source = next(module.views()).matrix.source
                    if isinstance(source, Programmed):
                        source.channels_last = True


@torch.no_grad()
def _fold_norms(net: nn.Module, norms: dict[str, str]) -> None:
    modules = dict(net.named_modules(remove_duplicate=False))
    for path, norm_path in norms.items():
        layer, norm = modules[path], modules[norm_path]
        assert isinstance(layer, AnalogLayer) and isinstance(norm, BatchNorm)
        found = gain_and_shift(norm)
        if not _answers_with_its_matrix(layer) or found is None or _hooked(layer) or _hooked(norm):
            continue
        view = next(layer.views())
        source = view.matrix.source
        if not isinstance(source, Programmed):
            continue
        scale, shift = found
        if isinstance(layer.bias, torch.Tensor):
            shift = shift + scale * layer.bias
        view.matrix.source = source.scaled(scale, view.operator)
        view.matrix.source.folded = True
        layer.bias = nn.Parameter(shift, requires_grad=False)
        for name, module in modules.items():
            if module is norm:
                parent, _, child = name.rpartition(".")
                net.get_submodule(parent)._modules[child] = nn.Identity()


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _answers_with_its_matrix(layer: nn.Module) -> bool:
    """True when the layer's output is its matrix's, untouched; a forward of the user's is asked by a trial."""
    assert isinstance(layer, AnalogLayer)
    if len(list(layer.views())) != 1:
        return False
    if not isinstance(layer, OwnForward):
        return True
    answers: list[Any] = []
    handle = layer.matrix.register_forward_hook(lambda _matrix, _arguments, y: answers.append(y))
    bias = layer.bias
    try:
        layer.bias = None  # type: ignore[assignment]
        with torch.no_grad(), sources([layer.matrix], lambda _: Digital()):
            result = layer(layer.trial_input(0.0))
    except Exception:  # a forward that needs other inputs than this one
        return False
    finally:
        handle.remove()
        layer.bias = bias  # type: ignore[assignment]
    return len(answers) == 1 and result is answers[0]
