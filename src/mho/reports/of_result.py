"""`report`: the page that belongs to a result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mho.advice import Advice
from mho.costs import Cost
from mho.errors import WrongSetting
from mho.fitting import DeviceFit
from mho.measure import Comparison, DriftResult
from mho.reports.advice import write_advice
from mho.reports.compare import write_comparison
from mho.reports.cost import write_cost
from mho.reports.device import write_device
from mho.reports.drift import write_drift
from mho.reports.sweep import write_sweep
from mho.sweeps.effects import Findings, findings
from mho.sweeps.result import SweepResult

_WRITERS: dict[type, Callable[[Any, str | Path, float | str], Path]] = {
    Advice: lambda result, directory, _: write_advice(result, directory),
    DriftResult: lambda result, directory, budget: write_drift(result, directory, result.score.check_budget(budget)),
    Comparison: lambda result, directory, budget: write_comparison(
        result, directory, result.score.check_budget(budget)
    ),
    Cost: lambda result, directory, _: write_cost(result, directory),
    SweepResult: lambda result, directory, budget: write_sweep(findings(result, budget=budget), directory),
    Findings: lambda result, directory, _: write_sweep(result, directory),
    DeviceFit: lambda result, directory, _: write_device(result, directory),
}
"""What writes the page of a result, from the result, the folder and the budget."""


def report(
    result: DriftResult | Advice | Comparison | Cost | SweepResult | Findings | DeviceFit,
    directory: str | Path,
    *,
    budget: float | str = 0.01,
) -> Path:
    """Write what belongs to a result: one HTML file that opens without a network, its figures, and the rows as CSV.

    Args:
        result: What `mho.drift`, `mho.advise`, `mho.compare`, `mho.cost`, `mho.sweep` or `mho.fit_device` returned, or
            ``DriftResult.load(...)``; of a sweep also ``mho.sweeps.findings(...)``.
        directory: Made if it is not there.
        budget: What may be lost, see `DriftResult.floor`: of an accuracy as a share. An `Advice` and findings have their own,
            a cost and a device have none.

    Returns:
        Path of the HTML file: ``report.html`` (a drift, a sweep), ``advice.html``, ``compare.html``, ``cost.html`` or
        ``device.html``.

    Raises:
        BadInput: The directory cannot be written.
        WrongSetting: Chips share passes, so that nothing is known about single ones; a budget outside [0, 1); a result
            that has no report.
    """
    if not isinstance(directory, (str, Path)) or not str(directory):
        raise WrongSetting(f"directory = {directory!r}", "give the path of a folder", path="directory")
    for kind, write in _WRITERS.items():
        if isinstance(result, kind):
            return write(result, directory, budget)
    names = ", ".join(kind.__name__ for kind in _WRITERS)
    raise WrongSetting(f"no report belongs to a {type(result).__name__}", f"give one of {names}")
