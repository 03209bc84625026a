"""Sweeps: factors, designs, the proof that each factor acts, worker processes, and a ledger that survives `kill -9`."""

from mho.sweeps.config import Config
from mho.sweeps.designs import DESIGNS, Design
from mho.sweeps.effects import Findings, findings
from mho.sweeps.export import export
from mho.sweeps.factor import Factor
from mho.sweeps.plan import Plan
from mho.sweeps.preview import Preview, preview
from mho.sweeps.proof import Proof
from mho.sweeps.result import SweepResult
from mho.sweeps.run import sweep
from mho.sweeps.smallest import Smallest, smallest
from mho.sweeps.summary import LevelMean, level_means
from mho.sweeps.trial import Trial, trials

__all__ = [
    "DESIGNS", "Config", "Design", "Factor", "Findings", "LevelMean", "Plan", "Preview", "Proof", "Smallest", "SweepResult",
    "Trial", "export", "findings", "level_means", "preview", "smallest", "sweep", "trials",
]  # fmt: skip
