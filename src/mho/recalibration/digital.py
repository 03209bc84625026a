"""The digital network as a reference: an own copy, its outputs with the weights in digital form."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mho.errors import BadInput, WrongSetting
from mho.nn.calling import call
from mho.nn.matrix import digitally, matrices
from mho.tasks.parts import answer


def reference(net: nn.Module) -> nn.Module:
    """A copy in eval mode that later training of `net` does not reach.

    Args:
        net: The digital network, or what `to_analog` made of it.

    Raises:
        WrongSetting: A chip's network, or no network.
    """
    if not isinstance(net, nn.Module):
        raise WrongSetting(f"the digital network is a {type(net).__name__}", "give a module", path="digital_net")
    if any(m.programmed for m in matrices(net)):
        raise WrongSetting(
            "this network is a chip's", "give the digital network, or what to_analog returned", path="digital_net"
        )
    return copy.deepcopy(net).eval()


@contextmanager
def natively(net: nn.Module) -> Iterator[None]:
    """Inside the block every matrix of a converted network is multiplied digitally; nothing for a digital network."""
    with torch.no_grad(), digitally(net):
        yield


def outputs(net: nn.Module, inputs: Iterable[Any]) -> Tensor:
    """Outputs of a network for all batches, joined, on the CPU.

    Raises:
        BadInput: Something else than one tensor, or values that are not finite.
    """
    found = outputs_by_exit(net, inputs)
    if "" not in found:
        raise BadInput("the network has exits", "RecalibrateOutput shifts the outputs of each of them")
    return found[""]


def outputs_by_exit(net: nn.Module, inputs: Iterable[Any]) -> dict[str, Tensor]:
    """Outputs of each exit of a network for all batches, joined, on the CPU; of one without exits under the name "".

    Raises:
        BadInput: Something else than tensors, or values that are not finite.
    """
    found: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for x in inputs:
            y = answer(call(net, x))
            exits = isinstance(y, Mapping) and hasattr(net, "adjust")
            for name, part in y.items() if exits else [("", y)]:
                if not isinstance(part, Tensor):
                    raise BadInput(
                        f"the network returns a {type(part).__name__}",
                        "wrap it so that it returns the tensor of scores",
                    )
                found.setdefault(name, []).append(part)
    return {name: _joined(parts) for name, parts in found.items()}


def _joined(found: list[Tensor]) -> Tensor:
    try:
        joined = torch.cat(found).cpu()
    except RuntimeError as error:
        raise BadInput(f"outputs of the batches cannot be joined: {error}", "give batches of one shape") from error
    if not bool(torch.isfinite(joined).all()):
        raise BadInput("the outputs are not finite", "check the calibration data and the weights")
    return joined
