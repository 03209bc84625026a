"""`to_analog`: a network on arrays, as a new module; and `to_digital`, the way back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from mho.arguments import check_mode, network
from mho.convert.parameters import Decisions, judge, own_forward, together
from mho.convert.placement import place
from mho.convert.reading import Seen
from mho.convert.rules import CHOSEN, NO_MATRIX, decide
from mho.convert.self_test import check_encoding, self_test
from mho.convert.weights import check_weights
from mho.errors import BadInput, MhoError, NeverPossible, UseInstead, WrongSetting
from mho.hardware import Hardware
from mho.hardware.description import covers
from mho.nn import AnalogLayer
from mho.nn.matrix import matrices


def to_analog(model: nn.Module, hw: Hardware | str | Path, *, example: Any = None) -> nn.Module:
    """A copy of `model` whose layers live on arrays. `model` itself is not touched.

    Layers keep their parameter names; ``net.placement`` lists every weight, where it went and why. What computes a product
    of a stored matrix with activations goes onto arrays or is refused by name, all of it at once. Parameters that no product
    reads as a matrix (class tokens, position embeddings, layer scales, state matrices) stay digital. ``hw.digital`` names
    modules that stay digital, and single parameters of modules without a rule.

    Args:
        model: Any module.
        hw: The hardware, or the name of a preset, or a YAML file.
        example: One batch of inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments. One run of it
            shows which parameters of modules without a rule are matrices; without it those that may be are refused. With it
            the conversion tests itself, too: with every non-ideality off the outputs must equal the original's, and no
            layer may compute around its arrays. The placement then says how many multiply-accumulates each weight takes.

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
    check_weights(model, run=example is not None)
    check_encoding(hw)
    example = dict(example) if isinstance(example, Mapping) else example
    given = None if example is None else example if isinstance(example, tuple) else (example,)
    decisions, seen = _decisions(model, hw, given)
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
    if given is not None and seen is not None:
        self_test(model, net, *given)
        placement = net.placement.counted(net, *given)  # type: ignore[operator,union-attr]
        net.placement = replace(placement, stored_macs=seen.stored_macs)  # type: ignore[assignment]
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


def _decisions(model: nn.Module, hw: Hardware, example: tuple[Any, ...] | None) -> tuple[Decisions, Seen | None]:
    decisions: Decisions = {}
    refused: list[MhoError] = []
    for path, module in model.named_modules(remove_duplicate=False):
        try:
            decisions[path] = decide(module, path, any(covers(pattern, path) for pattern in hw.digital))
        except MhoError as error:
            refused.append(error)
            decisions[path] = NO_MATRIX
        if decisions[path] == NO_MATRIX or own_forward(decisions[path]):
            names = [name for name, _ in module.named_parameters(recurse=False)]
            own = [
                f"{path}.{n}".lstrip(".") for n in names if decisions[path] == NO_MATRIX or n not in ("weight", "bias")
            ]
            decisions |= {n: CHOSEN for n in own if any(covers(pattern, n) for pattern in hw.digital)}
    unborn = [error for error in refused if isinstance(error, UseInstead) and "digital=" not in error.remedy]
    seen = None
    if not unborn:
        try:
            seen = judge(model, decisions, example, refused)
        except BadInput:
            if refused:  # which says more than that it does not run
                raise together(refused, list(decisions)) from None
            raise
    analog = [path for path, decision in decisions.items() if decision.analog]
    for name, patterns, paths in (("digital", hw.digital, list(decisions)), ("layers", hw.layers, analog)):
        if unused := [pattern for pattern in patterns if not any(covers(pattern, path) for path in paths)]:
            kind = "module" if name == "digital" else "layer on arrays"
            raise WrongSetting(f"no {kind} matches {unused}", f"paths look like {', '.join(paths[1:6])}", path=name)
    if refused:
        raise together([*unborn] or refused, analog)
    return decisions, seen


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
