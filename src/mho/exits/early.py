"""`Early`: a network with exits that computes each sample as far as a rule asks."""

from __future__ import annotations

from torch import Tensor, nn

from mho.exits.answers import check_exits
from mho.exits.rules import Fixed, Rule, check_rule
from mho.models.multi_exit import MultiExit


class Early(nn.Module):
    """Inputs to the class scores of each sample's exit; samples that left are not computed any further.

    Noise that is drawn for each product is drawn for the samples that are left: with it, answers equal those of `decide` in
    distribution; without, up to the rounding of floats.

    Args:
        net: With exits: digital, converted, or a chip's; it is not copied.
        rule: Who leaves where.

    Raises:
        WrongSetting: `net` has no exits, or `rule` is none, or for another number of them.

    Example:
        >>> fast = Early(chip.at("1 day"), Entropy(0.3))      # doctest: +SKIP
        >>> mho.accuracy(fast, test)                          # doctest: +SKIP
    """

    def __init__(self, net: MultiExit, rule: Rule) -> None:
        super().__init__()
        check_exits(net)
        check_rule(rule, len(net.names))
        self.net, self.rule = net, rule

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, …) to (N, C)."""
        return self.decided(inputs)[0]

    def decided(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, C), and the number of each sample's exit (N,)."""
        asked = {self.rule.exit} if isinstance(self.rule, Fixed) else None
        return self.net.early(inputs, self.rule.leaves, asked=asked)
