"""`Config`: everything that decides what one trial measures."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from mho.hardware.spec import Spec
from mho.measure.asked import TIMES
from mho.sweeps.costs import COSTS
from mho.sweeps.sections import HELP, AnyHardware, Calibration, Evaluation, Pretraining, Training
from mho.tasks import Task
from mho.units import ages as read_ages


def _task(name: Any) -> Any:
    Task.of(name)
    return name


def _costs(names: Any) -> Any:
    found = [names] if isinstance(names, str) else names
    for name in found if isinstance(found, (list, tuple)) else ():
        COSTS.find(str(name))
    return found


Ages = Annotated[tuple[float, ...], BeforeValidator(lambda times: read_ages(times, "ages"))]


class Settings(Spec):
    """What a sweep holds fixed where no factor changes it."""

    remedy: ClassVar[str] = HELP
    network: str
    """As `mho.models.resolve` takes it: package.module:factory?key=value, a short name, published:NAME or a .pt2 file."""
    weights: str | None = None
    """File of its weights."""
    data: str
    """Test data, as `mho.data.load` takes it."""
    task: Annotated[str, BeforeValidator(_task)] = "classes"
    """What is scored."""
    hardware: AnyHardware
    """A preset, a YAML file, or a mapping (that may begin with `preset: NAME`)."""
    pretraining: Pretraining | None = None
    """Training of the digital network, before all else."""
    training: Training | None = None
    """Hardware-aware training."""
    calibration: Calibration = Calibration()
    """How the converters' ranges are set."""
    evaluation: Evaluation = Evaluation()
    """Recalibration and refresh of aged chips."""
    ages: Ages = read_ages(TIMES)
    """Ages at which every chip is measured."""
    costs: Annotated[tuple[str, ...], BeforeValidator(_costs)] = ()
    """What is noted of each trial besides its scores: cells, arrays, energy_pj, latency_ns, area_um2 (`mho.sweeps.costs`)."""
    chips: int = Field(default=3, ge=1)
    """Chips of each trial, the same ones in all: chip i of a seed is always the same chip."""
    chip_seed: int = Field(default=0, ge=0)
    """Root seed of the chips."""

    @property
    def trained(self) -> bool:
        """Whether a trial trains anything."""
        return self.training is not None or self.pretraining is not None

    @property
    def calibration_data(self) -> str:
        """What ranges are set from."""
        stages = (self.training, self.pretraining)
        return self.calibration.data or next((stage.data for stage in stages if stage is not None), self.data)


class Config(Settings):
    """One trial: `Settings` with every factor at a level, and a training seed."""

    seed: int = 0
    """Of first weights and of training."""
    contents: dict[str, str] = Field(default_factory=dict)
    """Digests of data and weight files by name: another content under the same name is another sweep."""

    def sources(self) -> dict[str, str]:
        """What is read from disk: name to kind (data, weights)."""
        found = {self.data: "data", self.calibration_data: "data"}
        for stage in (self.training, self.pretraining):
            if stage is not None:
                found |= {name: "data" for name in (stage.data, stage.validation) if name is not None}
        return found if self.weights is None else {**found, self.weights: "weights"}
