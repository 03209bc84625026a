"""The parts of a sweep's file that a factor can change, besides the hardware: training, calibration, evaluation."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from mho.arguments import one_of
from mho.calibration.ranges import Method, rules
from mho.errors import BadInput
from mho.hardware import Hardware
from mho.hardware.spec import Spec
from mho.recalibration import RECALIBRATIONS
from mho.training.hwa import HWA
from mho.training.loop.loss import check_distillation
from mho.training.loop.optimizers import SCHEDULES, check_optimizer
from mho.training.loop.settings import PRECISIONS
from mho.units import duration

HELP = "docs/sweep.md shows a whole file and says what each key means"


def described(value: Any) -> Any:
    """A hardware from the name of a preset, the path of a YAML file, or a mapping, which may begin with `preset`."""
    try:
        return Hardware.described(value) if isinstance(value, dict) else Hardware.of(value)
    except BadInput as error:  # of a file; told with all else that is wrong
        raise ValueError(str(error)) from None


AnyHardware = Annotated[Hardware, BeforeValidator(described)]


class Pretraining(Spec):
    """Training of the digital network; the settings are those of `mho.fit`."""

    remedy: ClassVar[str] = HELP
    data: str
    """Training data, as `mho.data.load` takes it."""
    validation: str | None = None
    """Data that are scored after every epoch; the weights of the best one stay."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the data."""
    batch: int = Field(default=128, ge=1)
    """Samples at a time."""
    accumulate: int = Field(default=1, ge=1)
    """Batches in an optimiser step."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Name of the optimiser."""
    lr: float | None = None
    """Largest rate; null: 0.01 for sgd, 0.001 for adamw."""
    schedule: str = "cosine"
    """Of the rate: cosine, constant or onecycle."""
    weight_decay: float = 0.0
    """As the optimiser has it."""
    momentum: float | None = None
    """Of sgd; null: 0.9."""
    precision: str = "32"
    """32, bf16-mixed or 16-mixed."""
    augment: bool = False
    """Random crops and flips of images."""

    @model_validator(mode="after")
    def _possible(self) -> Pretraining:
        one_of(self.schedule, "schedule", SCHEDULES)
        one_of(self.precision, "precision", PRECISIONS)
        check_optimizer(self.optimizer, lr=self.lr, weight_decay=self.weight_decay, momentum=self.momentum)
        return self

    def options(self) -> dict[str, Any]:
        """Arguments of `mho.fit` besides the data and validation data."""
        from mho.data.augment import crop_and_flip

        names = (
            "epochs",
            "batch",
            "accumulate",
            "optimizer",
            "lr",
            "schedule",
            "weight_decay",
            "momentum",
            "precision",
        )
        return {**{name: getattr(self, name) for name in names}, "augment": crop_and_flip if self.augment else None}


class Training(Pretraining):
    """Hardware-aware training of the converted network."""

    hwa: HWA | None = None
    """What is injected besides the hardware's own noise, as `mho.HWA` describes it."""
    distillation: tuple[float, float] | None = None
    """Temperature, and share of the digital network's answers in the loss; null: labels alone."""
    hardware: AnyHardware | None = None
    """Hardware to train on; null: the one that is evaluated."""

    @model_validator(mode="after")
    def _taught(self) -> Training:
        check_distillation(self.distillation)
        return self


class Calibration(Spec):
    """How the converters' ranges are set; the settings are those of `mho.calibrate`."""

    remedy: ClassVar[str] = HELP
    data: str | None = None
    """Inputs (labels are not looked at); null: the training data, or the test data where nothing is trained."""
    method: Method = "quantile"
    """max, quantile, moving_average, std or error."""
    adc_method: Method | None = None
    """Of the ADCs; null: the same."""
    quantile: float | None = None
    """Share of the values covered."""
    sigmas: float | None = None
    """Standard deviations."""
    momentum: float | None = None
    """Of moving_average."""
    max_batches: int | None = Field(default=None, ge=1)
    """Most batches looked at."""

    @model_validator(mode="after")
    def _possible(self) -> Calibration:
        rules(self.method, self.adc_method, self.quantile, self.sigmas, self.momentum)
        return self

    def options(self) -> dict[str, Any]:
        """Arguments of `mho.calibrate` besides the network and the data."""
        return {name: value for name, value in self if name != "data"}


class Evaluation(Spec):
    """What is done with aged chips before they are measured, as `mho.drift` does it."""

    remedy: ClassVar[str] = HELP
    recalibrate: tuple[str, ...] = ()
    """norms, affine, output or threshold, in order; on the data that ranges are set from."""
    refresh: str | float | None = None
    """Interval, such as 1 month, after which a chip is programmed anew, again and again."""

    @model_validator(mode="after")
    def _possible(self) -> Evaluation:
        for kind in self.recalibrate:
            RECALIBRATIONS.find(kind)
        duration(self.refresh, "refresh")
        return self

    @property
    def refresh_s(self) -> float | None:
        """The interval in seconds."""
        return duration(self.refresh, "refresh")
