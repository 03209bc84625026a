"""Keys of what trials have in common: equal keys mean equal things, for a key is a digest of all that its thing rests on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mho.hardware import Variation
from mho.store.digest import digest_of_plain
from mho.sweeps.config import Config

NOT_OF_RANGES = ("name", "sources", "beyond", "version", "compensation", "faults", "write_verify")
"""Settings of the hardware that ranges do not rest on: they follow from ideal cells and the noise of products."""

OF_TARGETS = ("g_min_us", "g_max_us", "levels")
"""Settings of a cell that say which conductance stands for a weight."""
ONLY_READ = (
    "name", "sources", "beyond", "version", "dac", "adc", "noise", "ir_drop", "wires", "columns", "compensation",
)  # fmt: skip
"""Settings of the hardware that programming does not rest on: they say how cells are read."""


def digital(config: Config) -> str:
    """Of the digital network: its first weights, and its pretraining."""
    seed = config.seed if config.trained else 0
    pretraining = None if config.pretraining is None else config.pretraining.as_dict()
    return digest_of_plain(["digital", config.network, config.weights, seed, pretraining, _read(config, "digital")])


def trained(config: Config) -> str:
    """Of the network after hardware-aware training; the digital one where there is none."""
    if config.training is None:
        return digital(config)
    training = config.training.as_dict()
    training["hardware"] = (config.training.hardware or config.hardware).as_dict(lasting=True)
    return digest_of_plain(
        ["trained", digital(config), training, config.calibration.as_dict(), _read(config, "trained")]
    )


def converted(config: Config) -> str:
    """Of the converted network with its ranges."""
    return digest_of_plain([trained(config), config.hardware.as_dict(lasting=True), _ranges(config)])


def ranges(config: Config) -> str:
    """Of the converters' ranges: what is only drawn or done later on a chip does not matter to them.

    Layers may stand on hardware of their own: there everything counts. Of the cell, encodings use what `OF_TARGETS` names; what
    one of somebody else uses is not known.
    """
    hw, hardware = config.hardware, config.hardware.as_dict(lasting=True)
    if not hw.layers:
        hardware = {key: value for key, value in hardware.items() if key not in NOT_OF_RANGES}
        hardware["variations"] = _those(config, lambda variation: variation.redraw in ("mvm", "conversion"))
        if all(type(part).__module__.startswith("mho.") for part in (hw.cell, hw.encoding)):
            hardware["cell"] = {key: hardware["cell"][key] for key in OF_TARGETS}
    return digest_of_plain([trained(config), hardware, _ranges(config)])


def programmed(config: Config) -> str:
    """Of programmed chips: their cells right after programming.

    Variations count where they change what is programmed, each with its place, which addresses its draws. Layers may stand on
    hardware of their own: there everything counts.
    """
    hardware = config.hardware.as_dict(lasting=True)
    if not config.hardware.layers:
        hardware = {key: value for key, value in hardware.items() if key not in ONLY_READ}
        hardware["variations"] = _those(config, lambda each: each.redraw == "program" and not each.on_weights)
    return digest_of_plain(["programmed", trained(config), hardware, config.chip_seed])


def _those(config: Config, which: Callable[[Variation], bool]) -> list[Any]:
    """Some of the hardware's variations, each with its place."""
    return [(i, each.as_dict(lasting=True)) for i, each in enumerate(config.hardware.variations) if which(each)]


def _ranges(config: Config) -> list[Any]:
    return [config.calibration.as_dict(), config.calibration_data, config.contents.get(config.calibration_data)]


def _read(config: Config, stage: str) -> list[Any]:
    """Contents of what a stage reads, and what it is trained for."""
    stages = [config.pretraining, config.training if stage == "trained" else None]
    names = [config.weights, *(name for each in stages if each is not None for name in (each.data, each.validation))]
    names += [config.calibration_data] if stage == "trained" else []
    return [config.task, *(config.contents.get(str(name)) for name in names)]
