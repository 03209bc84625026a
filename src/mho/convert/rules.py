"""Which class of torch goes onto arrays as what, and what stays digital for which reason."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from mho.errors import NotYet, UseInstead
from mho.nn.layer import AnalogLayer
from mho.nn.own_forward import analog_class
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

_OWN_FORWARD = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_FORWARD = ("forward", "_conv_forward", "_sa_block", "_ff_block")
"""What a subclass may override and change the result."""
_CHOSEN = "chosen by 'digital' in the hardware description"


class Decision(NamedTuple):
    """What becomes of one module: the analog class, or None and the reason why it stays digital."""

    analog: type[AnalogLayer] | None
    reason: str


def register(digital: type[nn.Module], analog: type[AnalogLayer]) -> None:
    """Let `to_analog` replace instances of `digital` (and of its subclasses) by `analog`."""
    LAYERS.register(analog, _name(digital))


def _name(cls: type[nn.Module]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def decide(module: nn.Module, path: str, *, chosen_digital: bool) -> Decision:
    """The rule for one module.

    Raises:
        NotYet: The module holds a weight that no rule maps.
        UseInstead: A parametrisation or weight norm hides the weight.
    """
    if chosen_digital:
        return Decision(None, _CHOSEN)
    for base in type(module).__mro__:
        if (analog := LAYERS.get(_name(base))) is not None:
            return _analog(module, base, analog, path)
        if base in DIGITAL:
            return Decision(None, DIGITAL[base])
    matrices = [name for name, p in module.named_parameters(recurse=False) if p.dim() >= 2]
    if matrices:
        shapes = ", ".join(f"'{n}' {tuple(getattr(module, n).shape)}" for n in matrices)
        raise NotYet(
            f"no rule maps {type(module).__name__}, which holds {shapes}",
            "write it with torch's own layers, register an analog version (mho.convert.register), or keep it digital: "
            f"hw.replace(digital=['{path}'])",
            path=path,
        )
    return Decision(None, "holds no matrix")


def _analog(module: nn.Module, base: type[nn.Module], analog: type[AnalogLayer], path: str) -> Decision:
    if is_parametrized(module) or "weight_g" in module._parameters or hasattr(module, "weight_orig"):
        raise UseInstead(
            f"the weight of this {base.__name__} is computed from other parameters",
            "bake it in first: torch.nn.utils.parametrize.remove_parametrizations (or remove_weight_norm, prune.remove)",
            path=path,
        )
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in module.parameters(recurse=False)):
        raise UseInstead(
            f"this {type(module).__name__} has no shape yet",
            "run the model on one batch before converting it",
            path=path,
        )
    if all(getattr(type(module), part, None) is getattr(base, part, None) for part in _FORWARD):
        return Decision(analog, f"{base.__name__} on arrays")
    if base in _OWN_FORWARD:
        return Decision(
            analog_class(type(module)), f"{type(module).__name__}: its own forward, {base.__name__} on arrays"
        )
    raise NotYet(
        f"{type(module).__name__} overrides the forward of {base.__name__}",
        f"use {base.__name__} itself, register an analog version (mho.convert.register), or keep it digital: "
        f"hw.replace(digital=['{path}'])",
        path=path,
    )
