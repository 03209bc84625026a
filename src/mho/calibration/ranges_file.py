"""Ranges in a file: what `mho calibrate` writes, and `mho drift`, `mho advise` and `mho train` take.

Ranges fit one network on one hardware: those of other weights clip or waste codes, and nothing in the results would show it.
So the file has the description of the hardware, and a digest of the network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mho.arguments import network
from mho.calibration.calibrate import arrays, ranges_of
from mho.errors import BadInput, BadResults, WrongSetting
from mho.hardware import Hardware
from mho.hardware.label import differences
from mho.nn.in_place import hardware_in_place
from mho.store.digest import digest_of_network
from mho.store.files import replaced

_ASIDE = ("version", "name", "sources", "digital", "layers")
"""Of a description: what decides nothing; which layers stand on arrays, and how, the names of the ranges tell."""


def save_ranges(net: nn.Module, path: str | Path) -> Path:
    """Write the ranges of a calibrated network, with the hardware and the digest of the network that they are for.

    The file is one of safetensors.

    Raises:
        WrongSetting: No range is set.
        BadInput: The file cannot be written.
    """
    found, file = ranges_of(network(net)), Path(path)
    if not found:
        raise WrongSetting("no range is set", "call mho.calibrate(net, batches) first")
    from safetensors.torch import save_file

    about = {"hardware": json.dumps(hardware_in_place(net).as_dict()), "network": _digest(net)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().cpu().contiguous() for name, value in found.items()}
        with replaced(file) as part:
            save_file(tensors, part, metadata=about)
    except OSError as error:
        raise BadInput(f"cannot write it ({error})", "choose another path", path=str(file)) from None
    return file


def load_ranges(net: nn.Module, path: str | Path) -> nn.Module:
    """Set the ranges that `save_ranges` wrote.

    Args:
        net: What `to_analog` returned, of the same network (its weights and buffers, not its names alone) and hardware; its
            ranges are set in place. After fine-tuning calibrate again: other weights have other ranges.
        path: The file.

    Returns:
        `net`.

    Raises:
        BadInput: The file cannot be read, or its ranges are of another network.
        WrongSetting: Its ranges are for other hardware; the message names what differs.
    """
    file = check_ranges_file(path)
    held = arrays(network(net))
    tensors, described, digest = _read(file)
    if other := differences(described.as_dict(), hardware_in_place(net).as_dict(), without=_ASIDE):
        found = "; ".join(f"{key} is {value!r} here" for key, value in other[:6])
        raise WrongSetting(
            f"the ranges are for the hardware '{described.name}', from which this one differs: {found}",
            "take the hardware of the file (leave out --hardware; mho.calibration.hardware_of(file)), or calibrate anew",
            path=str(file),
        )
    paths = {name: matrix for name, matrix in net.named_modules() if matrix in held}
    wanted = {
        f"{name}.{kind}".lstrip("."): (m, kind) for name, m in paths.items() for kind in ("input_range", "adc_range")
    }
    if unknown := [name for name in tensors if name not in wanted]:
        raise BadInput(
            f"it has ranges of layers that this network does not have: {', '.join(unknown[:4])}",
            "give the network that was calibrated, or calibrate anew",
            path=str(file),
        )
    _check_network(net, digest, file)
    for name, value in tensors.items():
        matrix, kind = wanted[name]
        old = getattr(matrix, kind)
        if old is not None and old.shape != value.shape:
            found = f"{name} has the shape {tuple(value.shape)}, here it is {tuple(old.shape)}"
            raise BadInput(found, "calibrate anew", path=str(file))
        if isinstance(old, nn.Parameter):
            with torch.no_grad():
                old.copy_(value)
        else:
            matrix.set_range(kind, value.to(next(net.parameters()).device))
    return net


def hardware_of(path: str | Path) -> Hardware:
    """The hardware that the ranges in a file are for, bits that were found by layer included.

    Raises:
        BadInput: The file cannot be read, or does not say it.
    """
    return _read(check_ranges_file(path))[1]


def check_ranges_file(path: Any) -> Path:
    """The path of a file of ranges that is there and can be read.

    Raises:
        WrongSetting: No path.
        BadInput: There is no such file, or it holds no ranges.
    """
    if not isinstance(path, (str, Path)):
        raise WrongSetting(f"ranges = {path!r}", "give the file that mho calibrate wrote", path="ranges")
    tensors = _read(Path(path))[0]
    if not tensors or any(not name.endswith(("input_range", "adc_range")) for name in tensors):
        raise BadInput("it holds no ranges alone", "give the file that mho calibrate wrote", path=str(path))
    return Path(path)


def _digest(net: nn.Module) -> str:
    """Of what decides a network's activations: numbers with fractions but the ranges themselves, in float32.

    Counters, such as the batches that a norm has seen, may differ.
    """
    state, ranges = net.state_dict(), ranges_of(net)
    decide = {
        name: value.float()
        for name, value in state.items()
        if isinstance(value, Tensor) and value.is_floating_point() and name not in ranges
    }
    return digest_of_network(decide)


def _check_network(net: nn.Module, digest: str, file: Path) -> None:
    """Refuse ranges of other weights."""
    if (here := _digest(net)) != digest:
        raise BadInput(
            f"it was calibrated on another network or other weights (digest {digest}, here {here})",
            "give the weights that were calibrated, in the precision they had, or calibrate these: mho calibrate with the same "
            "MODEL and --weights, or mho.calibrate(net, batches); weights of mho train have their ranges.safetensors beside them",
            path=str(file),
        )


def _read(file: Path) -> tuple[dict[str, Tensor], Hardware, str]:
    """Ranges, hardware and digest of the network."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), "pt") as opened:
            about = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
        if not {"hardware", "network"} <= set(about):
            raise BadInput(
                "it does not say which network and hardware it is for", "write it with mho calibrate", path=str(file)
            )
        return tensors, Hardware.parse(json.loads(about["hardware"]), where=str(file)), about["network"]
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(f"cannot read it ({reason})", "give the file that mho calibrate wrote", path=str(file)) from None
    except (SafetensorError, ValueError) as error:
        if isinstance(error, (BadInput, WrongSetting)):
            raise
        raise BadResults(f"it is damaged ({error})", "write it again: mho calibrate", path=str(file)) from None
