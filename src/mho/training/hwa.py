"""Hardware-aware training: `HWA` describes what training injects, `Session` injects it step by step."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from mho.arguments import network, whole
from mho.chip.graph import blind_to_layout, trace
from mho.crossbar import Codes, Plan, Scheme
from mho.errors import WrongSetting
from mho.hardware.description import covers
from mho.hardware.spec import Spec
from mho.nn import AnalogLayer, AnalogMatrix
from mho.nn.layer import MatrixView, held, layer_paths
from mho.nn.matrix import matrices
from mho.nn.source import Injected, Source
from mho.rng import Stream
from mho.training.clip import Clip
from mho.training.injections import INJECTIONS, Injection, Scope
from mho.training.schedule import Schedule

_LEVELS = 64
"""The schedule's strength is rounded to this part for the noise of products, so that few descriptions are made."""


_parse = INJECTIONS.parser()


def _each(value: Any) -> tuple[Any, ...]:
    many = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(_parse(one) for one in many)


class HWA(Spec):
    """What training injects into a converted network, besides what its `Hardware` does to every product anyway.

    A frozen description, like the hardware's own; `attach` puts it to work on a network. In training mode every
    product then sees the hardware's converters, its noise of products and IR drop (times `products`), and weights with
    the injections, new ones at every step. In eval mode, and on programmed chips, nothing is injected.

    Example:
        >>> recipe = HWA(weights=Gaussian(sigma=0.04), clip=Clip(bound=2.5))     # doctest: +SKIP
        >>> session = recipe.attach(net, steps=len(batches))                     # doctest: +SKIP
        >>> for x, y in batches:                                                 # doctest: +SKIP
        ...     optimizer.zero_grad()
        ...     F.cross_entropy(net(x), y).backward()
        ...     optimizer.step()
        ...     session.step()
        >>> session.detach()                                                     # doctest: +SKIP
    """

    weights: SerializeAsAny[Annotated[tuple[Injection, ...], BeforeValidator(_each)]] = ()
    """What is injected into the weights, in this order."""
    products: float = Field(default=1.0, ge=0)
    """Training-only factor on the hardware's noise of products (σ of output, input and weight) and on its IR drop."""
    schedule: Schedule = Schedule()
    """Strength of the injections and of `products` over the steps."""
    layers: dict[str, float] = Field(default_factory=dict)
    """Factor on the strength in layers whose path matches (with * as a wildcard); several multiply."""
    clean: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps without injection into the weights: batches are clean or noisy as a whole."""
    clip: Clip | None = None
    """Clipping of the weights on arrays after each step."""
    gradient: Literal["straight_through", "full"] = "straight_through"
    """straight_through: noise of products and IR drop count as constants for the gradient (one fused operation); full:
    they are differentiated where they depend on inputs and weights (slower, more memory)."""

    def attach(self, net: nn.Module, *, steps: int, seed: int = 0) -> Session:
        """Begin hardware-aware training of a converted network.

        Args:
            net: What `to_analog` returned, calibrated where its converters need ranges.
            steps: Optimizer steps that the schedule spans.
            seed: Root of the address of everything that is drawn: (seed, step, layer).

        Raises:
            WrongSetting: Not a converted network, or one that is attached already or programmed; no steps; a pattern in
                `layers` that matches nothing.
        """
        steps = whole(steps, "steps", remedy="give the number of optimizer steps, at least 1")
        self.check(net)
        return Session(self, net, steps, whole(seed, "seed", least=0))

    def check(self, net: nn.Module) -> None:
        """Refuse a network that this recipe could not be attached to, as `attach` does; nothing is changed."""
        network(net)
        found = matrices(net)
        if not found:
            raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
        for matrix in found:
            if matrix.programmed:
                raise WrongSetting("this is a programmed chip", "train the network that to_analog returned")
            if isinstance(matrix.source, Injected):
                raise WrongSetting("hardware-aware training is attached already", "call detach() of the other session")
        paths = layer_paths(net)
        if unused := [p for p in self.layers if not any(covers(p, path) for path in paths.values())]:
            known = ", ".join(list(paths.values())[:5])
            raise WrongSetting(f"no layer on arrays matches {unused}", f"paths look like {known}", path="layers")

    def factor(self, path: str) -> float:
        """Product of the factors in `layers` that match a layer's path."""
        found = 1.0
        for pattern, factor in self.layers.items():
            found *= factor if covers(pattern, path) else 1.0
        return found

    def definitions(self) -> list[str]:
        """The meaning of every σ that training adds."""
        return [str(definition) for injection in self.weights for definition in injection.definitions()]


@dataclass(eq=False)
class _Change:
    """The injections into one matrix; each step has its own address of draws and its strength."""

    injections: tuple[Injection, ...]
    scheme: Scheme
    draw: Stream
    strength: float

    # Draws have addresses that change with the step: a graph of them would serve one step. `torch.compiler.disable` does the
    # same, but imports the compiler at once, for 1.5 s, where only the names of this file are wanted.
    @_disable_dynamo
    def __call__(self, unit: Tensor, scale: Tensor, plan: Plan) -> Tensor:
        for i, injection in enumerate(self.injections):
            unit = injection(unit, Scope(self.scheme, scale, self.draw / i, self.strength))
        return unit


class Session:
    """Made by `HWA.attach`. Call `step` after each optimizer step, and `detach` at the end.

    The draws of a step depend on (seed, step, layer) alone: forward passes of one step see the same noise (accumulated
    gradients, several processes), and a training that goes on from `state_dict` sees what it would have seen.

    Attributes:
        recipe: What is injected.
        steps: Steps that the schedule spans; later ones see its end.
        done: Steps taken.
        attached: False after `detach`.
    """

    def __init__(self, recipe: HWA, net: nn.Module, steps: int, seed: int) -> None:
        self.recipe, self.steps, self.seed, self.done = recipe, steps, seed, 0
        found = {path: module for path, module in net.named_modules() if isinstance(module, AnalogLayer)}
        self._layers = [(layer, recipe.factor(path)) for path, layer in found.items()]
        self._before: list[tuple[AnalogMatrix, Source]] = [
            (view.matrix, view.matrix.source) for view, _ in self._views()
        ]
        self._sources: dict[AnalogMatrix, tuple[Injected, _Change]] = {}
        self._schemes: dict[tuple[str, float], Scheme] = {}
        self._codes = Codes()
        graph = trace(net)
        self._channels_last = graph is not None and blind_to_layout(net, graph)
        self._handles = (
            net.register_forward_pre_hook(self._enter, prepend=True),
            net.register_forward_hook(self._leave, always_call=True),
        )
        self.attached = True
        self._inject()

    def _views(self) -> Iterator[tuple[MatrixView, float]]:
        """Every matrix as it is now, with the factor of its layer; parameters may be others than when training began."""
        for layer, factor in self._layers:
            for view in layer.views():
                yield view, factor

    def step(self) -> None:
        """After an optimizer step: clip the weights, go to the next draws and strengths.

        Raises:
            WrongSetting: After `detach`.
        """
        if not self.attached:
            raise WrongSetting("this session is detached", "attach the recipe again")
        if self.recipe.clip is not None:
            for layer, _ in self._layers:
                for view in layer.views():
                    self.recipe.clip(held(layer, view), view.operator)
        self.done += 1
        self._inject()

    def detach(self) -> None:
        """Leave the network as `attach` found it, but for its weights. What another session injects stays."""
        if not self.attached:
            return
        self.attached = False
        self._codes.end()
        for matrix, source in self._before:
            if isinstance(matrix.source, Injected) and matrix.source.codes is self._codes:
                matrix.source = source
        for handle in self._handles:
            handle.remove()

    def __deepcopy__(self, memo: Any) -> Session:
        """A copy of a network in training is in no training: its hooks are those of a session that has ended."""
        other = copy.copy(self)
        other.attached, other._codes = False, Codes()
        return other

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on: plain numbers."""
        return {"done": self.done, "steps": self.steps, "seed": self.seed, "recipe": self.recipe.digest()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from another session's state.

        Raises:
            WrongSetting: That session had another recipe or seed, or another number of steps where the schedule is not constant.
        """
        mine = self.state_dict()
        for name in ("recipe", "seed", *(() if self.recipe.schedule.constant else ("steps",))):
            if state[name] != mine[name]:
                raise WrongSetting(
                    f"the state is of a training with {name} = {state[name]}, not {mine[name]}",
                    "attach with the same settings, or begin anew",
                    path=name,
                )
        self.done = int(state["done"])
        self._inject()

    def _enter(self, net: nn.Module, arguments: Any) -> None:
        """While the network runs, what autograd saves of the products' outputs is kept as codes."""
        self._codes.end()  # an interrupted pass (Ctrl-C) has not come to its end
        keep = self.attached and net.training and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if keep and torch._C._functorch.peek_interpreter_stack() is None:
            self._codes.begin()

    def _leave(self, *_: Any) -> None:
        self._codes.end()

    def _inject(self) -> None:
        recipe, draw = self.recipe, Stream(("hwa", self.seed, self.done))
        strength = recipe.schedule.strength(min(1.0, self.done / max(1, self.steps - 1)))
        clean = recipe.clean > 0 and float(draw.uniform("clean", (1,))) < recipe.clean
        for view, factor in self._views():
            matrix, here = view.matrix, strength * factor
            scheme = matrix.scheme(view.weight, view.operator)
            if matrix not in self._sources:
                through = recipe.gradient == "straight_through"
                source = Injected(scheme, None, through, self._codes, self._channels_last)
                self._sources[matrix] = source, _Change(recipe.weights, scheme, draw, here)
            source, source.change = self._sources[matrix][0], None
            if recipe.weights and here and not clean:
                source.change = change = self._sources[matrix][1]
                change.scheme, change.draw, change.strength = scheme, draw / matrix.path, here
            products = recipe.products * factor * round(strength * _LEVELS) / _LEVELS
            source.scheme = scheme if products == 1 else self._with_noise(view, scheme, products)
            matrix.source = source

    def _with_noise(self, view: MatrixView, scheme: Scheme, factor: float) -> Scheme:
        """The scheme of a matrix on hardware with its noise of products and its IR drop times a factor."""
        matrix = view.matrix
        noise, drop = matrix.hw.noise, matrix.hw.ir_drop
        if not (noise.output or noise.input or noise.weight or drop.scale):
            return scheme
        found = self._schemes.get((matrix.path, factor))
        if found is None:
            sizes = {name: getattr(noise, name) * factor for name in ("output", "input", "weight")}
            changed = {"noise": noise.replace(**sizes), "ir_drop": drop.replace(scale=drop.scale * factor)}
            found = Scheme.of(view.operator, tuple(view.weight.shape), matrix.hw.model_copy(update=changed))
            self._schemes[matrix.path, factor] = found
        return found
