"""What `fit` is told, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from mho.arguments import many, network, one_of, whole
from mho.errors import WrongSetting
from mho.progress import check_progress
from mho.tasks import Task
from mho.training.loop.checkpoints import RESUME
from mho.training.loop.loggers import check_loggers
from mho.training.loop.loss import check_distillation
from mho.training.loop.optimizers import SCHEDULES, check_optimizer
from mho.units import duration, seconds

PRECISIONS = ("32", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Settings:
    """The arguments of `fit` that need neither the network nor the data, checked; made by `of`, which takes them as `fit` does.

    Attributes:
        epochs, batch, accumulate, devices: Whole numbers.
        early_stop: Epochs, or None.
        task: What is scored.
        loggers: Names and objects.
        save_every: Seconds.
        max_seconds: Or None.
    """

    epochs: int
    batch: int
    accumulate: int
    devices: int
    early_stop: int | None
    task: Task
    loggers: tuple[Any, ...]
    save_every: float
    max_seconds: float | None

    @classmethod
    def of(
        cls, *, epochs: Any = 1, batch: Any = 128, optimizer: Any = "sgd", lr: Any = None, schedule: Any = "cosine",
        weight_decay: Any = 0.0, momentum: Any = None, hwa: Any = None, teacher: Any = None, distillation: Any = None,
        val: Any = None, early_stop: Any = None, precision: Any = "32", accumulate: Any = 1, augment: Any = None,
        task: Any = "classes", out: Any = None, resume: Any = "auto", save_every: Any = 60.0, max_seconds: Any = None,
        devices: Any = 1, loggers: Any = (), progress: Any = True,
    ) -> Settings:  # fmt: skip
        """See `fit`, whose defaults these are.

        Raises:
            WrongSetting: An unknown name, a number outside its range, a thing of the wrong kind, or settings that contradict
                each other.
            BadInput: A folder that cannot be written.
            MissingExtra: The package of a logger is not installed.
        """
        wanted = many(loggers, "loggers")
        one_of(precision, "precision", PRECISIONS)
        one_of(schedule, "schedule", SCHEDULES)
        check_optimizer(optimizer, lr=lr, weight_decay=weight_decay, momentum=momentum)
        check_hwa(hwa)
        if teacher is not None:
            network(teacher, "teacher")
        elif distillation is not None:
            raise WrongSetting("distillation needs a teacher", "give teacher=...", path="distillation")
        check_distillation(distillation)
        check_augment(augment)
        check_progress(progress)
        if early_stop is not None and val is None:
            raise WrongSetting("early_stop needs data to measure on", "give val=...", path="early_stop")
        check_resume(resume, out)
        check_loggers(wanted, out)
        return cls(
            epochs=whole(epochs, "epochs"),
            batch=whole(batch, "batch"),
            accumulate=whole(accumulate, "accumulate"),
            devices=whole(devices, "devices"),
            early_stop=None if early_stop is None else whole(early_stop, "early_stop"),
            task=Task.of(task),
            loggers=wanted,
            save_every=seconds(save_every, "save_every"),
            max_seconds=duration(max_seconds, "max_seconds"),
        )


def check_resume(resume: Any, out: Any) -> None:
    """Refuse what says nothing of a folder, or insists on one that is not given.

    Raises:
        WrongSetting: It does.
    """
    one_of(resume, "resume", RESUME)
    if resume == "must" and out is None:
        raise WrongSetting("resume = 'must' without a folder", "give out=DIR", path="resume")


def check_augment(augment: Any) -> None:
    """Refuse what augments no batch.

    Raises:
        WrongSetting: It is neither None nor a callable.
    """
    if augment is not None and not callable(augment):
        remedy = "give a callable of (inputs, generator), such as mho.data.augment.crop_and_flip"
        raise WrongSetting(f"augment = {augment!r}", remedy, path="augment")


def check_hwa(hwa: Any) -> None:
    """Refuse what is no recipe of hardware-aware training.

    Raises:
        WrongSetting: It is neither None nor a recipe.
    """
    if hwa is not None and (isinstance(hwa, (type, nn.Module)) or not callable(getattr(hwa, "attach", None))):
        remedy = "give a recipe: mho.HWA(weights=mho.training.Gaussian(sigma=0.04))"
        raise WrongSetting(
            f"hwa = {hwa!r}" if not isinstance(hwa, nn.Module) else "hwa is a network", remedy, path="hwa"
        )
