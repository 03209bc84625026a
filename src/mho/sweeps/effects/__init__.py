"""What a sweep's rows say: effects, thresholds, surfaces, fronts; drawn from the store alone."""

from mho.sweeps.effects.correlation import Correlation
from mho.sweeps.effects.curves import LevelCurve
from mho.sweeps.effects.effect import Effect
from mho.sweeps.effects.findings import Findings, findings
from mho.sweeps.effects.measured import Measured, measured
from mho.sweeps.effects.pareto import Front
from mho.sweeps.effects.surface import Surface, surface
from mho.sweeps.effects.threshold import Threshold

__all__ = [
    "Correlation", "Effect", "Findings", "Front", "LevelCurve", "Measured", "Surface", "Threshold", "findings", "measured",
    "surface",
]  # fmt: skip
