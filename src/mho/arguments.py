"""Arguments of public functions, checked before work starts and refused by name."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mho.errors import WrongSetting

if TYPE_CHECKING:
    import torch
    from torch import nn


def whole(value: Any, path: str, *, least: int = 1, remedy: str = "") -> int:
    """A whole number of any library, as an int.

    Args:
        value: What was given; truth values, fractions and texts are refused.
        path: Name of the argument.
        least: Smallest one allowed.
        remedy: What to give instead; by default, from what number on.

    Raises:
        WrongSetting: It is none, or smaller.
    """
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        raise WrongSetting(f"{path} = {value!r}", remedy or f"give a whole number, at least {least}", path=path)
    return found


def number(value: Any, path: str, remedy: str, *, above: float = -math.inf, least: float = -math.inf) -> float:
    """A finite number of any library, as a float.

    Args:
        value: What was given; truth values and texts are refused.
        path: Name of the argument.
        remedy: What to give instead.
        above: What it has to exceed.
        least: Smallest one allowed.

    Raises:
        WrongSetting: It is none, or outside.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not value > above or not value >= least:
        raise WrongSetting(f"{path} = {value!r}", remedy, path=path)
    return float(value)


def one_of(value: Any, path: str, valid: Iterable[str], *, of: str = "") -> str:
    """One of some words.

    Args:
        value: What was given.
        path: Name of the argument.
        valid: The words.
        of: What the argument belongs to, where its name does not say so.

    Raises:
        WrongSetting: It is none of them; the message lists them.
    """
    known = list(valid)
    if not isinstance(value, str) or value not in known:
        where = f"{of}: {path}" if of else path
        raise WrongSetting(f"unknown {path} {value!r}", f"valid are {', '.join(known)}", path=where)
    return value


def many(value: Any, path: str) -> tuple[Any, ...]:
    """Several things as a tuple; a text is one thing, and None is none.

    Raises:
        WrongSetting: It is neither a text nor a sequence.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise WrongSetting(f"{path} = {value!r}", "give a list", path=path)
    return tuple(value)


def network(value: Any, path: str = "net") -> nn.Module:
    """A network.

    Raises:
        WrongSetting: It is something else.
    """
    from torch import nn

    if isinstance(value, nn.Module):
        return value
    if isinstance(value, str):
        remedy = f"give the network itself: mho.models.resolve({value!r})"
    elif isinstance(value, type) and issubclass(value, nn.Module):
        remedy = f"give an instance: {value.__name__}(...)"
    elif isinstance(value, Mapping):
        remedy = "give the network, not its weights: net.load_state_dict(weights)"
    else:
        remedy = "give a torch.nn.Module"
    kind = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
    raise WrongSetting(f"{path} is {kind}, not a network", remedy, path=path)


def device(value: Any, path: str = "device") -> torch.device:
    """A device of torch that is there.

    Raises:
        WrongSetting: No such kind of device, or none on this machine; the message says which there are.
    """
    import torch

    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    remedy = f"devices of this machine are {', '.join(there)}"
    try:
        found = torch.device(value)
    except (RuntimeError, TypeError, ValueError):
        raise WrongSetting(f"unknown device {value!r}", remedy, path=path) from None
    if found.type == "cpu":
        return found
    try:
        torch.empty(1, device=found)
    except Exception as error:  # each kind of device fails in its own way
        reason = (str(error).splitlines() or [""])[0]
        raise WrongSetting(f"the device {value!r} cannot be used ({reason})", remedy, path=path) from None
    return found


def check_mode() -> None:
    """Refuse `torch.inference_mode`, whose tensors take no part in anything that needs a gradient, now or later.

    Raises:
        WrongSetting: It is on.
    """
    import torch

    if torch.is_inference_mode_enabled():
        raise WrongSetting(
            "this is called inside torch.inference_mode()",
            "call it outside, or use torch.no_grad() instead: what is made in inference mode takes no gradient later",
        )
