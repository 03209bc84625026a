"""A hardware-aware training that is going on: which step it is, and what the arrays see in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mho.crossbar import Plan
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogLayer, AnalogMatrix
from mho.nn.layer import layer_paths
from mho.nn.matrix import Hardened
from mho.rng import Stream
from mho.training.injections import Injection, Scope

if TYPE_CHECKING:
    from mho.training.hwa import HWA

_LEVELS = 64
"""The schedule's strength is rounded to this part for the noise of products, so that few descriptions are made."""


@dataclass(frozen=True)
class _Change:
    """The injections of one step into one matrix."""

    injections: tuple[Injection, ...]
    hw: Hardware
    draw: Stream
    strength: float

    def __call__(self, unit: Tensor, scale: Tensor, plan: Plan) -> Tensor:
        for i, injection in enumerate(self.injections):
            unit = injection(unit, Scope(self.hw, plan, scale, self.draw / i, self.strength))
        return unit


class Session:
    """Made by `HWA.attach`. Call `step` after each optimizer step, and `detach` at the end.

    The draws of a step depend on (seed, step, layer) alone: forward passes of one step see the same noise (accumulated
    gradients, several processes), and a training that goes on from `state_dict` sees what it would have seen.

    Attributes:
        recipe: What is injected.
        steps: Steps that the schedule spans; later ones see its end.
        done: Steps taken.
    """

    def __init__(self, recipe: HWA, net: nn.Module, steps: int, seed: int) -> None:
        self.recipe, self.steps, self.seed, self.done = recipe, steps, seed, 0
        paths = layer_paths(net)
        self._views = [view for module in net.modules() if isinstance(module, AnalogLayer) for view in module.views()]
        self._layers: list[tuple[AnalogMatrix, float]] = []
        for module in net.modules():
            if isinstance(module, AnalogMatrix):
                self._layers.append((module, recipe.factor(paths[module.path])))
        self._hardware: dict[tuple[int, float], Hardware] = {}
        self._harden()

    def step(self) -> None:
        """After an optimizer step: clip the weights, go to the next draws and strengths."""
        if self.recipe.clip is not None:
            for view in self._views:
                self.recipe.clip(view.weight.detach(), view.operator)
        self.done += 1
        self._harden()

    def detach(self) -> None:
        """Leave the network as `attach` found it, but for its weights."""
        for matrix, _ in self._layers:
            matrix.hardened = None

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on: plain numbers."""
        return {"done": self.done, "steps": self.steps, "seed": self.seed, "recipe": self.recipe.digest()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from another session's state.

        Raises:
            WrongSetting: That session had another recipe, seed or number of steps.
        """
        mine = self.state_dict()
        for name in ("recipe", "seed", "steps"):
            if state[name] != mine[name]:
                raise WrongSetting(
                    f"the state is of a training with {name} = {state[name]}, not {mine[name]}",
                    "attach with the same settings, or begin anew",
                    path=name,
                )
        self.done = int(state["done"])
        self._harden()

    def _harden(self) -> None:
        recipe, draw = self.recipe, Stream(("hwa", self.seed, self.done))
        strength = recipe.schedule.strength(min(1.0, self.done / max(1, self.steps - 1)))
        clean = recipe.clean > 0 and float(draw.uniform("clean", (1,))) < recipe.clean
        for matrix, factor in self._layers:
            here = strength * factor
            change = None
            if recipe.weights and here and not clean:
                change = _Change(recipe.weights, matrix.hw, draw / matrix.path, here)
            hw = self._with_noise(matrix.hw, recipe.products * factor * round(strength * _LEVELS) / _LEVELS)
            matrix.hardened = Hardened(hw, change, recipe.gradient == "straight_through")

    def _with_noise(self, hw: Hardware, factor: float) -> Hardware:
        """The hardware with its noise of products and its IR drop times a factor."""
        noise, drop = hw.noise, hw.ir_drop
        if factor == 1 or not (noise.output or noise.input or noise.weight or drop.scale):
            return hw
        found = self._hardware.get((id(hw), factor))
        if found is None:
            sizes = {name: getattr(noise, name) * factor for name in ("output", "input", "weight")}
            changed = {"noise": noise.replace(**sizes), "ir_drop": drop.replace(scale=drop.scale * factor)}
            found = self._hardware[id(hw), factor] = hw.model_copy(update=changed)
        return found
