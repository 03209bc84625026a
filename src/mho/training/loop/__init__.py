"""`fit`: the training loop and its parts: order of samples, steps, processes, checkpoints, loggers."""

from mho.training.loop.fit import FitResult, fit
from mho.training.loop.loader import shuffled
from mho.training.loop.loss import Distillation

__all__ = ["Distillation", "FitResult", "fit", "shuffled"]
