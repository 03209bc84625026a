"""`AnalogMatrix`: what one matrix of a layer needs besides its weight, which stays the layer's own parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mho.crossbar import AnalogProduct, Cells, Operands, Operator, ideal_cells
from mho.crossbar.cells import Change, differs_per_product
from mho.crossbar.product import Affine, lossless, needs_adc_range, needs_input_range
from mho.crossbar.step import Single
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.nn.norm import Behind

Observer = Callable[["AnalogMatrix", Tensor, Tensor, Operator], Tensor]
_RANGES = ("input_range", "adc_range")


class Hardened(NamedTuple):
    """What hardware-aware training changes in a matrix, in training mode and for ideal cells.

    Attributes:
        hw: The hardware that training sees.
        change: What is injected into the weights, or None.
        straight_through: See `AnalogProduct`.
    """

    hw: Hardware
    change: Change | None
    straight_through: bool


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
        rows: Images may be answered in rows (channels_last), whatever the layout of the input.
        hardened: Hardware-aware training, or None.
    """

    input_range: Tensor | None
    adc_range: Tensor | None

    def __init__(self, hw: Hardware, path: str) -> None:
        super().__init__()
        self.hw, self.path = hw, path
        self.observer: Observer | None = None
        self.fold, self.rows = True, False
        self.hardened: Hardened | None = None
        self._kept: tuple[torch.Size, AnalogProduct] | None = None
        self._held: tuple[AnalogProduct, object, Operands | Tensor] | None = None
        self._behind: Behind | None = None
        for name in _RANGES:
            self.register_buffer(name, None)
        for name in Cells._fields:
            self.register_buffer(f"cells_{name}", None, persistent=False)

    def forward(self, x: Tensor, weight: Tensor, operator: Operator, bias: Tensor | None = None) -> Tensor:
        """The map that the arrays compute, and the digital sum with a bias.

        Args:
            x: Input of the layer.
            weight: Its weight, in torch's layout; not read once a chip's cells are in place.
            operator: torch's operator with its geometry.
            bias: One value a column, or None.
        """
        return _read(self, x, weight, operator, bias)

    def read(self, x: Tensor, weight: Tensor, operator: Operator, bias: Tensor | None) -> Tensor:
        """What `forward` answers; one node in a graph of torch.fx."""
        behind = self._behind
        if behind is not None:
            behind.norm.expect(None)
        if self.observer is not None:
            return Affine(None, bias)(self.observer(self, x, weight, operator), operator)
        self._require_ranges()
        product = self.product(weight, operator)
        held = self._operands(product, weight, operator)
        if behind is None or not behind.folds(x):
            notes: list[Single] | None = [] if behind is not None and behind.trains() else None
            y = product(x, held, self.input_range, self.adc_range, Affine(None, bias), notes)
            if behind is not None and notes:
                behind.norm.expect(y, notes[0])
            return _in_torchs_dtype(y)
        y = product(x, held, self.input_range, self.adc_range, behind.norm.as_affine(bias))
        behind.norm.expect(y)
        return y

    def _operands(self, product: AnalogProduct, weight: Tensor, operator: Operator) -> Operands | Tensor:
        """What the product multiplies with; a chip's is kept until its cells change."""
        cells = self.programmed()
        if cells is None:
            hardened = self._hardened()
            change = None if hardened is None else hardened.change
            if change is None and self.fold and _holds_weights(product.hw):
                return weight
            return product.operands(ideal_cells(operator.to_matrix(weight), product.plan, product.hw, change))
        signature = _signature(cells)
        held = self._held
        if held is None or signature is None or held[0] is not product or held[1] != signature:
            held = self._held = (product, signature, product.operands(cells))
        return held[2]

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be made again."""
        return {**self.__dict__, "_held": None, "_kept": None}

    def product(self, weight: Tensor, operator: Operator) -> AnalogProduct:
        """The analog product for this weight's shape; kept while neither it nor the hardware changes."""
        if torch.compiler.is_compiling():
            return self._new_product(weight, operator)
        kept, hardened = self._kept, self._hardened()
        hw = self.hw if hardened is None else hardened.hw
        if kept is None or kept[0] != weight.shape or kept[1].operator != operator or kept[1].hw is not hw:
            kept = self._kept = (weight.shape, self._new_product(weight, operator))
        product = kept[1]
        asked = (self.fold, self.rows, hardened is not None and hardened.straight_through)
        if asked == (product.fold, product.rows, product.straight_through):
            return product
        return replace(product, fold=asked[0], rows=asked[1], straight_through=asked[2])

    def _new_product(self, weight: Tensor, operator: Operator) -> AnalogProduct:
        hardened = self._hardened()
        hw = self.hw if hardened is None else hardened.hw
        plan = operator.plan(weight, hw.array, hw.encoding.columns_per_weight())
        kernel = tuple(weight.shape[2:]) if operator.dims else ()
        through = hardened is not None and hardened.straight_through
        return AnalogProduct(operator, plan, kernel, hw, self.fold, self.rows, through)

    def _hardened(self) -> Hardened | None:
        return self.hardened if self.training and self.cells_weight is None else None

    def link(self, behind: Behind) -> None:
        """A batch norm is the only reader of this matrix's output."""
        self._behind = behind

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
        converter = self.hw.dac if name == "input_range" else self.hw.adc
        self._buffers.pop(name, None)
        self._parameters.pop(name, None)
        if converter.range == "learned":
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


def _read(matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator, bias: Tensor | None) -> Tensor:
    return matrix.read(x, weight, operator, bias)


torch.fx.wrap("_read")


def _holds_weights(hw: Hardware) -> bool:
    """True when ideal cells compute with the weights themselves."""
    return hw.mapping.clip_sigma is None and lossless(differs_per_product(hw), hw)


def _in_torchs_dtype(y: Tensor) -> Tensor:
    """Under autocast, the dtype in which torch's own operator would have answered."""
    device = y.device.type
    if y.dtype == torch.float64 or device == "meta" or not torch.is_autocast_enabled(device):
        return y
    return y.to(torch.get_autocast_dtype(device))


def _signature(tensors: tuple[Tensor | None, ...]) -> object:
    """Changes whenever one of the tensors is replaced or written to; None where that cannot be told."""
    held = [t for t in tensors if t is not None]
    traced = torch.compiler.is_compiling() or any(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in held)
    if traced or any(type(t) is not Tensor or t.is_inference() or t.requires_grad for t in held):
        return None
    return tuple((t.data_ptr(), t._version, t.dtype) for t in held)
