"""Will a trained network survive on analog in-memory-computing hardware, for how long, and what can be done about it?

    hw = mho.Hardware.preset("pcm")
    net = mho.to_analog(model, hw, example=x)
    mho.calibrate(net, batches)
    chip = mho.program(net, seed=0)
    acc = mho.accuracy(chip.at("1 month"), batches)
    result = mho.drift(net, batches, times=["1 h", "1 day", "1 month", "6 months", "1 year"])

Names are loaded when they are first used, so that ``import mho`` and ``mho --help`` stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "HWA": "mho.training",
    "Chip": "mho.chip",
    "DriftResult": "mho.measure",
    "Hardware": "mho.hardware",
    "accuracy": "mho.measure",
    "advise": "mho.advice",
    "calibrate": "mho.calibration",
    "compare": "mho.measure",
    "cost": "mho.costs",
    "drift": "mho.measure",
    "fit": "mho.training",
    "fit_device": "mho.fitting",
    "import_hardware": "mho.exchange",
    "fuse": "mho.chip",
    "perturb": "mho.perturbation",
    "program": "mho.chip",
    "report": "mho.reports",
    "sensitivity": "mho.measure",
    "sweep": "mho.sweeps",
    "to_analog": "mho.convert",
    "to_digital": "mho.convert",
}
_FOLDERS = (
    "hardware", "devices", "kernels", "crossbar", "nn", "convert", "chip", "statistics", "tasks", "store", "fitting", "exchange",
    "calibration", "recalibration", "training", "measure", "perturbation", "costs", "advice",
    "models", "data", "exits", "blocks", "sweeps", "studies", "reports", "cli", "testing",
)  # fmt: skip
__all__ = [*_WHERE]  # noqa: PLE0604

if TYPE_CHECKING:
    from mho.advice import advise as advise
    from mho.calibration import calibrate as calibrate
    from mho.chip import Chip as Chip
    from mho.chip import fuse as fuse
    from mho.chip import program as program
    from mho.convert import to_analog as to_analog
    from mho.convert import to_digital as to_digital
    from mho.costs import cost as cost
    from mho.exchange import import_hardware as import_hardware
    from mho.fitting import fit_device as fit_device
    from mho.hardware import Hardware as Hardware
    from mho.measure import DriftResult as DriftResult
    from mho.measure import accuracy as accuracy
    from mho.measure import compare as compare
    from mho.measure import drift as drift
    from mho.measure.sensitivity import sensitivity as sensitivity
    from mho.perturbation import perturb as perturb
    from mho.reports import report as report
    from mho.sweeps import sweep as sweep
    from mho.training import HWA as HWA
    from mho.training import fit as fit


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        globals()[name] = getattr(importlib.import_module(_WHERE[name]), name)  # not asked again
        return globals()[name]
    if name in _FOLDERS:
        return importlib.import_module(f"mho.{name}")
    raise AttributeError(f"module 'mho' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
