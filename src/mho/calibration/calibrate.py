"""Converter ranges from data: inputs first, then column outputs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from mho.arguments import check_mode, network, whole
from mho.calibration.collect import Inputs, Outputs
from mho.calibration.ranges import Method, rules
from mho.convert.self_test import around
from mho.crossbar import Scheme
from mho.errors import BadInput, WrongSetting
from mho.nn import AnalogMatrix
from mho.nn.layer import layer_paths, schemes
from mho.nn.matrix import digitally, matrices, watched
from mho.nn.modes import evaluating
from mho.nn.partial import computed_whole, partials
from mho.progress import Meter, Progress, check_progress, telling
from mho.tasks.batches import batches_of
from mho.tasks.items import check_batched, check_finite, tensors_of
from mho.tasks.parts import inputs_of, run

_log = logging.getLogger("mho")
_NAMED = 5
"""Layers that a warning names."""
RANGES = ("input_range", "adc_range")
"""Names of the ranges of a matrix."""


def calibrate(
    net: nn.Module,
    batches: Iterable[Any],
    *,
    method: Method = "quantile",
    quantile: float | None = None,
    sigmas: float | None = None,
    momentum: float | None = None,
    adc_method: Method | None = None,
    max_batches: int | None = None,
    progress: Progress = None,
) -> nn.Module:
    """Set the ranges of the DACs and the ADCs of a converted network.

    The range of a DAC follows from its layer's inputs, as the digital network makes them; the range of an ADC from the
    column outputs of its row block and readout, for ideal cells and quantised inputs. Ranges that the hardware fixes,
    or that nothing in it needs, stay unset; so do those of a layer that no batch reaches (an expert, an exit), which then
    refuses inputs until it is calibrated: the logger "mho" warns of it. A network that drops blocks is computed as its
    policy has it and with all blocks, and ranges are those of both. A range that is learned gets its initial value.

    Args:
        net: What `to_analog` returned; its ranges are set in place.
        batches: Batches of inputs, of (inputs, labels), or dicts; labels are not looked at. Which keys of a dict they are:
            see `mho.tasks.parts.inputs_of`.
        method: max: the largest |x|. quantile: a quantile of |x|. moving_average: r ← (1 - m) r + m r_k over the
            batches, with r_k a quantile of batch k or a number of its standard deviations. std: a number of standard
            deviations. error: the range of the smallest squared error at the layer's output, rounding and clipping
            and the hardware's noise included (see `dac_range`, `adc_range`).
        quantile: Share of the values that a range covers, in (0, 1]. 1, the largest (the default), suits networks
            that were not trained for clipping; ranges below it pay where a few outliers waste most of the codes.
        sigmas: Standard deviations of std (3 by default; Rasch et al. 2023) and of moving_average.
        momentum: m of moving_average, in (0, 1]; None: 1/k, so that every batch counts alike.
        adc_method: Method of the ADCs where it is to be another one; options count for both where both take them.
        max_batches: Most batches looked at; None: all of them.
        progress: True for a bar, or told of each step (`mho.progress.Step`).

    Returns:
        `net`.

    Raises:
        BadInput: No batch, samples without batches, nothing but zeros, values that are not finite, no batch that reached
            an array, or a layer that was used without its arrays.
        WrongSetting: `net` was not converted or holds a programmed chip, an unknown method, or an option that the
            methods do not take or that lies outside its range.

    Example:
        >>> net = calibrate(net, batches, method="error")
    """
    for_dacs, for_adcs = rules(method, adc_method, quantile, sigmas, momentum)
    network(net)
    check_mode()
    check_progress(progress)
    found = schemes(net, arrays(net))
    taken = take(batches, max_batches)
    inputs, outputs = Inputs(for_dacs, for_adcs), Outputs(for_adcs)
    passes = [any(map(inputs.wanted, found.values()))]
    passes += [for_adcs.method != "error" and any(map(outputs.wanted, found.values()))]
    with telling(progress, "ranges", "steps") as told, torch.no_grad(), evaluating(net):
        count = _Count(told, len(taken) * len(_ways(net)) * sum(passes) + 2 * len(found))
        if passes[0]:
            _watch(net, taken, found, inputs, count)
        for matrix, scheme in found.items():
            if scheme.needs_input_range and inputs.reached(matrix):
                _set(matrix, "input_range", inputs.input_range(matrix))
            count(matrix.path)
        if passes[1]:
            _watch(net, taken, found, outputs, count)
        for matrix, scheme in found.items():
            seen = outputs if passes[1] else inputs
            if scheme.needs_adc_range and seen.reached(matrix):
                _set(matrix, "adc_range", seen.adc_range(matrix))
            count(matrix.path)
    _warn(net, [matrix for matrix, scheme in found.items() if matrix.lacks_range(scheme)], len(found))
    return net


def arrays(net: nn.Module) -> list[AnalogMatrix]:
    """The arrays of a converted network without a chip.

    Raises:
        WrongSetting: It has none, or a chip is in place.
    """
    found = matrices(net)
    if not found:
        raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
    for matrix in found:
        if matrix.programmed:
            raise WrongSetting(
                "a programmed chip keeps the ranges that it was programmed with",
                "calibrate the converted network, then call mho.program(net)",
                path=matrix.path,
            )
    return found


def take(batches: Iterable[Any], most: int | None = None) -> list[Any]:
    """The batches, or the first of them, held in memory.

    Raises:
        BadInput: There is none, one is a single sample, a value is not finite, or all are zero.
        WrongSetting: `most` asks for none.
    """
    if most is not None:
        whole(most, "max_batches", remedy="look at one batch at least; None: at all")
    taken: list[Any] = []
    items, zero = 0, True
    for i, batch in enumerate(islice(batches_of(batches, path="batches"), most)):
        check_batched(batch, i, "data")
        taken.append(batch)
        if not any(True for _ in tensors_of(inputs_of(batch))):
            held = type(batch).__name__
            raise BadInput(f"batch {i} is a {held} without a tensor", "give batches of inputs", path="batches")
    if not taken:
        raise BadInput("there is no batch to calibrate on", "give an iterable with at least one batch of inputs")
    for batch in taken:
        inputs = inputs_of(batch)
        check_finite(inputs, items, "data")
        tensors = list(tensors_of(inputs))
        items += len(tensors[0]) if tensors and tensors[0].dim() else 1
        zero = zero and bool(tensors) and not any(not t.is_floating_point() or bool(t.any()) for t in tensors)
    if zero:
        raise BadInput("all inputs are zero: no range follows from them", "give inputs like those in use", path="data")
    return taken


def ranges_of(net: nn.Module) -> dict[str, Tensor]:
    """The ranges that are set, by their names in the network's state dict."""
    names = {f"{path}.{name}".lstrip(".") for path, m in net.named_modules() for name in RANGES if _has(m, name)}
    return {name: value for name, value in net.state_dict().items() if name in names}


def _has(module: nn.Module, name: str) -> bool:
    return isinstance(module, AnalogMatrix) and getattr(module, name) is not None


class _Count:
    def __init__(self, told: Meter, steps: int) -> None:
        self.told, self.done, self.steps = told, 0, steps
        told(0, steps)

    def __call__(self, path: str = "") -> None:
        self.done += 1
        self.told(self.done, self.steps, known=path)


def _ways(net: nn.Module) -> list[AbstractContextManager[None]]:
    """How the batches are computed: as in use; and whole, where that is only a part."""
    return [nullcontext(), computed_whole(net)] if partials(net) else [nullcontext()]


def _watch(
    net: nn.Module, batches: list[Any], found: dict[AnalogMatrix, Scheme], collect: Inputs | Outputs, count: _Count
) -> None:
    for computed in _ways(net):
        with computed, digitally(net), watched(net, collect):
            for collect.batch, batch in enumerate(batches):
                run(net, batch)
                count()
    wanted = [matrix for matrix, scheme in found.items() if collect.wanted(scheme)]
    missed = [matrix for matrix in wanted if not collect.reached(matrix)]
    used = around(net, missed, ((inputs_of(batch, net),) for batch in batches))
    if used or (missed and missed == wanted):
        path = used[0] if used else layer_paths(net)[missed[0].path]
        raise BadInput(
            "no batch reached this array",
            "the network reads its weight around the layer's forward, or not at all: keep it digital with "
            f"hw.replace(digital=['{path}'])",
            path=path,
        )


def _warn(net: nn.Module, missed: list[AnalogMatrix], arrays: int) -> None:
    if missed:
        layers = list(dict.fromkeys(layer_paths(net)[matrix.path] for matrix in missed))
        more = f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else ""
        _log.warning(
            "no calibration batch reached %d of %d arrays, which have no range and refuse inputs: %s%s -> give more data, or "
            "keep them digital: hw.replace(digital=%s)",
            len(missed), arrays, ", ".join(layers[:_NAMED]), more, layers,
        )  # fmt: skip


def _set(matrix: AnalogMatrix, name: str, value: Tensor) -> None:
    if not bool(torch.isfinite(value).all()):
        raise BadInput("the values to convert are not finite", "check the data and the weights", path=matrix.path)
    old = getattr(matrix, name)
    if isinstance(old, nn.Parameter):  # an optimiser may hold it
        with torch.no_grad():
            old.copy_(value)
    else:
        matrix.set_range(name, value)
