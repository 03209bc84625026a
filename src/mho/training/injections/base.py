"""The contract of an injection. A user's own is one subclass and an entry point of `mho.injections`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from mho.crossbar import Plan, Scheme
from mho.hardware.definition import Definition
from mho.hardware.spec import Spec
from mho.registry import Registry
from mho.rng import Stream


@dataclass(frozen=True)
class Scope:
    """Where and when weights are changed.

    Attributes:
        scheme: The product of the matrix on its hardware.
        scale: The weight that 1 stands for, (blocks, groups, columns).
        draw: Address of this step's draws in this matrix.
        strength: Factor on the size, from the schedule and the layer.
    """

    scheme: Scheme
    scale: Tensor
    draw: Stream
    strength: float

    @property
    def plan(self) -> Plan:
        """Where the matrix stands on arrays."""
        return self.scheme.plan


class Injection(Spec, ABC):
    """A random (or systematic) change of the weights in the forward pass; the weights themselves stay as they are."""

    kind: str

    @abstractmethod
    def __call__(self, unit: Tensor, scope: Scope) -> Tensor:
        """The changed weights.

        Args:
            unit: Weights in units of their scale, (groups, columns, rows).
            scope: Where and when.

        Returns:
            Weights of the same shape, with the gradient that training is to see.
        """

    def definitions(self) -> list[Definition]:
        """The meaning of every σ of this injection."""
        return []


INJECTIONS: Registry[type[Injection]] = Registry(
    "injection",
    "mho.injections",
    {
        "gaussian": "mho.training.injections.gaussian:Gaussian",
        "programming": "mho.training.injections.programming:Programming",
        "discretise": "mho.training.injections.discretise:Discretise",
        "drop_connect": "mho.training.injections.drop_connect:DropConnect",
    },
)
