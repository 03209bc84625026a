"""What several commands read in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mho.errors import WrongSetting

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from mho.hardware import Hardware


DATA = (
    "A name of 'mho data list' with ?options, a folder of images by class, a .npz file, or module:factory (a torch Dataset or "
    "DataLoader, a Hugging Face dataset, batches)."
)
"""What every command says of ``--data``; `mho.data.load` reads it."""
TASK = "What is scored: classes, probability, logit, tokens or regression."
"""Help of ``--task``; the names are those of `mho.tasks.TASKS`."""


RANGES = "The converters' ranges, a file of 'mho calibrate'; without --hardware, also the hardware that they are for."
"""Help of ``--ranges``."""


def described(hardware: str | None, changes: list[str] | None, ranges: Path | None = None) -> Hardware:
    """A preset or YAML file with the changes of ``--set``; by default the hardware of a file of ranges, else `pcm`."""
    from mho.hardware import Hardware

    if hardware is None and ranges is not None:
        from mho.calibration import hardware_of

        hw = hardware_of(ranges)
    else:
        hw = Hardware.of(hardware or "pcm")
    return hw.replace(**dict(change(text) for text in changes)) if changes else hw


def trained(model: str, weights: str | None) -> nn.Module:
    """The network of the argument MODEL, in eval mode.

    Raises:
        WrongSetting: A network of random weights.
    """
    from mho.models import FACTORIES, resolve

    if weights is None and model.partition("?")[0] in FACTORIES:
        raise WrongSetting(
            f"'{model}' without weights is a random network",
            "give --weights FILE, or take a trained one: published:NAME",
            path="--weights",
        )
    return resolve(model, weights).eval()


def change(text: str) -> tuple[str, Any]:
    """``--set adc.bits=6`` as key and value.

    Raises:
        WrongSetting: No '=', or nothing after it.
    """
    import yaml

    key, equals, value = text.partition("=")
    if not equals:
        raise WrongSetting(f"--set {text!r} has no '='", "write it as --set adc.bits=6", path="--set")
    if not value.strip():
        raise WrongSetting(
            f"--set {text!r} has no value", f"for no value at all write --set {key.strip()}=null", path="--set"
        )
    return key.strip(), yaml.safe_load(value)


def number_or_word(text: str) -> int | str:
    """A whole number, or the word itself where it is none: the library knows which words there are."""
    return int(text) if text.strip().lstrip("+-").isdigit() else text
