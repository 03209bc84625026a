"""What a configuration does, as a digest: two that do the same have the same one, whatever their settings say."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from mho.calibration import ranges_of
from mho.errors import WrongSetting
from mho.nn.calling import call
from mho.nn.modes import evaluating
from mho.rng import reads
from mho.store.digest import Digest, digest
from mho.sweeps.config import Config
from mho.sweeps.costs import costs_of
from mho.sweeps.evaluate import chip_job
from mho.sweeps.workshop import Workshop, first_network
from mho.tasks.items import length, take
from mho.training import fit

ITEMS, STEPS = 32, 3
"""Test items that a chip answers, and optimiser steps that are taken: momentum acts on the second, schedules on later ones."""


class Fingerprints:
    """Digests of what configurations do, each made once.

    Nothing is trained for them but for a few steps, and no seed matters: networks are those before training.
    """

    def __init__(self) -> None:
        self.workshop = Workshop(Path(tempfile.gettempdir()) / "mho-no-sweep")  # nothing trained is ever asked for
        self._made: dict[tuple[str, ...], str] = {}

    def of(self, section: str, config: Config, samples: int = 0) -> str:
        """What a factor of a section is told apart by.

        Args:
            section: First part of the factor's path.
            config: At one of its levels.
            samples: Training samples for the steps of a factor of training; for all its levels the same.
        """
        key = (section, (config if "training" in section else untrained(config)).digest(), str(samples))
        if key not in self._made:
            self._made[key] = self.anew(section, config, samples)
        return self._made[key]

    def anew(self, section: str, config: Config, samples: int = 0) -> str:
        """The same without looking at what is made already."""
        if section in ("hardware", "evaluation"):
            return self._chip(config)
        if section == "calibration":
            found = ranges_of(Workshop(self.workshop.folder).converted(untrained(config)))
            return digest(found)
        return self._network(config) if section == "network" else self._weights(section, config, samples)

    @torch.no_grad()
    def _chip(self, config: Config) -> str:
        """Answers of chip 0 to some test items, at every age, and costs."""
        config = untrained(config)
        quick = config.model_copy(update={"calibration": config.calibration.replace(max_batches=1)})
        few = [next(iter(self.workshop.data(config.calibration_data, config.contents)))]
        inputs, found = self._inputs(config), Digest()
        found.text(repr(costs_of(self.workshop.converted(quick), config.costs)))
        for _, net in chip_job(quick, self.workshop, few).aged(0, config.ages):
            with reads("sweep", "proof", config.chip_seed):
                found.add(call(net, inputs))
        return found.value()

    @torch.no_grad()
    def _network(self, config: Config) -> str:
        """Answers of the digital network; where it is trained, what it is made of, too (dropout acts in training alone)."""
        net, found = first_network(untrained(config)), Digest()
        with evaluating(net), reads("sweep", "proof"):
            found.add(call(net, self._inputs(config)))
        return found.text(repr(net)).value() if config.trained else found.value()

    def _weights(self, section: str, config: Config, samples: int) -> str:
        """Weights after some optimiser steps."""
        stage = config.training if section == "training" else config.pretraining
        if stage is None:
            return "none"
        net = first_network(untrained(config))
        more: dict[str, Any] = {}
        if config.training is not None and section == "training":
            teacher = None if config.training.distillation is None else first_network(untrained(config))
            more = {"hwa": config.training.hwa, "teacher": teacher, "distillation": config.training.distillation}
            on = config.training.hardware or config.hardware
            net = self.workshop.to_train(untrained(config), on)
        data = self.workshop.data(stage.data, config.contents)
        options = {**stage.options(), "epochs": 1}
        few = data.subset(min(samples or STEPS * stage.batch * stage.accumulate, length(data.labels)))
        fit(net, few, **options, **more, task=config.task, progress=False)
        return digest(net.state_dict())

    def _inputs(self, config: Config) -> Any:
        inputs, _ = self.workshop.test(config).batches[0]
        return take(inputs, slice(ITEMS))

    def check(self, section: str, config: Config, samples: int = 0) -> None:
        """Refuse what does not do the same twice: nothing could be proven.

        Raises:
            WrongSetting: It does not.
        """
        if self.of(section, config, samples) != self.anew(section, config, samples):
            raise WrongSetting(
                "the same configuration does not give the same numbers twice, so that no factor can be told to act",
                "draw random numbers in the network from torch's own generator, if at all", path=section,
            )  # fmt: skip


def untrained(config: Config) -> Config:
    """The configuration without its trainings, and its ranges from the same data."""
    calibration = config.calibration.replace(data=config.calibration_data)
    return config.model_copy(update={"training": None, "pretraining": None, "calibration": calibration, "seed": 0})
