"""WAGE: training with integers of few bits for weights, activations, gradients and errors (Wu et al. 2018)."""

from mho.training.wage.layers import Divide, QuantisedActivation, QuantisedErrors
from mho.training.wage.loss import OneHot
from mho.training.wage.optimizer import WageSGD
from mho.training.wage.quantisers import quantise, saturate, shift, step
from mho.training.wage.recipe import Wage

__all__ = [
    "Divide", "OneHot", "QuantisedActivation", "QuantisedErrors", "Wage", "WageSGD", "quantise", "saturate", "shift", "step",
]  # fmt: skip
