"""`Perturbation`: which stored tensors are disturbed, and what σ means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mho.arguments import many, one_of
from mho.errors import WrongSetting
from mho.rng import Stream

SCOPES = ("weights", "parameters", "all", "statistics")
_DEVIATIONS = {"std": 1, "max": 4, "range": 8, "value": 1}
"""By reference, about how many standard deviations of a trained tensor it is."""
REFERENCES = tuple(_DEVIATIONS)
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SPREADS = ("running_var", "running_scale")
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Perturbation:
    """Noise on stored tensors: w' = w + η·ref(w)·n, with n of mean 0 and standard deviation 1.

    Attributes:
        scope: ``weights``: parameters of two dimensions and more; ``parameters``: every parameter, biases and the norms' γ and β
            among them; ``statistics``: buffers of floating point that are saved with the network, as the running statistics of
            norms; ``all``: parameters and those. Or names of tensors, as in the state dict, with wildcards.
        reference: What η is a share of. ``std``: standard deviation of the tensor (over n, not n - 1); ``max``: its largest
            |value|; ``range``: largest less smallest value; ``value``: each value itself (multiplicative noise).
        per: ``tensor``, or ``channel``: a reference for each output channel. Tensors of one dimension always have one.
        distribution: ``gaussian``, or ``uniform`` in ±√3, which has the same standard deviation.
        clamp: Spreads of norms that noise makes negative become 0. Otherwise they stay as drawn: a negative variance gives
            answers that are not finite, which count as wrong and are counted.

    Raises:
        WrongSetting: An unknown word, no name in the scope, or a reference by channel of each value.

    References:
        Fagbohungbe & Qian 2020, arXiv:2011.11840 (η; a share of the standard deviation in our reading, for what could be read
        of it does not say so); Joshi et al. 2020 (of the maximum).
    """

    scope: str | Sequence[str] = "weights"
    reference: str = "std"
    per: str = "tensor"
    distribution: str = "gaussian"
    clamp: bool = False

    def __post_init__(self) -> None:
        one_of(self.reference, "reference", REFERENCES)
        one_of(self.per, "per", ("tensor", "channel"))
        one_of(self.distribution, "distribution", ("gaussian", "uniform"))
        if self.reference == "value" and self.per == "channel":
            raise WrongSetting("noise relative to each value has no reference by channel", "per='tensor'", path="per")
        if not isinstance(self.clamp, bool):
            raise WrongSetting(f"clamp = {self.clamp!r}", "give True or False", path="clamp")
        if not (isinstance(self.scope, str) and self.scope in SCOPES):
            names = many(self.scope, "scope")
            if not names or not all(isinstance(name, str) and name for name in names):
                remedy = f"one of {', '.join(SCOPES)}, or names of tensors, as ['*.weight']"
                raise WrongSetting(f"scope = {self.scope!r}", remedy, path="scope")
            object.__setattr__(self, "scope", names)

    @property
    def deviations(self) -> int:
        """About how many standard deviations the reference of a trained tensor is: sizes divided by it do comparable harm."""
        return _DEVIATIONS[self.reference]

    def tensors(self, net: nn.Module) -> dict[str, Tensor]:
        """Those of a network that are disturbed, by name; a shared one once, by its first name.

        Raises:
            WrongSetting: There is none; a name that matches nothing; or a parameter that noise cannot be added to, as whole
                numbers, or one without values.
        """
        parameters = dict(net.named_parameters())
        for name, p in parameters.items():
            if p.is_meta or is_lazy(p):
                raise WrongSetting(
                    f"'{name}' has no values yet", "call the network once, or load its weights", path="net"
                )
        saved = net.state_dict(keep_vars=True).keys()
        buffers = {name: t for name, t in net.named_buffers() if name in saved}
        there = {name: t for name, t in {**parameters, **buffers}.items() if t.dtype in _FLOATS}
        if not isinstance(self.scope, str):
            first = {id(t): name for name, t in there.items()}
            every = [*net.named_parameters(remove_duplicate=False), *net.named_buffers(remove_duplicate=False)]
            names = {name: first[id(t)] for name, t in every if id(t) in first}
            asked = {first for name, first in names.items() if any(fnmatchcase(name, p) for p in self.scope)}
            found = {name: t for name, t in there.items() if name in asked}
            for pattern in self.scope:
                if not any(fnmatchcase(name, pattern) for name in names):
                    some = ", ".join([*there][:5])
                    raise WrongSetting(f"no tensor is called '{pattern}'", f"one of {', '.join(SCOPES)}, or names of the "
                                       f"state dict: {some} …", path="scope")  # fmt: skip
            return found
        wanted = {
            "weights": [name for name, p in parameters.items() if p.dim() > 1],
            "parameters": [*parameters],
            "statistics": [*buffers],
            "all": [*there],
        }[self.scope]
        for name in wanted:
            if name in parameters and name not in there:
                raise WrongSetting(f"'{name}' holds {parameters[name].dtype}, to which noise cannot be added",
                                   "name the tensors that are meant in the scope", path="scope")  # fmt: skip
        found = {name: there[name] for name in wanted if name in there and there[name].numel()}
        if not found:
            raise WrongSetting(f"the network has no tensor in the scope '{self.scope}'", f"one of {', '.join(SCOPES)}",
                               path="scope")  # fmt: skip
        return found

    def scale(self, w: Tensor, by_group: Shape | None = None) -> Tensor:
        """What η is a share of, of a shape that multiplies the tensor.

        Args:
            w: The tensor.
            by_group: Of the weight of a transposed convolution, its shape as in `by_groups`.
        """
        if self.reference == "value":
            return w.abs()
        if self.per == "tensor" or w.dim() < 2:
            return self._over(w, range(w.dim()))
        if by_group is None:
            return self._over(w, range(1, w.dim()))
        parts = w.reshape(by_group)
        found = self._over(parts, [d for d in range(parts.dim()) if d not in (0, 2)])
        return found.expand(-1, parts.shape[1], *found.shape[2:]).flatten(0, 1)

    def _over(self, w: Tensor, axes: Iterable[int]) -> Tensor:
        """The reference over some axes, which stay, with length 1."""
        along = [*axes]
        if self.reference == "max":
            return w.abs().amax(along, keepdim=True)
        if self.reference == "range":
            return w.amax(along, keepdim=True) - w.amin(along, keepdim=True)
        return w.double().var(along, correction=0, keepdim=True).sqrt().to(w.dtype)

    def untouched(self, net: nn.Module) -> tuple[str, ...]:
        """Those of `tensors` whose reference is 0, so that noise leaves them as they are: constant ones, or zeros."""
        shapes = by_groups(net)
        return tuple(name for name, w in self.tensors(net).items() if not bool(self.scale(w, shapes.get(name)).any()))

    def drawn(self, name: str, w: Tensor, eta: float, draw: Stream, by_group: Shape | None = None) -> Tensor:
        """The disturbed tensor; the same address draws the same n for every η, scope and reference.

        Args:
            name: Of the tensor, part of the address.
            w: The tensor.
            eta: η; 0 gives the tensor itself, exactly.
            draw: Address of the draw.
            by_group: As for `scale`.
        """
        if eta == 0:
            return w
        at = draw / name
        n = at.normal("noise", w.shape) if self.distribution == "gaussian" else (
            math.sqrt(12) * (at.uniform("noise", w.shape) - 0.5)
        )  # fmt: skip
        noisy = w + eta * self.scale(w, by_group) * n.to(w)
        return noisy.clamp(min=0) if self.clamp and name.rpartition(".")[2] in _SPREADS else noisy

    def record(self) -> dict[str, Any]:
        """Plain values that decide the noise."""
        return {**asdict(self), "scope": self._what}

    @property
    def _what(self) -> str:
        return self.scope if isinstance(self.scope, str) else ", ".join(self.scope)

    def __str__(self) -> str:
        of = {"std": "standard deviation", "max": "largest value", "range": "range", "value": "value"}[self.reference]
        whose = "each" if self.reference == "value" else f"the {self.per}'s"
        return f"{self.distribution} noise on {self._what}, η as a share of {whose} {of}"


def by_groups(net: nn.Module) -> dict[str, Shape]:
    """Shapes in which weights of transposed convolutions have their output channels on axes 0 and 2: (groups, inputs of a
    group, outputs of a group, …). All other weights have them first."""
    return {
        f"{path}.weight" if path else "weight": (module.groups, -1, *module.weight.shape[1:])
        for path, module in net.named_modules(remove_duplicate=False)
        if isinstance(module, nn.modules.conv._ConvTransposeNd)
    }
