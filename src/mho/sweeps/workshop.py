"""`Workshop`: makes what trials need, each thing once: data, networks, ranges."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from mho.calibration import calibrate, ranges_of
from mho.chip import Chip, program
from mho.chip.fuse import Fusion
from mho.convert import to_analog, to_digital
from mho.data import Dataset, load
from mho.errors import BadInput, BadResults
from mho.hardware import Hardware
from mho.measure import Measurement, TestData, digital_measurement
from mho.models import resolve
from mho.nn.layer import check_calibrated
from mho.rng import reads
from mho.sweeps import keys
from mho.sweeps.config import Config
from mho.sweeps.piece import read_piece, write_piece
from mho.sweeps.sections import Pretraining
from mho.tasks.parts import few
from mho.training import fit

T = TypeVar("T")
_KEPT = {"data": 6, "digital": 3, "trained": 3, "converted": 3, "ranges": 64, "reference": 64}
"""Things of each kind that are kept; the least recently used goes first."""
CHIPS_BYTES = 2**28
"""Programmed chips of one network that are kept, in bytes: the first ones, for the same come again and again."""


class Workshop:
    """Makes things on request and keeps the latest, by keys of all that they rest on (`mho.sweeps.keys`).

    Args:
        folder: The sweep's, where trained weights lie (`mho.sweeps.piece`).

    Attributes:
        asked, found: How many things of each kind trials have asked for, and how many of them were there (`begin`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self._told: set[tuple[str, str]] = set()
        self._kept: dict[str, OrderedDict[str, Any]] = {kind: OrderedDict() for kind in _KEPT}
        self._chips: dict[str, Chip] = {}
        self._chips_of, self._room = "", 0

    def begin(self) -> None:
        """Another trial begins: what it asks for several times counts once."""
        self._told.clear()

    def data(self, name: str, contents: dict[str, str]) -> Dataset:
        """A data set.

        Raises:
            BadResults: It is another than when the sweep began.
        """

        def make() -> Dataset:
            held = load(name)
            check_content(name, held.digest(), contents)  # once: hashing takes as long as a pass over the data
            return held

        return self._once("data", name, make)

    def test(self, config: Config) -> TestData:
        """What is measured on."""
        key = f"{config.data} as {config.task}"
        found = self.data(config.data, config.contents)
        return self._once("data", key, lambda: TestData.of(found, task=config.task))

    def digital(self, config: Config) -> nn.Module:
        """The digital network, with the weights that pretraining left where that is asked for."""

        def make() -> nn.Module:
            net = first_network(config)
            return net if config.pretraining is None else self._learned(net, keys.digital(config))

        return self._once("digital", keys.digital(config), make)

    def trained(self, config: Config) -> nn.Module:
        """The digital form of the network after hardware-aware training."""
        if config.training is None:
            return self.digital(config)
        key = keys.trained(config)
        return self._once("trained", key, lambda: self._learned(copy.deepcopy(self.digital(config)), key))

    def converted(self, config: Config) -> nn.Module:
        """The converted network with its ranges; learned ones are those that training on this hardware left."""

        def make() -> nn.Module:
            net = self._ranged(config, config.hardware, self.trained(config), keys.ranges(config))
            if config.training is not None and (config.training.hardware or config.hardware) == config.hardware:
                learned = {name for name, _ in net.named_parameters() if name.endswith(("input_range", "adc_range"))}
                _, stored = read_piece(self.folder, keys.trained(config))
                net.load_state_dict({name: value for name, value in stored.items() if name in learned}, strict=False)
            check_calibrated(net)
            return net

        return self._once("converted", keys.converted(config), make)

    def fusion(self, config: Config) -> Fusion:
        """What can be fused in chips of the converted network."""
        net = self.converted(config)
        return self._once("reference", f"fusion {keys.converted(config)}", lambda: Fusion.of(net))

    def chip(self, config: Config, net: nn.Module, seed: int, *, chip: int, cycle: int = 0) -> Chip:
        """A programmed chip, as `mho.program` makes it; of one whose cells are kept, read as the network says.

        Args:
            config: The trial.
            net: Its converted network.
            seed: Root seed.
            chip: Number of the chip.
            cycle: How often it had been programmed before.
        """
        key, of = f"{keys.programmed(config)} {chip} {cycle}", keys.trained(config)
        told = self._tell("chips", key)
        if of != self._chips_of:
            self._chips, self._chips_of, self._room = {}, of, CHIPS_BYTES
        held = self._chips.get(key)
        self.found["chips"] += held is not None and not told
        if held is not None:
            return held.under(net)
        made = program(net, seed, chip=chip, cycle=cycle)
        if made.nbytes <= self._room:
            self._room -= made.nbytes
            self._chips[key] = made
        return made

    def reference(self, config: Config) -> Measurement:
        """The network in digital form on the test data."""
        key = f"{keys.trained(config)} {config.data} {config.task}"
        return self._once("reference", key, lambda: digital_measurement(self.converted(config), self.test(config)))

    def pretrain(self, config: Config, *, out: Path | None = None, loggers: Sequence[Any] = ()) -> nn.Module:
        """Train the digital network of a configuration."""
        assert config.pretraining is not None
        net = first_network(config)
        self._fit(net, config, config.pretraining, out=out, loggers=loggers)
        return net

    def train(self, config: Config, *, out: Path | None = None, loggers: Sequence[Any] = ()) -> nn.Module:
        """Train the converted network of a configuration; returns it converted."""
        assert config.training is not None
        told = config.training
        net = self.to_train(config, told.hardware or config.hardware)
        teacher = None if told.distillation is None else self.digital(config)
        more: dict[str, Any] = {"hwa": told.hwa, "teacher": teacher, "distillation": told.distillation}
        self._fit(net, config, told, out=out, loggers=loggers, **more)
        return net

    def to_train(self, config: Config, hw: Hardware) -> nn.Module:
        """The network before hardware-aware training, converted to a hardware, with its ranges; nobody else holds it."""
        return self._ranged(config, hw, self.digital(config))

    def _fit(self, net: nn.Module, config: Config, stage: Pretraining, **more: Any) -> None:
        val = None if stage.validation is None else self.data(stage.validation, config.contents)
        fit(
            net, self.data(stage.data, config.contents), **stage.options(), **more, val=val, task=config.task, seed=config.seed,
            progress=False,
        )  # fmt: skip

    def _ranged(self, config: Config, hw: Hardware, digital: nn.Module, key: str | None = None) -> nn.Module:
        """A network converted to a hardware, with ranges; with a key, those that are kept under it."""
        held = self.data(config.calibration_data, config.contents)
        net = to_analog(digital, hw, example=few(next(iter(held))))
        if key is None:
            return calibrate(net, held, **config.calibration.options())
        found = self._once(
            "ranges", key, lambda: _copied(ranges_of(calibrate(net, held, **config.calibration.options())))
        )
        net.load_state_dict(found, strict=False)
        return net

    def _learned(self, net: nn.Module, key: str) -> nn.Module:
        """The network with the weights that training left in the folder."""
        weights, _ = read_piece(self.folder, key)
        net.load_state_dict(weights)
        return net.eval()

    def _once(self, kind: str, key: str, make: Callable[[], T]) -> T:
        held, told = self._kept[kind], self._tell(kind, key)
        if key in held:
            self.found[kind] += not told
            held.move_to_end(key)
            return held[key]  # type: ignore[no-any-return]
        made = make()
        held[key] = made
        while len(held) > _KEPT[kind]:
            held.popitem(last=False)
        return made

    def _tell(self, kind: str, key: str) -> bool:
        """Count that a trial asks for a thing; whether it has asked before."""
        told = (kind, key) in self._told
        self._told.add((kind, key))
        self.asked[kind] += not told
        return told


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values that stay when the network that they are of takes others: learned ranges are loaded in place."""
    return {name: value.detach().clone() for name, value in tensors.items()}


def first_network(config: Config) -> nn.Module:
    """The digital network before any training; first weights are drawn from the trial's seed."""
    if config.weights is not None:
        check_content(config.weights, file_digest(config.weights), config.contents)
    with reads("sweep", "weights", config.seed if config.trained else 0):
        return resolve(config.network, config.weights)


def file_digest(path: str) -> str:
    """12 digits of a file's content.

    Raises:
        BadInput: It cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise BadInput(f"cannot read it ({error.strerror})", "give the file of the weights", path=path) from None


def check_content(name: str, digest: str, contents: dict[str, str]) -> None:
    """Refuse data or weights that have changed since a sweep began.

    Raises:
        BadResults: They have.
    """
    if contents.get(name, digest) != digest:
        raise BadResults(
            f"its content has changed since the sweep began ({contents[name]}, now {digest})",
            "restore it, or begin another sweep: give another out", path=name,
        )  # fmt: skip


def store(folder: Path, key: str, net: nn.Module) -> None:
    """Write what a training has left: weights of the digital form, and the ranges."""
    analog = hasattr(net, "placement")
    write_piece(folder, key, (to_digital(net) if analog else net).state_dict(), ranges_of(net) if analog else {})
