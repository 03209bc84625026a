"""`report`: the page that belongs to a result."""

from __future__ import annotations

from pathlib import Path

from mho.advice import Advice
from mho.errors import WrongSetting
from mho.fitting import DeviceFit
from mho.measure import Comparison, DriftResult
from mho.reports.advice import write_advice
from mho.reports.compare import write_comparison
from mho.reports.device import write_device
from mho.reports.drift import write_drift
from mho.reports.sweep import write_sweep
from mho.sweeps.effects import Findings, findings
from mho.sweeps.result import SweepResult


def report(
    result: DriftResult | Advice | Comparison | SweepResult | Findings | DeviceFit,
    directory: str | Path,
    *,
    budget: float | str = 0.01,
) -> Path:
    """Write what belongs to a result: one HTML file that opens without a network, its figures, and the rows as CSV.

    Args:
        result: What `mho.drift`, `mho.advise`, `mho.compare` or `mho.sweep` returned, or ``DriftResult.load(...)``; of a sweep
            also ``mho.sweeps.findings(...)``, which has a budget of its own; of `mho.fit_device`, which has none.
        directory: Made if it is not there.
        budget: What may be lost, see `DriftResult.floor`: of an accuracy as a share; an `Advice` has its own.

    Returns:
        Path of the HTML file: ``report.html`` (a drift, a sweep), ``advice.html``, ``compare.html`` or ``device.html``.

    Raises:
        BadInput: The directory cannot be written.
        WrongSetting: Chips share passes, so that nothing is known about single ones; a budget outside [0, 1); a result
            that has no report.
    """
    if not isinstance(directory, (str, Path)) or not str(directory):
        raise WrongSetting(f"directory = {directory!r}", "give the path of a folder", path="directory")
    if isinstance(result, Advice):
        return write_advice(result, directory)
    if isinstance(result, DriftResult):
        return write_drift(result, directory, result.score.check_budget(budget))
    if isinstance(result, Comparison):
        return write_comparison(result, directory, result.score.check_budget(budget))
    if isinstance(result, SweepResult):
        return write_sweep(findings(result, budget=budget), directory)
    if isinstance(result, Findings):
        return write_sweep(result, directory)
    if isinstance(result, DeviceFit):
        return write_device(result, directory)
    raise WrongSetting(
        f"no report belongs to a {type(result).__name__}",
        "give a DriftResult, an Advice, a Comparison, a SweepResult or a DeviceFit",
    )
