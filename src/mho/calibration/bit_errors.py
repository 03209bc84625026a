"""What each number of bits costs at the output of each layer."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mho.calibration.adc_ranges import adc_error, adc_range
from mho.calibration.calibrate import arrays, take
from mho.calibration.dac_ranges import dac_range, output_error
from mho.calibration.draws import draws
from mho.calibration.kept import Kept
from mho.crossbar import Operator, Scheme
from mho.errors import BadInput
from mho.hardware import Hardware
from mho.nn import AnalogMatrix
from mho.nn.layer import layer_paths
from mho.nn.matrix import Watcher, digitally, matrices, watched
from mho.nn.modes import evaluating
from mho.tasks.exits import last_exit
from mho.tasks.items import take as first
from mho.tasks.parts import inputs_of, run

Converter = Literal["dac", "adc"]
_CONVERTERS: tuple[Converter, ...] = ("dac", "adc")
_VALUES, _ITEMS = 1 << 17, 64
"""Values kept of a matrix; items of a trial."""
Errors = dict[tuple[str, Converter], dict[int, float]]


def bit_errors(
    net: nn.Module, batches: Iterable[Any], bits: range, *, at_output: bool = False, max_batches: int = 2
) -> Errors:
    """Squared error at the output of each layer over its squared output, by converter and bits.

    One converter has b bits and the range of the smallest error, the other the most bits of `bits`. A layer of several
    matrices has the sum of their errors.

    Args:
        net: What `to_analog` returned; nothing of it is changed.
        batches: As for `calibrate`.
        bits: Numbers of bits, rising.
        at_output: Give squared errors of the network's output instead (with exits: of the last one), to first order: each
            layer's errors times what a trial, with the middle number of bits in this layer and converter alone, makes of its
            error.
        max_batches: Batches looked at; the trials take 64 items.

    Returns:
        Errors by (path of the layer, "dac" or "adc"), by number of bits.

    Raises:
        BadInput: No batch, an array that no batch reached, or an output that is no tensor (`at_output`).
        WrongSetting: `net` was not converted, or holds a programmed chip.
    """
    found_arrays, taken = arrays(net), take(batches, max_batches)
    kept = _keep(net, taken)
    paths, middle = layer_paths(net), bits[len(bits) // 2]
    found: Errors = {}
    trials: dict[tuple[str, Converter], dict[str, AnalogMatrix]] = {}
    with torch.no_grad():
        for matrix in found_arrays:
            if matrix.path not in kept:
                raise BadInput("no batch reached this array", "give other batches", path=matrix.path)
            full = _reach(with_bits(matrix.hw, bits[-1], None), matrix.path, kept[matrix.path])
            for converter in _CONVERTERS:
                key = (paths[matrix.path], converter)
                by_bits = found.setdefault(key, dict.fromkeys(bits, 0.0))
                for b in bits:
                    dac, adc = (b, None) if converter == "dac" else (bits[-1], b)
                    hw = with_bits(matrix.hw, dac, adc)
                    follows = converter == "adc" and hw.adc.range != "fixed"  # the DAC's range does not depend on b
                    ranged, error = _ranged(hw, matrix.path, kept[matrix.path], full if follows else None)
                    by_bits[b] += error
                    if b == middle:
                        trials.setdefault(key, {})[matrix.path] = ranged
    if at_output:
        for key, error in _at_output(net, taken[0], trials).items():
            weight = error / found[key][middle] if found[key][middle] else 0.0
            found[key] = {b: weight * e for b, e in found[key].items()}
    return found


def with_bits(hw: Hardware, dac: int | None, adc: int | None) -> Hardware:
    """The hardware with other converters; None is one of infinite resolution."""
    whole: dict[str, Any] = {"adc__circuit": None, "adc__unipolar": False} if adc is None else {}
    return hw.replace(dac__steps=None, dac__bits=dac, adc__steps=None, adc__bits=adc, **whole)


def _scheme(hw: Hardware, kept: Kept) -> Scheme:
    return Scheme.of(kept.operator, tuple(kept.weight.shape), hw)


def _reach(hw: Hardware, path: str, kept: Kept) -> Tensor | None:
    return dac_range(AnalogMatrix(hw, path), kept) if _scheme(hw, kept).needs_input_range else None


def _ranged(hw: Hardware, path: str, kept: Kept, reach: Tensor | None) -> tuple[AnalogMatrix, float]:
    """Arrays with the ranges of the smallest error (of the DAC: `reach` where given), and that error."""
    matrix = AnalogMatrix(hw, path)
    reach = _reach(hw, path, kept) if reach is None else reach
    if reach is not None:
        matrix.register_buffer("input_range", reach)
    if not _scheme(hw, kept).needs_adc_range:
        return matrix, output_error(matrix, kept)(1.0 if reach is None else float(reach))
    bounds = adc_range(matrix, kept)
    matrix.register_buffer("adc_range", bounds)
    return matrix, adc_error(matrix, kept, bounds)


def _keep(net: nn.Module, batches: list[Any]) -> dict[str, Kept]:
    kept: dict[str, Kept] = {}

    def keep(matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator, y: Tensor) -> None:
        kept.setdefault(matrix.path, Kept(weight, operator, _VALUES)).add(x, y)

    _pass(net, batches, keep)
    return kept


def _at_output(
    net: nn.Module, batch: Any, trials: dict[tuple[str, Converter], dict[str, AnalogMatrix]]
) -> dict[Any, float]:
    """Squared error of the network's output for each trial; all other layers are digital."""
    batch = first(inputs_of(batch, net), slice(_ITEMS))
    batch = (batch, None)
    wanted = _pass(net, [batch])
    if not isinstance(wanted, Tensor):
        raise BadInput(
            f"the network returns a {type(wanted).__name__}", "wrap it so that it returns the tensor of class scores"
        )
    found = {}
    for key, trial in trials.items():

        def answer(matrix: Any, given: tuple[Any, ...], y: Tensor, trial: dict[str, AnalogMatrix] = trial) -> Tensor:
            ranged = trial[matrix.path]
            with draws(ranged.scheme(given[1], given[2]), matrix.path):
                return ranged(*given)

        handles = [m.register_forward_hook(answer) for m in matrices(net) if m.path in trial]
        try:
            found[key] = float((_pass(net, [batch]) - wanted).double().square().sum())
        finally:
            for handle in handles:
                handle.remove()
    return found


def _pass(net: nn.Module, batches: list[Any], watcher: Watcher | None = None) -> Tensor:
    """The last output of the digital network, in eval mode."""
    watching = nullcontext() if watcher is None else watched(net, watcher)
    with torch.no_grad(), evaluating(net), digitally(net), watching:
        for batch in batches:
            output = last_exit(run(net, batch))
    return output  # type: ignore[no-any-return]
