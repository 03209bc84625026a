"""`Shift`: a number added to each logit behind the network, and the shifts that bring predictions to given rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mho.errors import WrongSetting

Scale = Literal["logits", "probabilities"]
_EPS = 1e-7
_ROUNDS, _COOLINGS = 60, 12


def check_scale(scale: str) -> None:
    """Raises WrongSetting unless it is a `Scale`."""
    if scale not in ("logits", "probabilities"):
        raise WrongSetting(
            f"scale = {scale!r}", "'logits', or 'probabilities' after a softmax or sigmoid", path="scale"
        )


def to_logits(y: Tensor, scale: Scale) -> Tensor:
    """Outputs as logits, float64. One output (…,) or (…, 1): log p/(1-p); several: log p."""
    z = y.double()
    if scale == "logits":
        return z
    return torch.logit(z, eps=_EPS) if single(y) else z.clamp(min=_EPS).log()


def single(y: Tensor) -> bool:
    """True for one output a sample: (samples,) or (samples, 1)."""
    return y.dim() < 2 or y.shape[-1] == 1


@dataclass(frozen=True, eq=False)
class Shift:
    """A forward hook that adds `values` to the logits of a network's output.

    Attributes:
        values: One a class, or one number, float64.
        scale: What the network answers with; probabilities stay probabilities.
    """

    values: Tensor
    scale: Scale

    def __call__(self, module: nn.Module, args: Any, y: Tensor) -> Tensor:
        """The shifted output, in the dtype of `y`."""
        if self.scale == "logits":
            return y + self.values.to(y)
        z = to_logits(y, self.scale) + self.values.to(y.device)
        return (z.sigmoid() if single(y) else z.softmax(-1)).to(y.dtype)


def class_shifts(logits: Tensor, counts: Tensor) -> Tensor:
    """Shifts s with which argmax(z + s) gives every class as often as asked for, to a few in a thousand samples.

    s minimises Σ_i max_c (z_ic + s_c) - Σ_c n_c s_c, whose gradient is how often each class is predicted less n_c: the
    dual of a transport problem. It is smoothed with a temperature, solved by Sinkhorn's iteration, and cooled; of all s
    on the way the one is returned that misses fewest samples, the smallest of those. A class that is to be
    predicted never gets the share of a thousandth of a sample, so that its shift stays finite.

    Args:
        logits: (samples, classes).
        counts: n_c, (classes,), with sum `samples`.

    Returns:
        (classes,), float64, with mean 0 over the classes.

    References:
        Cuturi 2013, NeurIPS 26 (Sinkhorn's iteration for optimal transport).
    """
    z = logits.double()
    wanted = counts.to(z).clamp(min=1e-3)
    target = (wanted / wanted.sum() * len(z)).log()
    shift = best = torch.zeros_like(z[0])
    missed = _missed(z, shift, counts)
    temperature = float(z.std(unbiased=False)) or 1.0
    for _ in range(_COOLINGS):
        for _ in range(_ROUNDS):
            if missed == 0:
                return best
            soft = ((z + shift) / temperature).log_softmax(-1)
            shift = shift + temperature * (target - soft.logsumexp(0))
            shift = shift - shift.mean()
            now = _missed(z, shift, counts)
            if now < missed:
                best, missed = shift, now
        temperature /= 2
    return best


def _missed(z: Tensor, shift: Tensor, counts: Tensor) -> int:
    predicted = torch.bincount((z + shift).argmax(-1), minlength=len(shift))
    return int((predicted - counts.to(predicted)).abs().sum()) // 2
