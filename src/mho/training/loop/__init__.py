"""`fit`: the training loop on PyTorch Lightning, and its parts: order of samples, losses, checkpoints."""

from mho.training.loop.fit import FitResult, fit
from mho.training.loop.loader import shuffled
from mho.training.loop.losses import Distillation, loss_for

__all__ = ["Distillation", "FitResult", "fit", "loss_for", "shuffled"]
