"""`Shift`: a number added to each logit behind the network, and the shifts that bring predictions to given rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mho.errors import WrongSetting

Scale = Literal["logits", "probabilities"]
_EPS = 1e-7
_NEVER, _SHORTEST = 1e-3, 1e-6
_STEPS, _COOLINGS = 8, 16


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
        """See `shifted`."""
        return self.shifted(y)

    def shifted(self, y: Tensor) -> Tensor:
        """The shifted output, in the dtype of `y`."""
        if self.scale == "logits":
            return y + self.values.to(y)
        z = to_logits(y, self.scale) + self.values.to(y.device)
        return (z.sigmoid() if single(y) else z.softmax(-1)).to(y.dtype)


def class_shifts(logits: Tensor, counts: Tensor) -> Tensor:
    """Shifts s with which argmax(z + s) gives every class as often as asked for, to a sample or two.

    s minimises Σ_i max_c (z_ic + s_c) - Σ_c n_c s_c, a convex function whose gradient is how often each class is
    predicted less n_c: the dual of a transport problem. The maximum is smoothed with a temperature, Newton's method
    solves that, and the temperature falls; of all s on the way the first that misses fewest samples is returned. A class
    that is never to be predicted is asked for a thousandth of a sample, so that its shift stays finite.

    Args:
        logits: (samples, classes).
        counts: n_c, (classes,), with sum `samples`.

    Returns:
        (classes,), float64; zeros where nothing is to be changed.

    References:
        Peyré, Cuturi 2019, Computational Optimal Transport, ch. 4 and 5 (entropic smoothing, semi-discrete dual).
    """
    z = logits.double()
    wanted = counts.to(z).clamp(min=_NEVER)
    wanted = wanted / wanted.sum() * len(z)
    shift = best = torch.zeros_like(z[0])
    missed = _missed(z, shift, counts)
    temperature = float(z.std(correction=0)) or 1.0
    for _ in range(_COOLINGS):
        for _ in range(_STEPS):
            if missed == 0:
                return best
            shift, settled = _newton(z, shift, wanted, temperature)
            now = _missed(z, shift, counts)
            if now < missed:
                best, missed = shift, now
            if settled:
                break
        temperature /= 2
    return best


def _newton(z: Tensor, shift: Tensor, wanted: Tensor, temperature: float) -> tuple[Tensor, bool]:
    """A step down the smoothed dual, shortened until it leads down; and whether there was next to nothing to gain."""
    soft = ((z + shift) / temperature).softmax(-1)
    rates = soft.sum(0)
    slope = rates - wanted
    # A constant changes nothing, and classes that nothing is near to hardly anything: the ridge keeps their steps finite.
    curve = (torch.diag(rates) - soft.T @ soft) / temperature
    ridge = 1e-9 * len(z) / temperature
    step = -torch.linalg.solve(curve + ridge * torch.eye(len(shift), dtype=z.dtype, device=z.device), slope)
    step = step - step.mean()
    gain = float(-slope @ step)
    start, length = _dual(z, shift, wanted, temperature), 1.0
    while length > _SHORTEST and _dual(z, shift + length * step, wanted, temperature) > start - 1e-4 * length * gain:
        length /= 2
    return shift + length * step, gain < 1e-6 * temperature or length <= _SHORTEST


def _dual(z: Tensor, shift: Tensor, wanted: Tensor, temperature: float) -> float:
    return float(temperature * ((z + shift) / temperature).logsumexp(-1).sum() - wanted @ shift)


def _missed(z: Tensor, shift: Tensor, counts: Tensor) -> int:
    predicted = torch.bincount((z + shift).argmax(-1), minlength=len(shift))
    return int((predicted - counts.to(predicted)).abs().sum()) // 2
