"""`pair_of`: two samples that differ, by which a network shows how it treats samples; and what it answers to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mho.errors import BadInput
from mho.tasks.parts import answer


def pair_of(example: Any) -> Tensor:
    """The first and the last sample of a batch, (2, …); where they are alike, the second is disturbed, the same every time.

    Samples that are alike would not show that one depends on another.

    Args:
        example: Inputs (N, …); numbers that are not floats, such as tokens, are taken as they are.

    Raises:
        BadInput: No tensor, or one without samples.
    """
    if not isinstance(example, Tensor) or not example.dim() or not len(example):
        raise BadInput(
            "the example is no batch", "give a tensor (N, …) with which backbone(example) runs", path="example"
        )
    pair = torch.cat([example[:1], example[-1:]])
    if pair.is_floating_point() and torch.equal(pair[0], pair[1]):
        spread = float(pair.float().std(correction=0)) or float(pair.float().abs().max()) or 1.0
        noise = torch.randn(pair[1].shape, generator=torch.Generator().manual_seed(0))
        pair[1] += spread * noise.to(pair)
    return pair


def answered(backbone: nn.Module, pair: Tensor) -> Any:
    """The backbone's answer to two samples.

    Raises:
        BadInput: It does not take them, or answers NaN.
    """
    try:
        found = answer(backbone(pair))
    except (RuntimeError, TypeError) as error:
        problem = f"the backbone does not take two samples of it: {str(error).splitlines()[0]}"
        raise BadInput(problem, "give a batch (N, …) with which backbone(example) runs", path="example") from error
    if isinstance(found, Tensor) and bool(found.isnan().any()):
        raise BadInput("the backbone answers NaN to the example", "check its weights", path="backbone")
    return found
