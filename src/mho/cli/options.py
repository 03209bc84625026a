"""What several commands read in the same way."""

from __future__ import annotations

from typing import Any

from mho.errors import WrongSetting


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
