"""Which weights matter most: their rank over the whole network, for selective write-verify."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mho.arguments import network, whole
from mho.convert import to_digital
from mho.errors import BadInput, WrongSetting
from mho.nn import AnalogLayer
from mho.tasks.batches import batches_of


@torch.enable_grad()
def rank_weights(
    net: nn.Module,
    batches: Iterable[Any],
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    group: int = 8,
) -> nn.Module:
    """Rank every weight on arrays by how much the loss is expected to rise for an error in it.

    The rise for an independent error of variance s² w_scale² is ½ h s² w_scale², h the weight's second derivative,
    for which stands the mean squared gradient of the loss of `group` samples (empirical Fisher), and w_scale the weight
    that full conductance stands for, to which errors of cells are proportional. Ranks are kept with the arrays
    (``matrix.rank``: the share of the network's weights below), and in the state dict.

    Args:
        net: What `to_analog` returned; only its arrays' ranks are changed.
        batches: Batches of (inputs, labels).
        loss: Of (outputs, labels), a mean over samples.
        group: Samples whose gradient is squared at a time; the fewer, the closer to the Fisher and the slower.

    Returns:
        `net`.

    Raises:
        BadInput: No batch, or a gradient that is not finite.
        WrongSetting: Not a converted network.

    References:
        LeCun et al. 1990, NeurIPS 2 (second derivatives as saliency); Yan, Hu, Shi 2022, DAC (SWIM: selective
        write-verify by second derivatives).
    """
    network(net)
    group = whole(group, "group")
    layers = {path: module for path, module in net.named_modules() if isinstance(module, AnalogLayer)}
    if not layers:
        raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
    digital = to_digital(net).eval()
    parameters = {
        (path, view.parameter): digital.get_submodule(path).get_parameter(view.parameter)
        for path, layer in layers.items()
        for view in layer.views()
    }
    total = {key: torch.zeros_like(parameter) for key, parameter in parameters.items()}
    groups = 0
    for x, y in batches_of(batches, path="batches"):
        for part, labels in zip(x.split(group), y.split(group), strict=True):
            found = torch.autograd.grad(loss(digital(part), labels), list(parameters.values()), allow_unused=True)
            groups += 1
            for key, g in zip(parameters, found, strict=True):
                total[key] += 0 if g is None else g.detach().square()
    if not groups:
        raise BadInput("there is no batch to rank with", "give at least one batch of (inputs, labels)", path="batches")
    scores: list[tuple[Any, Tensor]] = []
    for path, layer in layers.items():
        for view in layer.views():
            part = _part_like(total[path, view.parameter], layer.get_parameter(view.parameter), view.weight)
            matrix = view.operator.to_matrix(view.weight.detach())
            scale = matrix.abs().amax(-1, keepdim=True).expand_as(matrix)
            kernel = tuple(view.weight.shape[2:]) if view.operator.dims else ()
            scores.append((view.matrix, part * view.operator.to_weight(scale.square(), kernel)))
    flat = torch.cat([score.flatten() for _, score in scores])
    if not bool(torch.isfinite(flat).all()):
        raise BadInput("gradients are not finite", "check the data and the weights", path="batches")
    ranks = torch.empty_like(flat)
    ranks[flat.argsort()] = torch.arange(len(flat), dtype=flat.dtype, device=flat.device) / len(flat)
    for (matrix, score), rank in zip(scores, ranks.split([s.numel() for _, s in scores]), strict=True):
        matrix.register_buffer("rank", rank.view(score.shape))
    return net


def _part_like(whole: Tensor, parameter: Tensor, part: Tensor) -> Tensor:
    """The part of `whole` that `part` is of the parameter (a view of it, or all of it, or computed from all of it)."""
    if part.untyped_storage().data_ptr() != parameter.untyped_storage().data_ptr():
        return whole.reshape(part.shape)
    offset = part.storage_offset() - parameter.storage_offset() + whole.storage_offset()
    return whole.as_strided(part.shape, part.stride(), offset)
