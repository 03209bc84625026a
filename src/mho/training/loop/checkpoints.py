"""The folder of a training: `run.json` (its settings) and checkpoints that are either whole or not there."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mho.errors import BadInput, BadResults
from mho.store.digest import digest
from mho.store.files import probe, replaced

RESUME = ("auto", "must", "never")
_RUN, _LAST, _BEST = "run.json", "last.ckpt", "best.ckpt"


class Folder:
    """One training in one directory.

    Args:
        directory: Made by `begin`.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.last, self.best = self.directory / _LAST, self.directory / _BEST
        self._settings: dict[str, Any] = {}

    def begin(self, settings: dict[str, Any], resume: str, *, fixed: str = "") -> dict[str, Any] | None:
        """Claim the directory for a training, or find the training that is there.

        Args:
            settings: What decides the result, plain values only. Its 'weights', the digest of those to begin with, may also
                be that of a checkpoint: the network that this training left behind.
            fixed: What makes every step depend on the number of epochs, so that none can be added; empty for nothing.
            resume: ``"auto"``: go on where there is something, else begin; ``"must"`` and ``"never"`` insist on one.

        Returns:
            The last checkpoint, or None.

        Raises:
            BadInput: The directory cannot be written, or `resume` asks for what is not so.
            BadResults: It holds another training, or a damaged one.
        """
        here, path = str(self.directory), self.directory / _RUN
        try:
            probe(self.directory)
            stored = json.loads(path.read_text()) if path.exists() else {}
        except OSError as error:
            found = f"cannot write checkpoints: {error.strerror or error}"
            raise BadInput(found, "give another out", path=here) from error
        except ValueError as error:
            raise BadResults(f"is damaged ({error})", "give another out", path=str(path)) from error
        if stored and resume == "never":
            raise BadInput("there is a run already", "give another out, or resume='auto'", path=here)
        state = load_checkpoint(self.last) if self.last.exists() else None
        if not stored and (state is not None or self.best.exists()):
            raise BadResults(f"checkpoints without {_RUN}", "give another out", path=here)
        settings = json.loads(json.dumps(settings))
        if settings["weights"] in self._left_behind(state):
            settings["weights"] = stored.get("weights")
        different = [key for key in {**stored, **settings} if stored.get(key) != settings.get(key)]
        longer = different == ["epochs"] and settings["epochs"] > stored["epochs"]
        if stored and different and (fixed or not longer):
            found = "; ".join(f"{key}: {stored.get(key)!r} there, {settings.get(key)!r} asked for" for key in different)
            remedy = "give another out"
            if longer:
                found += f"; {fixed} gives each step its place among all, so that the run there is no beginning of a longer one"
                remedy += ", and begin with the weights from here or anew; with schedule='constant' epochs can be added"
            elif different == ["epochs"]:
                remedy += f", or at least {stored['epochs']} epochs"
            raise BadResults(f"it holds another run ({found})", remedy, path=here)
        if state is None and resume == "must":
            raise BadInput("there is no checkpoint to go on from", "give resume='auto'", path=here)
        self._settings = settings
        if not stored:
            self.note()
        return state

    def note(self) -> None:
        """Write down the settings that `begin` accepted; after a run was restored, for it may have been refused before."""
        file = self.directory / _RUN
        try:
            with replaced(file) as part:
                part.write_text(json.dumps(self._settings, indent=1))
        except OSError as error:
            raise BadInput(
                f"cannot be written: {error.strerror}", "make room, or give another out", path=str(file)
            ) from error

    def save(self, path: Path, state: dict[str, Any]) -> None:
        """Write a checkpoint; a crash leaves the old one.

        Raises:
            BadInput: The disk is full, or the directory has become unwritable.
        """
        try:
            with replaced(path) as part:
                torch.save(state, part)
        except OSError as error:
            raise BadInput(f"cannot write a checkpoint: {error}", "the last one is kept", path=str(path)) from error

    def _left_behind(self, state: dict[str, Any] | None) -> set[str]:
        """Digests of the weights that this training left in a network."""
        nets = [] if state is None else [state["net"]]
        nets += [load_checkpoint(self.best)["state_dict"]] if self.best.exists() else []
        return {digest(*net.values()) for net in nets}


@contextlib.contextmanager
def back_to_last(net: nn.Module, folder: Folder | None) -> Iterator[None]:
    """Whatever ends the block early leaves the network with the weights of the folder's last checkpoint, where there is one."""
    try:
        yield
    except BaseException:
        if folder is not None and folder.last.exists():
            net.load_state_dict(load_checkpoint(folder.last)["net"])
        raise


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `Folder.save` wrote; no code of the file is run.

    Raises:
        BadResults: The file is damaged.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadResults(f"is damaged ({reason})", "remove the run, or give another out", path=str(path)) from error


def name_of(thing: Any) -> str | None:
    """What a thing says of itself, the same in the next process."""
    if thing is None or isinstance(thing, str):
        return thing
    if isinstance(thing, functools.partial):
        return f"{name_of(thing.func)}{thing.args}{sorted(thing.keywords.items())}"
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(thing))
