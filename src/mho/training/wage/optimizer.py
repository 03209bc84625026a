"""`WageSGD`: the update of WAGE, whole steps of the gradients' quantiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mho.arguments import number, whole
from mho.rng import Stream
from mho.training.wage.quantisers import saturate, shift, step


def change(gradient: Tensor, lr: float, bits: int, uniform: Tensor) -> Tensor:
    """ΔW = σ(k) sgn(s) (⌊|s|⌋ + 1 with probability |s| - ⌊|s|⌋) with s = lr g / Shift(max|g|).

    Args:
        gradient: g of one layer.
        lr: Steps of σ(k) that the largest gradients take, about.
        bits: k of the gradients.
        uniform: Numbers in [0, 1), of the shape of g.
    """
    size = lr * gradient / shift(gradient.abs().amax())
    return step(bits) * size.sign() * (size.abs() + uniform).floor()


class WageSGD(torch.optim.Optimizer):
    """W ← clip(W - ΔW) with whole multiples of σ(k_G), rounded at random so that their mean is right; no momentum.

    The draws have an address, (seed, step, number of the parameter): a training that goes on from a checkpoint draws what it
    would have drawn.

    Args:
        params: Weights in ±1, as `Wage.prepare` leaves them.
        lr: The published one begins with 8 and is halved or divided by 8 later; powers of two.
        weight_bits: Weights stay within ±(1 - σ(weight_bits)).
        gradient_bits: k_G.
        seed: Of the rounding.

    Raises:
        WrongSetting: A number outside its range.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 8.0, *, weight_bits: int = 2, gradient_bits: int = 8, seed: int = 0
    ) -> None:  # fmt: skip
        number(lr, "lr", "give a number above 0; 8 is usual", above=0)
        self.weight_bits = whole(weight_bits, "weight_bits", least=2)
        self.gradient_bits = whole(gradient_bits, "gradient_bits", least=2)
        self.seed = whole(seed, "seed", least=0)
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        number_of = 0
        for group in self.param_groups:
            for weight in group["params"]:
                number_of += 1
                if weight.grad is None:
                    continue
                state = self.state[weight]
                done = int(state.get("step", 0))
                draw = Stream(("wage", self.seed, done)) / number_of
                uniform = draw.uniform("rounding", weight.shape, like=weight)
                weight.sub_(change(weight.grad, group["lr"], self.gradient_bits, uniform))
                weight.copy_(saturate(weight, self.weight_bits))
                state["step"] = done + 1
        return loss
