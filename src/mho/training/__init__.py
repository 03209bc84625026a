"""Hardware-aware training: what is injected, the session that injects it, and a loop that can be stopped and goes on."""

from mho.training.clip import Clip
from mho.training.hwa import HWA, Session
from mho.training.injections import Discretise, DropConnect, Gaussian, Injection, Programming
from mho.training.loop import Distillation, FitResult, fit, shuffled
from mho.training.plain import train
from mho.training.ranking import rank_weights
from mho.training.schedule import Schedule
from mho.training.wage import Wage

__all__ = [
    "HWA", "Clip", "Discretise", "Distillation", "DropConnect", "FitResult", "Gaussian", "Injection", "Programming",
    "Schedule", "Session", "Wage", "fit", "rank_weights", "shuffled", "train",
]  # fmt: skip
