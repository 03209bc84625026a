"""The parts of batches and answers in the forms that libraries give them: pairs, dicts with labels, several outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mho.errors import BadInput
from mho.tasks.batches import LABELS
from mho.tasks.items import take

_ANSWERS = ("logits", "out")
"""Names under which networks of several outputs give the one that is scored (transformers; torchvision)."""


def split(batch: Any, *, shifted: bool = False, path: str = "data") -> tuple[Any, Any]:
    """Inputs and targets of a batch: a pair, or a dict with one of `LABELS`.

    A language model's dict often has labels that are the inputs themselves, for the model shifts them on its own. They are
    shifted here: the label of a position is the token after it, and the last has none.

    Args:
        batch: As the data gives it.
        shifted: The targets are to be next tokens.
        path: What to call the batch in messages.

    Raises:
        BadInput: Neither.
    """
    if isinstance(batch, Mapping):
        named = [name for name in LABELS if name in batch]
        if len(named) != 1:
            raise BadInput(
                f"a dict with {', '.join(map(repr, batch))}: {len(named) or 'none'} of these are called as targets are",
                f"call the targets by one of {', '.join(LABELS)}", path=path,
            )  # fmt: skip
        inputs, targets = inputs_of(batch), batch[named[0]]
    elif isinstance(batch, (tuple, list)) and len(batch) == 2:
        inputs, targets = (dict(batch[0]) if isinstance(batch[0], Mapping) else batch[0]), batch[1]
    else:
        raise BadInput(
            "this batch is not a pair", "give batches of (inputs, labels), or dicts with 'labels'", path=path
        )
    return inputs, _next(inputs, targets) if shifted else targets


def inputs_of(batch: Any) -> Any:
    """The inputs of a batch whose labels, if there are any, nobody looks at: a dict without them, or the first of a pair."""
    if isinstance(batch, Mapping):
        return {str(name): value for name, value in batch.items() if name not in LABELS}
    return batch[0] if isinstance(batch, (tuple, list)) else batch


def few(batch: Any, items: int = 2) -> Any:
    """The inputs of the first items of a batch: what `to_analog` takes as an example."""
    return take(inputs_of(batch), slice(items))


def answer(output: Any) -> Any:
    """The tensor that is scored in what a network returned; the output itself where it has no such name."""
    if isinstance(output, Tensor):
        return output
    for name in _ANSWERS:
        found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(found, Tensor):
            return found
    return output


def _next(inputs: Any, targets: Any) -> Any:
    tokens = inputs.get("input_ids") if isinstance(inputs, Mapping) else inputs
    targets = torch.as_tensor(targets)
    if not isinstance(tokens, Tensor) or tokens.shape != targets.shape:
        return targets
    counted = targets >= 0
    if not bool(counted.any()) or not bool((tokens == targets)[counted].all()):
        return targets
    return torch.cat([targets[..., 1:], torch.full_like(targets[..., :1], -100)], -1)
