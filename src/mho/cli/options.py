"""What several commands read in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mho.errors import WrongSetting

if TYPE_CHECKING:
    from torch import nn

    from mho.hardware import Hardware


DATA = (
    "A name of 'mho data list' with ?options, a folder of images by class, a .npz file, or module:factory (a torch Dataset or "
    "DataLoader, a Hugging Face dataset, batches)."
)
"""What every command says of ``--data``; `mho.data.load` reads it."""
TASK = "What is scored: classes, probability, logit, tokens or regression."
"""Help of ``--task``; the names are those of `mho.tasks.TASKS`."""


def described(hardware: str, changes: list[str] | None) -> Hardware:
    """A preset or YAML file with the changes of ``--set``."""
    from mho.hardware import Hardware

    hw = Hardware.of(hardware)
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
        WrongSetting: No '='.
    """
    import yaml

    key, equals, value = text.partition("=")
    if not equals:
        raise WrongSetting(f"--set {text!r} has no '='", "write it as --set adc.bits=6", path="--set")
    return key.strip(), yaml.safe_load(value)


def whole(text: str, option: str) -> int:
    """A whole number.

    Raises:
        WrongSetting: It is none.
    """
    try:
        return int(text)
    except ValueError:
        raise WrongSetting(
            f"{option} {text!r}", "give a whole number, or a word that --help names", path=option
        ) from None


def share(text: str) -> float:
    """'1%', '1 %' or '0.01' as a share.

    Raises:
        WrongSetting: It is none.
    """
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        return float(number) / 100 if percent else float(number)
    except ValueError:
        raise WrongSetting(f"--budget {text!r} is no share", "write it as 1% or 0.01", path="--budget") from None
