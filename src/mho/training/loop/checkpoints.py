"""The folder of a training: `run.json` (its settings) and checkpoints that are either whole or not there."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mho.errors import BadInput, BadResults
from mho.store.digest import Digest, digest

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

    def begin(self, settings: dict[str, Any], resume: str) -> dict[str, Any] | None:
        """Claim the directory for a training, or find the training that is there.

        Args:
            settings: What decides the result, plain values only. Its 'weights', the digest of those to begin with, may also
                be that of a checkpoint: the network that this training left behind.
            resume: ``"auto"``: go on where there is something, else begin; ``"must"`` and ``"never"`` insist on one.

        Returns:
            The last checkpoint, or None.

        Raises:
            BadInput: The directory cannot be written, or `resume` asks for what is not so.
            BadResults: It holds another training, or a damaged one.
        """
        here, path = str(self.directory), self.directory / _RUN
        self._check_writable()
        try:
            stored = dict(json.loads(path.read_text())) if path.exists() else None
        except ValueError as error:
            raise BadResults(f"is damaged ({error})", "give another out", path=str(path)) from error
        if stored is not None and resume == "never":
            raise BadInput("there is a run already", "give another out, or resume='auto'", path=here)
        state = load_checkpoint(self.last) if self.last.exists() else None
        if stored is None and (state is not None or self.best.exists()):
            raise BadResults(f"checkpoints without {_RUN}", "give another out", path=here)
        settings = json.loads(json.dumps(settings))
        if stored is not None and settings != stored:
            if settings["weights"] in self._left_behind(state):
                settings["weights"] = stored.get("weights")
            different = [k for k in {**stored, **settings} if stored.get(k) != settings.get(k)]
            if different:
                found = "; ".join(f"{k}: {stored.get(k)!r} there, {settings.get(k)!r} asked for" for k in different)
                raise BadResults(f"it holds another run ({found})", "give another out", path=here)
        if state is None and resume == "must":
            raise BadInput("there is no checkpoint to go on from", "give resume='auto'", path=here)
        if stored is None:
            with replaced(path) as part:
                part.write_text(json.dumps(settings, indent=1))
        return state

    def save(self, path: Path, state: dict[str, Any]) -> None:
        """Write a checkpoint; a crash leaves the old one.

        Raises:
            BadInput: The disk is full, or the directory has become unwritable.
        """
        try:
            with replaced(path) as part:
                torch.save(state, part)
        except (OSError, RuntimeError) as error:
            raise BadInput(f"cannot write a checkpoint: {error}", "the last one is kept", path=str(path)) from error

    def _left_behind(self, state: dict[str, Any] | None) -> set[str]:
        """Digests of the weights that this training left in a network."""
        found = set() if state is None else {digest(*state["net"].values())}
        return found | ({digest(*load_checkpoint(self.best)["state_dict"].values())} if self.best.exists() else set())

    def _check_writable(self) -> None:
        probe = self.directory / f".probe.{os.getpid()}"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            found = f"cannot write checkpoints: {error.strerror or error}"
            raise BadInput(found, "give another out", path=str(self.directory)) from error


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


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file to write; where that succeeds it takes the place of `path`, on the disk, in one move."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        _sync(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)  # the move itself, too, is to survive a loss of power


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def shapes_of(net: nn.Module) -> str:
    """A digest of the names and shapes of a network's tensors, and of what its modules say of themselves."""
    text = repr(net) + "".join(f"{k}{tuple(v.shape)}{v.dtype}" for k, v in net.state_dict().items())
    hardware = sorted({repr(m.hw) for m in net.modules() if hasattr(m, "hw")})
    return Digest().text(_plain(text) + "".join(hardware)).value()


def name_of(thing: Any) -> str | None:
    """A name that is the same in the next process."""
    if thing is None or isinstance(thing, str):
        return thing
    if isinstance(thing, functools.partial):
        return _plain(f"{name_of(thing.func)}{thing.args}{sorted(thing.keywords.items())}")
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return _plain(repr(thing))


def _plain(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text)
