"""Noise on what a digital network has stored, beside any hardware: how much of it a network stands."""

from mho.perturbation.curve import NoiseCurve
from mho.perturbation.perturb import perturb
from mho.perturbation.perturbation import Perturbation
from mho.perturbation.perturbed import perturbed
from mho.perturbation.result import PerturbationResult

__all__ = ["NoiseCurve", "Perturbation", "PerturbationResult", "perturb", "perturbed"]
