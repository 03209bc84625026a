"""`AnalogMatrix`: what one matrix of a layer needs besides its weight, which stays the layer's own parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mho.crossbar import Operator, Scheme, product
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.nn.source import Digital, Ideal, Source, sources

_RANGES = ("input_range", "adc_range")
_OPTIONAL = (*_RANGES, "rank")


class AnalogMatrix(nn.Module):
    """The arrays of one matrix: the hardware, the ranges of its converters, and where the weights come from.

    Its state dict is empty until `mho.calibrate` sets the ranges, so that the state dict of a digital network fits.

    Attributes:
        hw: The hardware.
        path: Dotted path in the network, for messages and for the address of random draws.
        source: Where the weights come from.
        input_range: Largest input the DAC converts, scalar; a parameter when the hardware's range is 'learned'.
        adc_range: Largest output the ADC converts, (readouts, blocks).
        rank: Share of the network's weights that matter less than each, in torch's layout, or None.
    """

    source: Source
    input_range: Tensor | None
    adc_range: Tensor | None
    rank: Tensor | None

    def __init__(self, hw: Hardware, path: str) -> None:
        super().__init__()
        self.hw, self.path = hw, path
        self.source = Ideal()
        self._scheme: Scheme | None = None
        for name in _OPTIONAL:
            self.register_buffer(name, None)

    def forward(self, x: Tensor, weight: Tensor, operator: Operator, bias: Tensor | None = None) -> Tensor:
        """The map that the arrays compute, and the digital sum with a bias.

        Args:
            x: Input of the layer.
            weight: Its weight, in torch's layout; not read by a chip.
            operator: torch's operator with its geometry.
            bias: One value a column, or None.
        """
        return _multiply(self, x, weight, operator, bias)

    def scheme(self, weight: Tensor, operator: Operator) -> Scheme:
        """The conversions of a product with this weight's shape; kept while neither it nor the hardware changes."""
        kept = self._scheme
        if kept is not None and kept.hw is self.hw and kept.shape == weight.shape:
            return kept
        made = Scheme.of(operator, tuple(weight.shape), self.hw, self.path)
        if not torch.compiler.is_compiling():
            self._scheme = made
        return made

    @property
    def programmed(self) -> bool:
        """A chip is in place."""
        return self.source.programmed

    def set_range(self, name: str, value: Tensor) -> None:
        """Set 'input_range' or 'adc_range'."""
        converter = self.hw.dac if name == "input_range" else self.hw.adc
        self._buffers.pop(name, None)
        self._parameters.pop(name, None)  # learned before, on hardware that was replaced since
        if converter.range == "learned":
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def lacks_range(self, scheme: Scheme) -> bool:
        """True where a converter's range is to come from data and has not."""
        missing = scheme.needs_input_range and self.input_range is None
        return missing or (scheme.needs_adc_range and self.adc_range is None)

    def require_ranges(self, scheme: Scheme) -> None:
        """Raises WrongSetting where `lacks_range`."""
        if self.lacks_range(scheme):
            raise WrongSetting(
                "the converters have no range yet: never calibrated, or no calibration batch reached this array",
                "call mho.calibrate(net, batches) first; where that was done, give it more data or keep this layer digital "
                "with hw.replace(digital=[...]); or choose dac.range 'abs_max' and adc.range 'fixed'",
                path=self.path,
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        """Ranges are taken over where the dict has them and kept where it has none (a digital network's)."""
        for name in _OPTIONAL:
            value = state_dict.get(prefix + name)
            if value is not None and getattr(self, name) is None:
                if name in _RANGES:
                    self.set_range(name, torch.empty_like(value))
                else:
                    self.register_buffer(name, torch.empty_like(value))
        missing: list[str] = []
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected_keys, error_msgs)
        missing_keys += [key for key in missing if key.removeprefix(prefix) not in _OPTIONAL]

    def extra_repr(self) -> str:
        """Name of the hardware."""
        return self.hw.name


def below(path: str, name: str) -> str:
    """Dotted path of what a module at `path` calls `name`; the network's own is "".

    Args:
        path: Of the module.
        name: Of a part of it.
    """
    return f"{path}.{name}" if path else name


def _multiply(matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator, bias: Tensor | None) -> Tensor:
    """One node in a graph of torch.fx."""
    held = matrix.source.values(matrix, weight, operator)
    if isinstance(held, Tensor):
        return operator(x, held, bias)
    input_range, adc_range, scheme = matrix.input_range, matrix.adc_range, held.scheme
    if input_range is None or adc_range is None:
        matrix.require_ranges(scheme)
    y = product(held, operator, x, input_range, adc_range, bias)
    device = y.device.type
    if device == "meta" or y.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return y
    return y.to(torch.get_autocast_dtype(device))  # as torch's own operator would have answered


torch.fx.wrap("_multiply")


def matrices(net: nn.Module) -> list[AnalogMatrix]:
    """Every matrix of a network, in its order."""
    return [module for module in net.modules() if isinstance(module, AnalogMatrix)]


def digitally(net: nn.Module) -> AbstractContextManager[None]:
    """Context in which every matrix of a network is multiplied digitally; nothing for a digital network."""
    return sources(matrices(net), lambda matrix: Digital())


Watcher = Callable[[AnalogMatrix, Tensor, Tensor, Operator, Tensor], None]
"""Is told of a product: the matrix, its input, the layer's weight, the operator, and the output (bias included)."""


@contextmanager
def watched(net: nn.Module, watcher: Watcher) -> Iterator[None]:
    """Inside the block `watcher` is told of every product of a network. Watchers stack; none changes the answers."""

    def told(matrix: Any, arguments: tuple[Any, ...], y: Tensor) -> None:
        x, weight, operator = arguments[:3]
        watcher(matrix, x, weight, operator, y)

    with ExitStack() as handles:
        if hasattr(net, "_orig_mod"):  # a compiled network that has run already knows nothing of new hooks
            handles.enter_context(torch.compiler.set_stance("force_eager"))
        for matrix in matrices(net):
            handles.callback(matrix.register_forward_hook(told).remove)
        yield
