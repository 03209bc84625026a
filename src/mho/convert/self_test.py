"""The test that every conversion with an example runs: same outputs, and every array read."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mho.convert.trial import trial
from mho.errors import BadInput, NotYet
from mho.nn import AnalogMatrix
from mho.nn.layer import layer_paths

_RELATIVE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def self_test(model: nn.Module, net: nn.Module, *example: Any) -> None:
    """Run one batch with every non-ideality off and compare with the original, in eval mode. Neither is touched.

    Arrays are read block by block, readout by readout, so cutting, encoding and scaling are all exercised.

    Raises:
        NotYet: The outputs differ, or an array was never read (a fused path or a functional call went around it).
        BadInput: The example does not fit the model.
    """
    try:
        expected = trial(copy.deepcopy(model), *example)
    except (RuntimeError, TypeError, ValueError) as error:
        raise BadInput(f"the model does not run on the example ({error})", "give one batch of its inputs") from error
    twin = copy.deepcopy(net)
    read: set[str] = set()
    matrices = [module for module in twin.modules() if isinstance(module, AnalogMatrix)]
    for matrix in matrices:
        matrix.hw, matrix.fold = matrix.hw.ideal(), False
        matrix.register_forward_hook(lambda m, _args, _out: read.add(m.path))
    found = trial(twin, *example)
    unread = sorted({matrix.path for matrix in matrices} - read)
    if unread:
        layers = layer_paths(twin)
        raise NotYet(
            f"never read in a forward pass: {', '.join(unread)}",
            "the network reads these weights around their layer's forward (or not at all); keep them digital: "
            f"hw.replace(digital={sorted({layers[path] for path in unread})!r})",
            path=unread[0],
        )
    for a, b in zip(_tensors(expected), _tensors(found), strict=True):
        tolerance = _RELATIVE.get(a.dtype, 0.0) * max(1.0, float(a.abs().max()) if a.numel() else 0.0)
        difference = float((a - b).abs().max()) if a.numel() else 0.0
        if not difference <= tolerance:
            raise NotYet(
                f"the converted network differs from the original by {difference:.3g} (tolerance {tolerance:.3g}) "
                "with every non-ideality off",
                "look for layers that read another module's weight, or keep suspects digital with hw.replace(digital=[...])",
            )


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, (tuple, list)):
        for value in output:
            yield from _tensors(value)
