"""Which class of torch goes onto arrays as what, and what stays digital for which reason."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from mho.errors import NotYet, UseInstead
from mho.nn.analog_class import analog_class
from mho.nn.calls import LINEAR, Read
from mho.nn.functional import Reads
from mho.nn.layer import AnalogLayer
from mho.nn.own_forward import OwnForward
from mho.registry import Registry

LAYERS: Registry[type[AnalogLayer]] = Registry(
    "layer",
    "mho.layers",
    {
        "torch.nn.modules.linear.Linear": "mho.nn.linear:AnalogLinear",
        "torch.nn.modules.conv.Conv1d": "mho.nn.conv:AnalogConv1d",
        "torch.nn.modules.conv.Conv2d": "mho.nn.conv:AnalogConv2d",
        "torch.nn.modules.conv.Conv3d": "mho.nn.conv:AnalogConv3d",
        "torch.nn.modules.conv.ConvTranspose1d": "mho.nn.conv_transpose:AnalogConvTranspose1d",
        "torch.nn.modules.conv.ConvTranspose2d": "mho.nn.conv_transpose:AnalogConvTranspose2d",
        "torch.nn.modules.conv.ConvTranspose3d": "mho.nn.conv_transpose:AnalogConvTranspose3d",
        "torch.nn.modules.rnn.RNN": "mho.nn.recurrent:AnalogRNN",
        "torch.nn.modules.rnn.LSTM": "mho.nn.recurrent:AnalogLSTM",
        "torch.nn.modules.rnn.GRU": "mho.nn.recurrent:AnalogGRU",
        "torch.nn.modules.activation.MultiheadAttention": "mho.nn.attention:AnalogMultiheadAttention",
        "torch.nn.modules.transformer.TransformerEncoderLayer": "mho.nn.transformer:AnalogTransformerEncoderLayer",
    },
)
"""Analog versions by the full name of the digital class; looked up along the class's bases, nearest first."""

DIGITAL: dict[type[nn.Module], str] = {
    nn.Embedding: "a table look-up, not a product",
    nn.EmbeddingBag: "a table look-up, not a product",
    nn.modules.batchnorm._NormBase: "element-wise scale and shift",
    nn.LayerNorm: "element-wise scale and shift",
    nn.GroupNorm: "element-wise scale and shift",
    nn.RMSNorm: "element-wise scale",
    nn.PReLU: "element-wise slope",
}
"""Classes whose weights stay digital by rule, with the reason."""

READS: dict[str, dict[str, Read]] = {
    "transformers.pytorch_utils.Conv1D": {"weight": Read(LINEAR, transposed=True)},
    "transformers.modeling_utils.Conv1D": {"weight": Read(LINEAR, transposed=True)},
}
"""How modules of other libraries read their parameters, by the full name of the class, so that no example has to tell."""

_OWN_FORWARD = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_KEEP = "keep it digital: hw.replace(digital=['{}'])"
_FORWARD = ("forward", "_conv_forward", "_sa_block", "_ff_block")
"""What a subclass may override and change the result."""
_HOOKS: tuple[type, ...] = (WeightNorm, SpectralNorm, prune.BasePruningMethod)
"""Of torch's older kind, which keep the weight they computed last as a plain attribute; torch cannot copy such modules."""


class Decision(NamedTuple):
    """What becomes of one module: the analog class, or None and the reason why it stays digital."""

    analog: type[AnalogLayer] | Reads | None
    reason: str


CHOSEN = Decision(None, "chosen by 'digital' in the hardware description")
NO_MATRIX = Decision(None, "holds no matrix")


def register(digital: type[nn.Module], analog: type[AnalogLayer]) -> None:
    """Let `to_analog` replace instances of `digital` (and of its subclasses) by `analog`."""
    LAYERS.register(analog, _name(digital))


def _name(cls: type[nn.Module]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def decide(module: nn.Module, path: str, chosen: bool) -> Decision:
    """The rule for one module.

    Args:
        module: The module.
        path: Its path.
        chosen: The hardware description keeps it digital.

    Returns:
        The rule; `NO_MATRIX` where there is none.

    Raises:
        NotYet: A forward or a weight that the rule of its class does not cover.
        UseInstead: The module has no shape yet, or cannot be copied, or a parametrisation hides the weight.
    """
    check_copyable(module, path)
    if chosen:
        return CHOSEN
    for base in type(module).__mro__:
        name = _name(base)
        if (analog := LAYERS.get(name)) is not None:
            return _analog(module, base, analog, path)
        if name in READS:
            return Decision(Reads(type(module), READS[name]), f"{base.__name__} on arrays")
        if base in DIGITAL:
            return Decision(None, DIGITAL[base])
    return NO_MATRIX


def check_copyable(module: nn.Module, path: str) -> None:
    """Refuse what torch cannot copy or what has no weights yet.

    Raises:
        UseInstead: With what to do before.
    """
    own = (*module._parameters.values(), *module._buffers.values())
    if any(tensor is not None and nn.parameter.is_lazy(tensor) for tensor in own):
        raise UseInstead(
            f"this {type(module).__name__} has no shape yet",
            "run the model on one batch before converting it",
            path=path,
        )
    if any(isinstance(hook, _HOOKS) for hook in module._forward_pre_hooks.values()):
        raise UseInstead(
            f"the weight of this {type(module).__name__} is computed from other parameters by a hook, and torch cannot copy it",
            "bake it in first (torch.nn.utils.remove_weight_norm, remove_spectral_norm, prune.remove), or use "
            "torch.nn.utils.parametrizations",
            path=path,
        )


def _analog(module: nn.Module, base: type[nn.Module], analog: type[AnalogLayer], path: str) -> Decision:
    if is_parametrized(module):
        raise UseInstead(
            f"a weight or bias of this {base.__name__} is computed from other parameters",
            "bake it in first (torch.nn.utils.parametrize.remove_parametrizations), or " + _KEEP.format(path),
            path=path,
        )
    if any(p.is_complex() for p in module.parameters(recurse=False)):
        raise NotYet(f"arrays hold real weights, this {base.__name__} complex ones", _KEEP.format(path), path=path)
    if any(p.numel() == 0 and p.dim() > 1 for p in module.parameters(recurse=False)):
        return Decision(None, "holds no value")
    if all(getattr(type(module), part, None) is getattr(base, part, None) for part in _FORWARD):
        return Decision(analog, f"{base.__name__} on arrays")
    if base in _OWN_FORWARD:
        reason = f"{type(module).__name__}: its own forward, {base.__name__} on arrays"
        return Decision(analog_class(OwnForward, type(module)), reason)
    raise NotYet(
        f"{type(module).__name__} overrides the forward of {base.__name__}",
        f"use {base.__name__} itself, register an analog version (mho.convert.register), or {_KEEP.format(path)}",
        path=path,
    )
