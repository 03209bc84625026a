"""`to_analog`: a network on arrays, as a new module; and `to_digital`, the way back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn

from mho.convert.placement import place
from mho.convert.rules import CHOSEN, NO_MATRIX, Decision, decide
from mho.convert.self_test import check_encoding, self_test
from mho.convert.weights import check_weights
from mho.errors import NeverPossible, WrongSetting
from mho.given import check_mode, network
from mho.hardware import Hardware
from mho.hardware.description import covers
from mho.nn import AnalogLayer
from mho.nn.matrix import matrices


def to_analog(model: nn.Module, hw: Hardware | str | Path, *, example: Any = None) -> nn.Module:
    """A copy of `model` whose layers live on arrays. `model` itself is not touched.

    Layers keep their parameter names; ``net.placement`` lists every weight, where it went and why. Weights that no rule
    maps are refused by name. ``hw.digital`` names modules that stay digital, and single parameters of modules without a rule
    (the position embeddings of a vision transformer).

    Args:
        model: Any module.
        hw: The hardware, or the name of a preset, or a YAML file.
        example: One batch of inputs (a tensor, or a tuple of positional arguments). With it the conversion tests itself:
            with every non-ideality off the outputs must equal the original's, and no layer may compute around its arrays.
            The placement then says how many multiply-accumulates each weight takes.

    Returns:
        The converted network.

    Raises:
        NotYet: A layer cannot be mapped; the message has its path and the ways out.
        UseInstead: A module has no shape yet, cannot be copied, or computes its weight from other parameters.
        NeverPossible: Nothing in the model can be mapped.
        BadInput: Weights that are not finite, or not there.
        WrongSetting: A pattern in ``hw.digital`` matches nothing; an encoding that does not give weights back.
    """
    network(model, "model")
    hw = Hardware.of(hw)
    if any(isinstance(module, AnalogLayer) for module in model.modules()):
        raise WrongSetting("this network is converted already", "give the digital one: mho.to_digital(net)")
    check_mode()
    check_weights(model)
    check_encoding(hw)
    decisions = _decisions(model, hw)
    if not any(decision.analog for decision in decisions.values()):
        raise NeverPossible(
            f"{type(model).__name__} has no layer that goes onto arrays", "arrays hold the weights of linear and "
            "convolution layers, recurrent ones and attention projections"
        )  # fmt: skip
    net = copy.deepcopy(model)
    replaced: dict[int, nn.Module] = {}
    for path, module in list(net.named_modules(remove_duplicate=False)):
        analog = decisions[path].analog
        if analog is None:
            continue
        if id(module) not in replaced:
            replaced[id(module)] = analog.from_digital(module, hw.for_layer(path), path)
        net = _put(net, path, replaced[id(module)])
    _no_nested_tensors(net)
    reasons = {path: decision.reason for path, decision in decisions.items()}
    net.placement = place(net, reasons, hw)  # type: ignore[assignment]
    if example is not None:
        arguments = example if isinstance(example, tuple) else (example,)
        self_test(model, net, *arguments)
        net.placement = net.placement.counted(net, *arguments)  # type: ignore[operator,union-attr,assignment]
    return net


def to_digital(net: nn.Module) -> nn.Module:
    """The digital network again, with the weights as they are now. `net` is not touched."""
    network(net)
    if any(getattr(matrix.source, "folded", False) for matrix in matrices(net)):
        raise WrongSetting("norms of this network are folded into its arrays", "give the network that was not fused")
    net = copy.deepcopy(net)
    restored: dict[int, nn.Module] = {}
    for path, module in list(net.named_modules(remove_duplicate=False)):
        if isinstance(module, AnalogLayer):
            if id(module) not in restored:
                restored[id(module)] = module.to_digital()
            net = _put(net, path, restored[id(module)])
    net.__dict__.pop("placement", None)
    return net


def _decisions(model: nn.Module, hw: Hardware) -> dict[str, Decision]:
    decisions: dict[str, Decision] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        below = {name: f"{path}.{name}".lstrip(".") for name, _ in module.named_parameters(recurse=False)}
        own = {n: full for n, full in below.items() if any(covers(pattern, full) for pattern in hw.digital)}
        decisions[path] = decide(module, path, any(covers(pattern, path) for pattern in hw.digital), own)
        if decisions[path] == NO_MATRIX:
            decisions |= dict.fromkeys(own.values(), CHOSEN)
    analog = [path for path, decision in decisions.items() if decision.analog]
    for name, patterns, paths in (("digital", hw.digital, list(decisions)), ("layers", hw.layers, analog)):
        if unused := [pattern for pattern in patterns if not any(covers(pattern, path) for path in paths)]:
            kind = "module" if name == "digital" else "layer on arrays"
            raise WrongSetting(f"no {kind} matches {unused}", f"paths look like {', '.join(paths[1:6])}", path=name)
    return decisions


def _put(net: nn.Module, path: str, module: nn.Module) -> nn.Module:
    if not path:
        return module
    parent, _, name = path.rpartition(".")
    net.get_submodule(parent)._modules[name] = module
    return net


def _no_nested_tensors(net: nn.Module) -> None:
    """torch's encoder stack would hand nested tensors to its layers' fused path."""
    for module in net.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.enable_nested_tensor = False
            module.use_nested_tensor = False
