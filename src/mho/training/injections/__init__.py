"""What training injects into the weights, one kind a file, each on weights in units of their scale."""

from mho.training.injections.base import INJECTIONS, Injection, Scope
from mho.training.injections.discretise import Discretise
from mho.training.injections.drop_connect import DropConnect
from mho.training.injections.gaussian import Gaussian
from mho.training.injections.programming import Programming

__all__ = ["INJECTIONS", "Discretise", "DropConnect", "Gaussian", "Injection", "Programming", "Scope"]
