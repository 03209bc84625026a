"""The rise of the loss that errors of weights will cause, from gradients at the digital network: no chip is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mho.crossbar import Operator
from mho.measure.test_data import TestData
from mho.nn import AnalogMatrix
from mho.nn.calling import call
from mho.nn.matrix import matrices
from mho.nn.modes import evaluating
from mho.nn.source import Source, sources
from mho.rng import Stream
from mho.tasks.items import length, take

MICROBATCH = 8
"""Items that share a backward pass; see `estimate` for why a sum over few is wanted."""


class Estimate(NamedTuple):
    """Rise of the mean loss (for classes the cross-entropy, nats) that the errors of one matrix cause, mean over chips.

    Attributes:
        first: g·δ.
        diagonal: g·δ + ½ Σ F_ii δ_i².
        quadratic: g·δ + ½ δᵀ F δ.
    """

    first: float
    diagonal: float
    quadratic: float


class _Shifted(Source):
    """The parameter plus a leaf of autograd that is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.shift: Tensor | None = None

    def values(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Tensor:
        if self.shift is None:
            self.shift = torch.zeros_like(weight, requires_grad=True)
        return weight.detach() + self.shift


@torch.enable_grad()
def estimate(
    net: nn.Module,
    data: TestData,
    errors: Mapping[str, Sequence[Tensor]],
    *,
    samples: int = 512,
    seed: int = 0,
) -> dict[str, Estimate]:
    """What given errors of the weights will do to the loss, to second order, for every matrix alone.

    With errors δ of one matrix, ΔL ≈ g·δ + ½ δᵀ F δ: g is the gradient of the mean loss on these targets, F the
    Gauss-Newton matrix, which for a cross-entropy is the Fisher information Σ_n E_y[∇log p(y|x_n) ∇log p(y|x_n)ᵀ]/N with
    y drawn from the network's own prediction (`Task.own_loss`). Gradients of samples whose
    labels are so drawn have mean zero and are independent, so the square of their *sum* over a microbatch has
    the expectation of the sum of their squares: a few items a backward pass instead of one, for all matrices at once.
    `diagonal` keeps only F_ii (OBD; HAWQ and SWIM rank with it); `quadratic` is the whole form for the errors that are
    given, from the same passes.

    Args:
        net: A converted network; its matrices answer digitally here.
        data: Test data.
        errors: For each matrix (by path) the error of its weight on each chip, in torch's layout.
        samples: Most items looked at, evenly spread over the data.
        seed: Of the drawn labels.

    References:
        LeCun, Denker, Solla 1990 (optimal brain damage); Dong et al. 2019, arXiv 1905.03696 (HAWQ); Yan et al. 2022,
        arXiv 2202.08395 (SWIM); Martens 2020, JMLR 21:146 (Gauss-Newton and Fisher).
    """
    shifted = {matrix: _Shifted() for matrix in matrices(net)}
    gradient: dict[str, Tensor] = {}
    squares: dict[str, Tensor] = {}
    forms: dict[str, Tensor] = {path: torch.zeros(len(found)) for path, found in errors.items()}
    draw, count = Stream(("sensitivity", seed)), 0
    with torch.enable_grad(), evaluating(net), sources(shifted, shifted.get):
        for i, (x, y) in enumerate(_microbatches(data, samples)):
            for source in shifted.values():
                source.shift = None
            output = call(net, x)
            losses = data.task.scores(output, y)["loss"]
            if not len(losses):
                continue
            count += len(losses)
            leaves = {m.path: source.shift for m, source in shifted.items() if source.shift is not None}
            right, own = losses.sum(), data.task.own_loss(output, y, draw / i)
            slopes = _slopes(right, leaves, keep=True)
            for path, g in slopes.items():
                gradient[path] = gradient[path] + g if path in gradient else g
            for path, g in _slopes(own, leaves).items():
                squares[path] = squares[path] + g.square() if path in squares else g.square()
                if path in forms:
                    forms[path] += torch.stack([(g * error).sum() for error in errors[path]]).square().cpu()
    found = {}
    for path, of_chips in errors.items():
        if path not in gradient:  # an expert, an exit: its layer never ran, so that its errors change nothing
            found[path] = Estimate(0.0, 0.0, 0.0)
            continue
        first = float(torch.stack([(gradient[path] * e).sum() for e in of_chips]).mean()) / count
        second = float(torch.stack([(squares[path] * e.square()).sum() for e in of_chips]).mean()) / count
        found[path] = Estimate(first, first + second / 2, first + float(forms[path].mean()) / count / 2)
    return found


def _microbatches(data: TestData, samples: int) -> Iterator[tuple[Any, Any]]:
    step = max(1, -(-data.items // samples))
    offset = 0
    for x, y in data.batches:
        items = torch.arange(length(y))[(-offset) % step :: step]
        offset += length(y)
        if not isinstance(x, Tensor):
            yield x, y
        elif len(items):
            yield from ((x[some], take(y, some)) for some in items.split(MICROBATCH))


def _slopes(loss: Tensor, leaves: dict[str, Tensor], *, keep: bool = False) -> dict[str, Tensor]:
    """Gradients by path; none of what only decides what else is computed, such as the policy of `mho.models.BlockDrop`."""
    found = torch.autograd.grad(loss, list(leaves.values()), retain_graph=keep, allow_unused=True)
    return {path: g for path, g in zip(leaves, found, strict=True) if g is not None}
