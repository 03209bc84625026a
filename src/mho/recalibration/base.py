"""`Recalibration`: the contract, and where the kinds are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from mho.arguments import network
from mho.errors import BadInput, WrongSetting
from mho.nn.matrix import matrices
from mho.registry import Registry
from mho.store.digest import Digest
from mho.tasks.batches import batches_of
from mho.tasks.items import check_batched, tensors_of
from mho.tasks.parts import inputs_of

R = TypeVar("R", bound="Recalibration")


@dataclass(frozen=True, eq=False, repr=False)
class Recalibration(ABC):
    """Something that the digital side does to a chip at an age: called on a network of ``chip.at(t)``, returns a network.

    Everything that it needs from the digital network is measured when it is made, so it is a frozen, picklable value that
    any chip at any age can be given to. The network that it is called on is changed in place: it is a copy of its own.
    Its ``recalibrations`` lists what was done, one line each. Forward passes draw their noise of products from torch's
    default generator; `mho.drift` seeds it from the address (seed, chip, age).

    A kind of your own is a subclass with `kind` and `apply`, under the entry-point group ``mho.recalibrations``.

    Args:
        batches: Batches of inputs, or of (inputs, labels); held in memory.

    Raises:
        BadInput: No batch, a single tensor instead of batches, or samples instead of batches.
    """

    batches: Iterable[Any]
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        held = []
        for i, batch in enumerate(batches_of(self.batches, path="batches")):
            check_batched(batch, i, "batches")
            held.append(self._held(batch))
        if not held:
            raise BadInput("there is no batch to recalibrate with", "give at least one batch of inputs", path="batches")
        for i, batch in enumerate(held):
            if not any(True for _ in tensors_of(batch)):
                found = f"batch {i} is a {type(batch).__name__} without a tensor"
                raise BadInput(found, "give batches of inputs", path="batches")
        object.__setattr__(self, "batches", tuple(held))

    @classmethod
    def of(cls: type[R], batches: Iterable[Any], digital_net: nn.Module, **options: Any) -> R:
        """One of this kind from what every kind can be made of.

        Args:
            batches: Calibration data.
            digital_net: The digital network.
            options: The kind's own arguments.
        """
        return cls(batches, digital_net, **options)  # type: ignore[call-arg]

    @property
    def labels(self) -> bool:
        """Whether it looks at labels."""
        return False

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The inputs of each batch."""
        return tuple(self.batches)

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> nn.Module:
        """The recalibrated network, in eval mode.

        Args:
            net: What ``chip.at(t)`` returned, or another recalibration of it.

        Raises:
            WrongSetting: No chip's network, or nothing in it that this recalibration can change.
            BadInput: Data that the network cannot use.
        """
        if not any(matrix.programmed for matrix in matrices(network(net))):
            raise WrongSetting("this network is no chip's", "pass what mho.program(net).at(t) returned")
        done = self.apply(net.eval())
        net.recalibrations = (*getattr(net, "recalibrations", ()), f"{self}: {done}")  # type: ignore[assignment]
        return net

    @abstractmethod
    def apply(self, net: nn.Module) -> str:
        """Change a chip's network in place, in eval mode and without gradients.

        Returns:
            What was done, in words.
        """

    def record(self) -> str:
        """What decides its results, for the header of a run: name, options, digest of the calibration data."""
        found = Digest()
        for part in (*self.batches, *self._targets()):
            found.add(part)
        options = "".join(f", {name}={value}" for name, value in self._options().items())
        return f"{self.kind}{options}, {sum(map(_length, self.inputs))} inputs {found.value()}"

    def _held(self, batch: Any) -> Any:
        return inputs_of(batch)

    def _options(self) -> dict[str, Any]:
        return {}

    def _targets(self) -> Iterable[Tensor]:
        """What was measured on the digital network."""
        return ()

    def __str__(self) -> str:
        return self.kind

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.record()})"


RECALIBRATIONS: Registry[type[Recalibration]] = Registry(
    "recalibration",
    "mho.recalibrations",
    {
        "norms": "mho.recalibration.norms:RecalibrateNorms",
        "affine": "mho.recalibration.affine:RecalibrateAffine",
        "output": "mho.recalibration.output:RecalibrateOutput",
        "threshold": "mho.recalibration.threshold:RecalibrateThreshold",
    },
)


def _length(x: Any) -> int:
    if isinstance(x, dict):
        return max(map(_length, x.values()), default=0)
    return len(x) if isinstance(x, Tensor) and x.dim() else 1
