"""`Anew`: a chip that keeps no conductances. Each array is programmed again, from its address, whenever it is asked for.

A programmed array takes tens of bytes a weight: conductances, drift exponents and targets of every plane of cells. All of it
follows from the weights and from an address, so that it can be made again: the same chip, for the time of programming it
at every age, one array after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from mho.chip.arrays import Arrays, check_weight, program_arrays
from mho.crossbar import Operator, Scheme
from mho.errors import WrongSetting
from mho.rng import Stream


class Recipe(NamedTuple):
    """All that the arrays of one matrix are made of; arguments as for `program_arrays`."""

    weight: Tensor
    operator: Operator
    scheme: Scheme
    draw: Stream
    adc_range: Tensor | None
    path: str
    rank: Tensor | None
    first: Stream | None
    layer: str

    def arrays(self) -> Arrays:
        """The programmed arrays."""
        return program_arrays(*self)


class Anew(Mapping[str, Arrays]):
    """The arrays of a chip by the path of their matrix, made at each look-up.

    Args:
        recipes: By path.

    Raises:
        BadInput: Weights that cannot be programmed.
    """

    def __init__(self, recipes: dict[str, Recipe]) -> None:
        for recipe in recipes.values():
            check_weight(recipe.operator.to_matrix(recipe.weight.detach()), recipe.scheme.hw, recipe.path, recipe.layer)
        self._recipes = recipes
        self._state = {path: _state(recipe.weight) for path, recipe in recipes.items()}

    def __getitem__(self, path: str) -> Arrays:
        self._check(path)
        return self._recipes[path].arrays()

    def __reduce__(self) -> tuple[type[Anew], tuple[dict[str, Recipe]]]:
        """A copy has weights of its own, which are as they were."""
        for path in self:
            self._check(path)
        return Anew, (self._recipes,)

    def _check(self, path: str) -> None:
        if _state(self._recipes[path].weight) != self._state[path]:
            raise WrongSetting(
                "the weights were changed since this chip was programmed, which keeps no conductances of its own",
                "program the network again, or program it with keep=True",
                path=path,
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipes)

    def __len__(self) -> int:
        return len(self._recipes)


def _state(weight: Tensor) -> tuple[int, int]:
    """Where a weight lies, and how often it was changed in place."""
    return weight.data_ptr(), -1 if weight.is_inference() else weight._version
