"""`perturbed`: a network with noise on its stored tensors, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mho.arguments import network, number, whole
from mho.errors import WrongSetting
from mho.nn import AnalogLayer
from mho.perturbation.perturbation import Perturbation, by_groups
from mho.rng import Stream

_WAY = "give the noise as a share of the reference, 0 or more: 0.1"


@contextmanager
def perturbed(
    net: nn.Module, perturbation: Perturbation, eta: float, *, seed: int = 0, draw: int = 0
) -> Iterator[nn.Module]:
    """Inside the block the network has noise on its stored tensors; then every one of them is what it was, bit for bit.

    Draw *i* of a seed is the same for every η, and for networks whose tensors have the same names and shapes: what is
    measured with it is paired.

    Args:
        net: A digital network.
        perturbation: Which tensors, and what η is a share of.
        eta: η, 0 or more.
        seed: Root of the draws.
        draw: Number of the draw.

    Raises:
        WrongSetting: A negative η, a scope without tensors, or an analog network, whose arrays bring their own noise.
    """
    network(net)
    eta = number(eta, "eta", _WAY, least=0)
    stream = Stream((whole(seed, "seed", least=0), "perturbation", whole(draw, "draw", least=0)))
    if any(isinstance(module, AnalogLayer) for module in net.modules()):
        raise WrongSetting(
            "this network is on arrays, whose noise is their own", "give the digital network", path="net"
        )
    tensors, shapes = perturbation.tensors(net), by_groups(net)
    kept = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    try:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(perturbation.drawn(name, kept[name], eta, stream, shapes.get(name)))
        yield net
    finally:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(kept[name])
