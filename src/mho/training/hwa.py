"""Hardware-aware training: a network that learns in the presence of what its chip will do to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import nn

from mho.errors import WrongSetting
from mho.hardware.description import covers
from mho.hardware.spec import Spec
from mho.nn import AnalogMatrix
from mho.nn.layer import layer_paths
from mho.training.clip import Clip
from mho.training.injections import INJECTIONS, Injection
from mho.training.schedule import Schedule
from mho.training.session import Session

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
        if steps < 1:
            raise WrongSetting(f"steps = {steps}", "give the number of optimizer steps, at least 1", path="steps")
        matrices = [module for module in net.modules() if isinstance(module, AnalogMatrix)]
        if not matrices:
            raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
        for matrix in matrices:
            if matrix.programmed() is not None:
                raise WrongSetting("this is a programmed chip", "train the network that to_analog returned")
            if matrix.hardened is not None:
                raise WrongSetting("hardware-aware training is attached already", "call detach() of the other session")
        paths = layer_paths(net)
        if unused := [p for p in self.layers if not any(covers(p, path) for path in paths.values())]:
            known = ", ".join(list(paths.values())[:5])
            raise WrongSetting(f"no layer on arrays matches {unused}", f"paths look like {known}", path="layers")
        return Session(self, net, steps, seed)

    def factor(self, path: str) -> float:
        """Product of the factors in `layers` that match a layer's path."""
        found = 1.0
        for pattern, factor in self.layers.items():
            found *= factor if covers(pattern, path) else 1.0
        return found

    def definitions(self) -> list[str]:
        """The meaning of every σ that training adds."""
        return [str(definition) for injection in self.weights for definition in injection.definitions()]
