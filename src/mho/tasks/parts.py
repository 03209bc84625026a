"""The parts of batches and answers in the forms that libraries give them: pairs, dicts with labels, several outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mho.errors import BadInput
from mho.nn.calling import call, required
from mho.tasks.batches import LABELS
from mho.tasks.items import take, tensors_of

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
        inputs, targets = {str(name): value for name, value in batch.items() if name != named[0]}, batch[named[0]]
    elif isinstance(batch, (tuple, list)) and len(batch) == 2:
        inputs, targets = (dict(batch[0]) if isinstance(batch[0], Mapping) else batch[0]), batch[1]
    else:
        raise BadInput(
            "this batch is not a pair",
            "give batches of (inputs, labels), as in [(X, Y)], or dicts with 'labels'",
            path=path,
        )
    return inputs, _next(inputs, targets) if shifted else targets


def inputs_of(batch: Any, net: nn.Module | None = None) -> Any:
    """The inputs of a batch whose labels, if there are any, nobody looks at: the first of a pair, or a dict without them.

    In a dict 'labels' is always the labels. Without it, every other name of `LABELS` is, unless the network's forward
    has a required argument of that name, or no tensor would remain. Where that takes an input away, a pair helps: of
    (dict, labels) the dict is passed on whole.

    Args:
        batch: As the data gives it.
        net: The network that it is for, where that is known.
    """
    if isinstance(batch, Mapping):
        given = {str(name): value for name, value in batch.items()}
        if "labels" in given:
            return {name: value for name, value in given.items() if name != "labels"}
        kept = required(net) if net is not None else set()
        left = {name: value for name, value in given.items() if name not in LABELS or name in kept}
        return left if any(True for _ in tensors_of(left)) else given
    return batch[0] if isinstance(batch, (tuple, list)) else batch


def run(net: nn.Module, batch: Any) -> Any:
    """The network's answer to the inputs of a batch.

    Raises:
        BadInput: The forward asks a dict for a key that was taken as its labels.
    """
    inputs = inputs_of(batch, net)
    try:
        return call(net, inputs)
    except KeyError as error:
        name = error.args[0] if error.args else None
        if not isinstance(batch, Mapping) or name not in batch or name in inputs:
            raise
        raise BadInput(
            f"the network reads {name!r}, which was taken as the labels",
            f"give pairs (inputs, labels), the inputs a dict with {name!r}, or call that input otherwise",
            path="data",
        ) from error


def few(batch: Any) -> Any:
    """The inputs of the first two items of a batch: what `to_analog` takes as an example."""
    return take(inputs_of(batch), slice(2))


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
