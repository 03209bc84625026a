"""`import_weights`: a checkpoint of AIHWKit as an ordinary state dict, without running code from the file."""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from mho.errors import BadInput

_STATE, _WEIGHTS, _TILE = "analog_tile_state", "analog_tile_weights", "analog_module"
_SCALES = ("mapping_scales", "out_scaling_alpha")
_HOLDERS = ("state_dict", "model_state_dict", "model")
_PART = re.compile(rf"^(?P<layer>.*?)\.?{_TILE}(?:\.array\.(?P<row>\d+)\.(?P<col>\d+))?\.(?P<name>.+)$")
_OF_A_TILE = (
    "analog_ctx",
    "shared_weights",
    "input_range",
    "alpha",
    "mapping_lr_scale",
    "hidden",
    "quantizer",
    "reference_",
    "drift_baseline",
    "nu_drift_list",
    "programmed_weights",
    "modifier",
    "tile.",
)


def import_weights(source: str | Path | Mapping[str, Any], net: nn.Module) -> dict[str, Tensor]:
    """The weights of an AIHWKit checkpoint under the names and in the shapes of a digital network.

    Tiles of a layer are put together, their mapping scales and learned output scales multiplied in: W = scales · tile.
    Programmed or drifted weights, input ranges and tile states are not taken over: a chip is programmed anew.

    Args:
        source: What ``torch.save(model.state_dict(), …)`` wrote, or the state dict itself.
        net: The digital network that the analog one was made from; it is not changed: ``net.load_state_dict(weights)``.

    Raises:
        BadInput: No such checkpoint, or one whose layers are not those of `net`.
    """
    where = str(source) if isinstance(source, (str, Path)) else "state dict"
    state = _read(Path(source)) if isinstance(source, (str, Path)) else source
    for holder in _HOLDERS:
        if isinstance(state, Mapping) and isinstance(state.get(holder), Mapping):
            state = state[holder]
    if not isinstance(state, Mapping) or not any(_TILE in str(key) or str(key).endswith(_STATE) for key in state):
        raise BadInput("holds no tiles of AIHWKit", "give torch.save(analog_model.state_dict(), …)", path=where)
    found, rest = _layers(state, where)
    wanted = net.state_dict()
    for name in list(found):
        if name not in wanted:
            raise BadInput(
                f"has a layer '{name}', which the network has not",
                f"its weights are {', '.join(list(wanted)[:6])} …",
                path=where,
            )
        if found[name].numel() != wanted[name].numel():
            raise BadInput(
                f"'{name}' holds {found[name].numel()} weights, the network's {tuple(wanted[name].shape)}",
                "give the network that was converted", path=where,
            )  # fmt: skip
        found[name] = found[name].reshape(wanted[name].shape).to(wanted[name].dtype)
    found |= {name: value for name, value in rest.items() if name in wanted}
    if unknown := [name for name in rest if name not in wanted]:
        raise BadInput(
            f"has '{unknown[0]}', which the network has not", "give the network that was converted", path=where
        )
    if missing := [name for name in wanted if name not in found]:
        raise BadInput(f"has nothing for {', '.join(missing[:4])}", "give the network that was converted", path=where)
    return {name: found[name] for name in wanted}


def _layers(state: Mapping[str, Any], where: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and biases of analog layers, and whatever else the network holds."""
    tiles: dict[str, dict[tuple[int, int], dict[str, Any]]] = {}
    biases: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for key, value in state.items():
        match = _PART.match(key)
        if match is None:
            if isinstance(value, Tensor):
                rest[key] = value
            continue
        layer, name = match["layer"], match["name"]
        if name == "bias" and match["row"] is None:
            biases[layer] = value
            continue
        tile = tiles.setdefault(layer, {}).setdefault((int(match["row"] or 0), int(match["col"] or 0)), {})
        tile[name] = value
    found: dict[str, Tensor] = {}
    for layer, parts in tiles.items():
        prefix = f"{layer}." if layer else ""
        rows = sorted({row for row, _ in parts})
        columns = sorted({col for _, col in parts})
        try:
            pieces = [torch.cat([_weight(parts[row, col], prefix, where) for col in columns]) for row in rows]
        except KeyError as error:
            raise BadInput(f"lacks tile {error} of '{layer}'", "write it again", path=where) from None
        found[f"{prefix}weight"] = torch.cat(pieces, dim=1)
        if layer in biases:
            found[f"{prefix}bias"] = biases[layer]
    return found, rest


def _weight(tile: Mapping[str, Any], prefix: str, where: str) -> Tensor:
    """One tile's weights with its scales, (columns, rows)."""
    state = tile.get(_STATE) or {}
    weight = tile.get("tile.weight", state.get(_WEIGHTS))
    if not isinstance(weight, Tensor):
        raise BadInput(f"has no weights for '{prefix}weight'", "write it again with AIHWKit 0.8 or newer", path=where)
    for name in _SCALES:
        scale = tile.get(name, state.get(name))
        if isinstance(scale, Tensor):
            weight = weight * scale.reshape(-1, 1)
    known = (*_SCALES, _STATE, "bias")
    if odd := [name for name in tile if name not in known and not name.startswith(_OF_A_TILE)]:
        raise BadInput(
            f"has '{prefix}{_TILE}.{odd[0]}', whose meaning is not known here",
            "export it with AIHWKit's get_weights()",
            path=where,
        )
    return weight.detach().float()


class _Opaque:
    """Stands for an object of AIHWKit: takes its state, and does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.held = args

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Takes what belongs to a mapping."""

    def append(self, value: Any) -> None:
        """Takes what belongs to a list."""


class _Careful(pickle.Unpickler):
    """Makes tensors and plain values; everything else is `_Opaque`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _TORCH or (module == "torch" and name in _STORAGES):
            return super().find_class(module, name)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module.partition(".")[0] in (
            "aihwkit",
            "torch",
            "enum",
            "numpy",
            "builtins",
            "collections",
            "copyreg",
            "__builtin__",
        ):
            return _Opaque
        raise pickle.UnpicklingError(f"names '{module}.{name}'")


_TORCH = {
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch.serialization", "_get_layout"),
}
_STORAGES = {"FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage", "ShortStorage",
             "CharStorage", "ByteStorage", "BoolStorage", "Size", "device"}  # fmt: skip


def _read(path: Path) -> Any:
    if not path.is_file():
        raise BadInput("there is no such file", "give a checkpoint of torch.save", path=str(path))
    careful = SimpleNamespace(
        Unpickler=_Careful,
        UnpicklingError=pickle.UnpicklingError,
        __name__="mho.exchange",
        load=lambda file, **how: _Careful(file, **how).load(),
        loads=lambda data, **how: _Careful(io.BytesIO(data), **how).load(),
    )  # the old format of torch reads its first parts by these two
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=careful)
    except Exception as error:  # damaged files raise whatever the damaged place leads to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"cannot be read without running code from it ({reason})",
            "give torch.save(analog_model.state_dict(), …)",
            path=str(path),
        ) from error
