"""`Norms`: which norm the convolutions of a network have, chosen by one argument."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from mho.arguments import one_of
from mho.nn.norm import L1BatchNorm2d, TopKBatchNorm2d

_GROUPS = 8
KINDS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(math.gcd(_GROUPS, channels), channels),
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "l1": L1BatchNorm2d,
    "topk": TopKBatchNorm2d,
    "none": lambda channels: nn.Identity(),
}
"""A norm of so many channels, by name. ``group`` has 8 groups; ``layer`` is one group, over channels and positions."""
WHERE = ("all", "some")


class Norms:
    """Makes convolutions with their norms, layer after layer.

    Args:
        kind: A name of `KINDS`.
        where: ``"all"`` layers, or ``"some"``: the first and every second one after it.

    Raises:
        WrongSetting: An unknown word.
    """

    def __init__(self, kind: str = "batch", where: str = "all") -> None:
        self.kind, self.where = one_of(kind, "norm", KINDS), one_of(where, "normed", WHERE)
        self._made = 0

    def layer(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, *, groups: int = 1, begin: float = 1.0
    ) -> tuple[nn.Conv2d, nn.Module]:
        """A convolution that keeps the size (or divides it by its stride), and its norm, or what does nothing in its place.

        A convolution without a norm has a bias, and starts from He's distribution, for no norm mends the size of what it gives.

        Args:
            c_in: Channels of the input.
            c_out: Channels of the output.
            kernel: Height and width.
            stride: Of both.
            groups: Of channels.
            begin: Factor on the weights of a convolution without a norm.
        """
        bare = self.kind == "none" or (self.where == "some" and self._made % 2 == 1)
        self._made += 1
        conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=bare)
        if not bare:
            return conv, KINDS[self.kind](c_out)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        conv.weight.data.mul_(begin)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        return conv, nn.Identity()
