"""`AnalogMatrix`: what one matrix of a layer needs besides its weight, which stays the layer's own parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mho.crossbar import AnalogProduct, Cells, Operator, ideal_cells
from mho.crossbar.product import needs_adc_range, needs_input_range
from mho.errors import WrongSetting
from mho.hardware import Hardware

Observer = Callable[["AnalogMatrix", Tensor, Tensor, Operator], Tensor]
_RANGES = ("input_range", "adc_range")


class AnalogMatrix(nn.Module):
    """The arrays of one matrix: ranges from calibration, and the cells of a chip once one is programmed.

    Its state dict is empty until `mho.calibrate` sets the ranges, so that the state dict of a digital network fits.

    Attributes:
        hw: The hardware.
        path: Dotted path in the network, for messages and for the address of random draws.
        input_range: Largest input the DAC converts, scalar; a parameter when the hardware's range is 'learned'.
        adc_range: Largest output the ADC converts, (readouts, blocks).
        observer: When set, is asked for the result instead of the arrays (calibration, counting).
        fold: See `AnalogProduct`.
    """

    input_range: Tensor | None
    adc_range: Tensor | None

    def __init__(self, hw: Hardware, path: str) -> None:
        super().__init__()
        self.hw, self.path = hw, path
        self.observer: Observer | None = None
        self.fold = True
        self._kept: tuple[torch.Size, AnalogProduct] | None = None
        for name in _RANGES:
            self.register_buffer(name, None)
        for name in Cells._fields:
            self.register_buffer(f"cells_{name}", None, persistent=False)

    def forward(self, x: Tensor, weight: Tensor, operator: Operator) -> Tensor:
        """The map that the arrays compute, without bias.

        Args:
            x: Input of the layer.
            weight: Its weight, in torch's layout; not read once a chip's cells are in place.
            operator: torch's operator with its geometry.
        """
        return _read(self, x, weight, operator)

    def read(self, x: Tensor, weight: Tensor, operator: Operator) -> Tensor:
        """What `forward` answers; one node in a graph of torch.fx."""
        if self.observer is not None:
            return self.observer(self, x, weight, operator)
        self._require_ranges()
        product = self.product(weight, operator)
        cells = self.programmed()
        if cells is None:
            cells = ideal_cells(operator.to_matrix(weight), product.plan, self.hw)
        return _in_torchs_dtype(product(x, cells, self.input_range, self.adc_range))

    def product(self, weight: Tensor, operator: Operator) -> AnalogProduct:
        """The analog product for this weight's shape; kept while neither it nor the hardware changes."""
        if torch.compiler.is_compiling():
            return self._new_product(weight, operator)
        kept = self._kept
        if kept is None or kept[0] != weight.shape or kept[1].operator != operator or kept[1].hw is not self.hw:
            kept = self._kept = (weight.shape, self._new_product(weight, operator))
        product = kept[1]
        return product if product.fold == self.fold else replace(product, fold=self.fold)

    def _new_product(self, weight: Tensor, operator: Operator) -> AnalogProduct:
        plan = operator.plan(weight, self.hw.array, self.hw.encoding.columns_per_weight())
        kernel = tuple(weight.shape[2:]) if operator.dims else ()
        return AnalogProduct(operator, plan, kernel, self.hw, self.fold)

    def programmed(self) -> Cells | None:
        """The cells of the chip in place, or None."""
        if self.cells_weight is None:
            return None
        return Cells(*(getattr(self, f"cells_{name}") for name in Cells._fields))

    def put(self, cells: Cells | None, like: Tensor | None = None) -> None:
        """Put a chip's cells in place, in the dtype and on the device of `like`; None takes them out."""
        for name in Cells._fields:
            value = None if cells is None else getattr(cells, name)
            value = value if value is None or like is None else value.to(like)
            self.register_buffer(f"cells_{name}", value, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AnalogMatrix:
        """Cells are no images: they keep their layout in `net.to(memory_format=...)`."""
        return super()._apply(lambda t: fn(t) if t.dim() < 4 else fn(t.flatten(1)).view(t.shape), recurse)

    def set_range(self, name: str, value: Tensor) -> None:
        """Set 'input_range' or 'adc_range'."""
        if name == "input_range" and self.hw.dac.range == "learned":
            del self._buffers[name]
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def _require_ranges(self) -> None:
        missing = self.input_range is None and needs_input_range(self.hw)
        if missing or (self.adc_range is None and needs_adc_range(self.hw)):
            raise WrongSetting(
                "the converters have no range yet",
                "call mho.calibrate(net, batches) first, or choose dac.range 'abs_max' and adc.range 'fixed'",
                path=self.path,
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        """Ranges are taken over where the dict has them and kept where it has none (a digital network's)."""
        for name in _RANGES:
            value = state_dict.get(prefix + name)
            if value is not None and getattr(self, name) is None:
                self.set_range(name, torch.empty_like(value))
        missing: list[str] = []
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected_keys, error_msgs)
        missing_keys += [key for key in missing if key.removeprefix(prefix) not in _RANGES]

    def extra_repr(self) -> str:
        """Name of the hardware and whether a chip is in place."""
        state = "" if self.cells_weight is None else ", programmed"
        return f"{self.hw.name}{state}"


def _read(matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator) -> Tensor:
    return matrix.read(x, weight, operator)


torch.fx.wrap("_read")


def _in_torchs_dtype(y: Tensor) -> Tensor:
    """Under autocast, the dtype in which torch's own operator would have answered."""
    device = y.device.type
    if y.dtype == torch.float64 or device == "meta" or not torch.is_autocast_enabled(device):
        return y
    return y.to(torch.get_autocast_dtype(device))
