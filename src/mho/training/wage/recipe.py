"""`Wage`: bits of a WAGE training, the network it takes, its hardware, and its optimiser."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from pydantic import Field
from torch import nn

from mho.arguments import network, whole
from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware
from mho.hardware.spec import Spec
from mho.rng import Stream
from mho.training.wage.layers import Divide, QuantisedActivation, QuantisedErrors
from mho.training.wage.optimizer import WageSGD
from mho.training.wage.quantisers import quantise

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class Wage(Spec):
    """Training with integers of few bits; 2, 8, 8, 8 bits as published.

    `prepare` makes an ordinary network a WAGE network, `hardware` has the arrays quantise its weights, `optimizer` updates
    them. What is between the layers (`QuantisedActivation` and others) belongs to the network, in training and ever after.

    Example:
        >>> wage = Wage(weight_bits=8)                                                    # doctest: +SKIP
        >>> net = mho.to_analog(wage.prepare(model), wage.hardware("neurosim-rram"), example=x)   # doctest: +SKIP
        >>> mho.fit(mho.calibrate(net, data), data, optimizer=wage.optimizer, task=OneHot(),      # doctest: +SKIP
        ...         schedule="constant", epochs=20)

    References:
        Wu et al. 2018, arXiv:1802.04680, and their code (github.com/boluoweifenda/WAGE), which is followed where it says more.
        DNN+NeuroSim V1.4 has another scale, 2^ceil(log2((1 - σ)/√3 / √(3/n_in))), and begins with weights all over ±(1 - σ);
        its V2.1 adds a momentum of 0.9 and a device's curve to the update.
    """

    weight_bits: int = Field(default=2, ge=2, le=16)
    """k_W; the arrays' encoding quantises, gradients pass straight through."""
    activation_bits: int = Field(default=8, ge=2, le=16)
    """k_A, of inputs and activations."""
    gradient_bits: int = Field(default=8, ge=2, le=16)
    """k_G: weights change by whole multiples of 2^(1 - k_G)."""
    error_bits: int = Field(default=8, ge=2, le=16)
    """k_E."""
    beta: float = Field(default=1.5, gt=0)
    """β: weights begin within ±β σ(k_W) at least, so that some of them are not 0."""

    def begin(self, inputs: int) -> tuple[float, float]:
        """How a layer begins.

        Args:
            inputs: n_in, products that make one output.

        Returns:
            L, the bound of its weights, max(√(3/n_in), β σ(k_W)), and its scale α, max(2^round(log2(β σ(k_W)/√(3/n_in))), 1).
        """
        usual, least = math.sqrt(3 / inputs), self.beta * 2.0 ** (1 - self.weight_bits)
        return max(usual, least), max(2.0 ** round(math.log2(least / usual)), 1.0)

    @torch.no_grad()
    def prepare(self, model: nn.Module, *, seed: int = 0) -> nn.Module:
        """A copy of a network with new weights, uniform in ±L and quantised; scales behind its layers; quantised activations.

        Every `nn.ReLU` becomes a `QuantisedActivation`; inputs, which should lie in ±1, are quantised; so are the errors that
        enter the last layer.

        Args:
            model: Convolutions and linear layers without biases, `nn.ReLU` between them, and what has no parameters.
            seed: Of the weights.

        Raises:
            WrongSetting: No layers; a bias; other layers with parameters, such as norms, whose place the scales take; two layers
                without an `nn.ReLU` module.
        """
        net, seed = copy.deepcopy(network(model, "model")), whole(seed, "seed", least=0)
        layers = [(path, module) for path, module in net.named_modules() if isinstance(module, _WEIGHTED)]
        relus = [path for path, module in net.named_modules() if isinstance(module, nn.ReLU)]
        if not layers:
            raise WrongSetting("no convolution and no linear layer", "give a network that has some", path="model")
        held = {id(layer.weight) for _, layer in layers}
        for name, parameter in net.named_parameters():
            if id(parameter) not in held:
                raise WrongSetting(
                    "WAGE has neither biases nor norms",
                    "make the layers with bias=False, and leave norms out",
                    path=name,
                )
        if len(layers) > 1 and not relus:
            raise WrongSetting(
                "there is no nn.ReLU to quantise activations at", "use modules, not F.relu", path="model"
            )
        for path in relus:
            _put(net, path, QuantisedActivation(self.activation_bits, self.error_bits))
        for path, layer in layers:
            bound, scale = self.begin(layer.weight[0].numel())
            drawn = 2 * (Stream(("wage", seed)) / path).uniform("weights", layer.weight.shape, like=layer.weight) - 1
            layer.weight.copy_(quantise(bound * drawn, self.weight_bits))
            first = [QuantisedActivation(self.activation_bits, None, relu=False)] if path == layers[0][0] else []
            last = [QuantisedErrors(self.error_bits)] if path == layers[-1][0] else []
            around = [*first, layer, *([Divide(scale)] if scale > 1 else []), *last]
            if len(around) > 1:
                net = _put(net, path, nn.Sequential(*around))
        return net

    def hardware(self, hw: Hardware | str) -> Hardware:
        """The hardware whose encoding quantises weights as WAGE does: `encoding.quantiser` wage, of k_W bits, a full conductance
        for a weight of 1.

        Raises:
            WrongSetting: Its encoding holds no bits, or its cells do not fit them; ranges of converters are learned.
        """
        found = Hardware.of(hw)
        if getattr(found.encoding, "kind", "") != "bit_sliced":
            raise WrongSetting(
                f"the encoding '{found.encoding.kind}' holds no bits",
                "take an encoding of kind bit_sliced",
                path="encoding",
            )
        if learned := [f"{name}.range" for name in ("dac", "adc") if getattr(found, name).range == "learned"]:
            raise WrongSetting(
                "ranges that are learned would be updated as weights are",
                "calibrate them: range: calibrated",
                path=learned[0],
            )
        return found.replace(
            mapping={"scale": "unit"}, **{"encoding.quantiser": "wage", "encoding.bits": self.weight_bits}
        )  # fmt: skip

    def optimizer(self, params: Iterable[nn.Parameter]) -> WageSGD:
        """`WageSGD` with these bits and the published first rate, as ``fit(..., optimizer=wage.optimizer)`` takes it.

        Raises:
            BadInput: A parameter lies beyond ±1: it is no weight that `prepare` left.
        """
        several = list(params)
        if any(bool((p.detach().abs() > 1).any()) for p in several):
            raise BadInput(
                "a parameter lies beyond ±1", "prepare the network first: wage.prepare(model)", path="params"
            )
        return WageSGD(several, weight_bits=self.weight_bits, gradient_bits=self.gradient_bits)


def _put(net: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """Put a module in the place of another; the whole where the path is empty."""
    if not path:
        return module
    owner, _, name = path.rpartition(".")
    setattr(net.get_submodule(owner), name, module)
    return net
