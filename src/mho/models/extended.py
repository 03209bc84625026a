"""`Extended`: a network with parts of its own around a backbone that keeps its names."""

from __future__ import annotations

import copy
import threading
from typing import TypeVar

import torch
from torch import nn

from mho.errors import WrongSetting

E = TypeVar("E", bound="Extended")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
ONE_AT_A_TIME = threading.RLock()
"""Held while modules of a backbone are computed otherwise, which other threads would see: they share its modules."""


class Extended(nn.Module):
    """A network that holds what a backbone holds, under the same names, and one module more.

    The backbone's weights load into it (``strict=False``: they lack the other module's), and whatever replaces layers, such
    as the conversion, finds them where they were.

    Args:
        backbone: The network; its modules become this one's.
        own: Name of the module that is added.

    Attributes:
        own: That name.
        frozen: See `freeze`.
        still: Names of parameters that wanted no gradient when the network was frozen.

    Raises:
        WrongSetting: The backbone holds something of that name, or of one of this class.
    """

    own: str
    frozen: bool
    still: frozenset[str]

    def __init__(self, backbone: nn.Module, own: str) -> None:
        super().__init__()
        check_backbone(backbone, type(self), own)
        self._buffers.update(backbone._buffers)
        self._parameters.update(backbone._parameters)
        self._modules.update(backbone._modules)
        self._non_persistent_buffers_set |= backbone._non_persistent_buffers_set
        shell = copy.copy(backbone)
        shell.__dict__.update(_modules={}, _parameters={}, _buffers={})
        # The backbone's class and plain attributes; what it holds is found here, also after layers were replaced.
        object.__setattr__(self, "_shell", shell)
        self.own = own
        self.frozen = False
        self.still = frozenset()
        self.training = backbone.training

    def freeze(self: E, on: bool = True) -> E:
        """Train the added module alone: the backbone's parameters want no gradient, and its norms keep their statistics.

        Parameters that wanted no gradient before want none in between and afterwards either.
        """
        if on and not self.frozen:
            self.still = frozenset(name for name, parameter in self.named_parameters() if not parameter.requires_grad)
        if on or self.frozen:
            for name, parameter in self.named_parameters():
                parameter.requires_grad_(name not in self.still and (not on or name.startswith(f"{self.own}.")))
        self.frozen = on
        return self.train(self.training)

    def train(self: E, mode: bool = True) -> E:
        """As the backbone's own, which may keep some of its norms in eval mode; a frozen backbone stays in eval mode."""
        self.training = mode
        self.backbone().train(mode and not self.frozen)
        self._modules[self.own].train(mode)  # type: ignore[union-attr]
        return self

    def backbone(self) -> nn.Module:
        """The network without the added module, with the same modules and parameters (none is copied)."""
        view: nn.Module = copy.copy(self.__dict__["_shell"])
        inner = {name: child for name, child in self._modules.items() if name != self.own}
        view.__dict__.update(
            _modules=inner, _parameters=self._parameters, _buffers=self._buffers,
            training=self.training and not self.frozen,
        )  # fmt: skip
        return view


def check_backbone(backbone: nn.Module, kind: type[Extended], own: str) -> None:
    """Refuse a network whose parts are called as the added module, or as something of the class that holds it; one whose own
    hooks would be left behind; and TorchScript, whose modules cannot be computed otherwise.

    Raises:
        WrongSetting: It has such a part, or hooks, or is TorchScript.
    """
    if isinstance(backbone, torch.jit.ScriptModule):
        raise WrongSetting("the network is TorchScript", "give the one that it was scripted from", path="backbone")
    if any(backbone.__dict__.get(hooks) for hooks in _HOOKS):
        remedy = "wrap it, which keeps them: nn.Sequential(network), whose modules are called 0.…"
        raise WrongSetting(
            "the network itself has hooks, which its parts would be computed without", remedy, path="backbone"
        )
    taken = {own, *Extended.__annotations__, *kind.__annotations__}
    for name in (*backbone._modules, *backbone._parameters, *backbone._buffers):
        if name in taken or hasattr(kind, name):
            raise WrongSetting(f"the network has a '{name}' already", "call that one otherwise", path=name)
