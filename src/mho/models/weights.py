"""State dicts from files, and into networks: all of it or nothing, and never by running code from the file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mho.errors import BadInput

_HOLDERS = ("state_dict", "model_state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.")
_SHOWN = 4


def read_weights(file: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file or of a checkpoint that `torch.load` reads with ``weights_only=True``.

    A checkpoint is a state dict, or a dict that holds one under 'state_dict', 'model_state_dict' or 'model'.

    Raises:
        BadInput: No such file, a damaged one, one that would run code, or one without a state dict.
    """
    path = Path(file)
    if not path.is_file():
        raise BadInput(
            "there is no such file", "give a .safetensors file or a checkpoint of torch.save", path=str(file)
        )
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise BadInput(
                f"damaged safetensors file ({error})", "write or fetch it again", path=str(file)
            ) from error
    return _state_dict(_unpickled(path), path)


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error) and "class" not in str(error):
            raise BadInput(
                "not a checkpoint of torch.save", "give one, or a .safetensors file", path=str(path)
            ) from error
        raise BadInput(
            "holds Python objects, and reading those would run code from the file",
            "save the tensors alone: torch.save(model.state_dict(), …) or safetensors.torch.save_file",
            path=str(path),
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"cannot be read ({reason})", "write or fetch the checkpoint again", path=str(path)
        ) from error


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    held = loaded
    if isinstance(held, Mapping):
        held = next((held[key] for key in _HOLDERS if isinstance(held.get(key), Mapping)), held)
    if not isinstance(held, Mapping) or not held or not all(isinstance(v, Tensor) for v in held.values()):
        found = (
            f"a dict of {', '.join(map(repr, list(held)[:_SHOWN]))}"
            if isinstance(held, Mapping)
            else type(held).__name__
        )
        raise BadInput(
            f"holds {found}, not a state dict", f"save a state dict, alone or under {' or '.join(map(repr, _HOLDERS))}",
            path=str(path),
        )  # fmt: skip
    return {str(key): value for key, value in held.items()}


def load_weights(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Put a state dict into a network, in place, after checking all of it.

    A prefix that `DataParallel` or `torch.compile` put before every key is taken off. Counters of batch
    norms, and tied parameters that are there under another name, may be missing.

    Args:
        model: The network.
        state: Its tensors by name.
        source: Where they come from, for messages.

    Raises:
        BadInput: Missing or unexpected keys, other shapes, integers, or values that are not finite; the
            network is then as it was.
    """
    own = {k: v for k, v in model.state_dict(keep_vars=True).items() if isinstance(v, Tensor)}
    state = _without_wrappers(state, own)
    given = {id(own[key]) for key in state if key in own}
    missing = [
        k
        for k, v in own.items()
        if k not in state and id(v) not in given and not k.endswith(".num_batches_tracked")
    ]
    unexpected = [k for k in state if k not in own]
    shared = [k for k in state if k in own]
    shapes = [
        f"{k} is {tuple(state[k].shape)}, not {tuple(own[k].shape)}"
        for k in shared
        if state[k].shape != own[k].shape
    ]
    kinds = [
        f"{k} holds {state[k].dtype}"
        for k in shared
        if own[k].is_floating_point() and not state[k].is_floating_point()
    ]
    bad = [f"{k} has values that are not finite" for k in shared if not bool(torch.isfinite(state[k]).all())]
    problems = [
        f"{what}: {', '.join(keys[:_SHOWN])}{f' and {len(keys) - _SHOWN} more' if len(keys) > _SHOWN else ''}"
        for what, keys in (
            ("missing", missing), ("unexpected", unexpected), ("shapes", shapes), ("types", kinds), ("values", bad),
        )
        if keys
    ]  # fmt: skip
    if problems:
        raise BadInput(
            f"the weights do not fit {type(model).__name__}; {'; '.join(problems)}",
            "give the weights of this very network, or choose the network (and its options) that they belong to",
            path=source,
        )
    model.load_state_dict({k: state[k] for k in shared}, strict=False)


def _without_wrappers(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    stripped = dict(state)
    while True:
        wrapper = next(
            (w for w in _WRAPPERS if stripped and all(key.startswith(w) for key in stripped)), None
        )
        if wrapper is None or any(key.startswith(wrapper) for key in own):
            return stripped
        stripped = {key.removeprefix(wrapper): value for key, value in stripped.items()}
