"""State dicts from files, and into networks: all or nothing, and never by running code from the file."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
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
    """The tensors of a ``.safetensors`` file, or of a checkpoint that needs no code to be read.

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
            raise BadInput(f"damaged safetensors file ({error})", "write or fetch it again", path=str(file)) from error
    return _state_dict(_unpickled(path), path)


def _unpickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of foreign pickles before it fails on them.
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
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"cannot be read ({reason})", "write or fetch the checkpoint again", path=str(path)) from error


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    held = loaded
    if isinstance(held, Mapping):
        held = next((held[key] for key in _HOLDERS if isinstance(held.get(key), Mapping)), held)
    if not isinstance(held, Mapping) or not held or not all(isinstance(v, Tensor) for v in held.values()):
        found = f"a {type(held).__name__}"
        if isinstance(held, Mapping):
            found += f" of {', '.join(map(repr, list(held)[:_SHOWN])) or 'nothing'}"
        raise BadInput(
            f"holds {found}, not a state dict",
            f"save a state dict, alone or under {' or '.join(map(repr, _HOLDERS))}",
            path=str(path),
        )
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
    problems = [*_wrong_keys(state, own), *_wrong_tensors(state, own)]
    if problems:
        raise BadInput(
            f"the weights do not fit {type(model).__name__}; {'; '.join(problems)}",
            "give the weights of this very network, or choose the network and options that they belong to",
            path=source,
        )
    # strict=False lets the counters and tied names be absent; everything else has been checked.
    model.load_state_dict(dict(state), strict=False)


def _wrong_keys(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[str]:
    given = {id(own[key]) for key in state if key in own}
    absent = [key for key, value in own.items() if key not in state and id(value) not in given]
    yield from _listed("missing", [key for key in absent if not key.endswith(".num_batches_tracked")])
    yield from _listed("unexpected", [key for key in state if key not in own])


def _wrong_tensors(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[str]:
    shapes, types, infinite, torn = [], [], [], []
    first: dict[int, str] = {}
    for key, there in own.items():
        value = state.get(key)
        if value is None:
            continue
        if value.shape != there.shape:
            shapes.append(f"{key} is {tuple(value.shape)}, not {tuple(there.shape)}")
        elif there.is_floating_point() and not value.is_floating_point():
            types.append(f"{key} is {value.dtype}")
        elif not bool(torch.isfinite(value).all()):
            infinite.append(key)
        elif not torch.equal(value, state[first.setdefault(id(there), key)]):
            torn.append(f"{first[id(there)]} and {key}")
    yield from _listed("shapes", shapes)
    yield from _listed("types", types)
    yield from _listed("not finite", infinite)
    yield from _listed("different, but one parameter in the network", torn)


def _listed(what: str, items: list[str]) -> Iterator[str]:
    if items:
        rest = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
        yield f"{what}: {', '.join(items[:_SHOWN])}{rest}"


def _without_wrappers(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    stripped = dict(state)
    while True:
        wrapper = next((w for w in _WRAPPERS if stripped and all(key.startswith(w) for key in stripped)), None)
        if wrapper is None or any(key.startswith(wrapper) for key in own):
            return stripped
        stripped = {key.removeprefix(wrapper): value for key, value in stripped.items()}
