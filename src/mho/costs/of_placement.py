"""The cost of a network that is known by its placement alone, as stored runs have it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mho.costs.assemble import ASSUMED, assemble
from mho.costs.loads import Load, assumed
from mho.costs.result import Cost
from mho.costs.seen import Matrix, Seen, targets
from mho.costs.technology import Technology
from mho.costs.work import Cells
from mho.crossbar import Operator, Scheme
from mho.errors import MhoError, WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogLayer
from mho.store import RunHeader

_SAMPLE = 8
"""Columns whose conductances stand for those of all, where nobody knows the weights."""


def cost_of_placement(
    rows: Iterable[Mapping[str, Any]], hw: Hardware, *, technology: Technology | str | None = None, net: nn.Module | None = None,
    schedule: str = "sequential", name: str = "the network",
) -> Cost:  # fmt: skip
    """What one inference takes, from where each weight stands and how many multiply-accumulates it does.

    Nothing is run. What a placement does not say is listed as not counted: operations on elements, products of activations. A
    transposed convolution has a product for each position of its input.

    Args:
        rows: Of `Placement.rows`, counted on an example.
        hw: What was asked for.
        technology: As for `mho.cost`.
        net: The converted network, whose weights say what its cells hold; None: weights from a normal distribution.
        schedule: As for `mho.cost`.
        name: Of the network.

    Raises:
        WrongSetting: The placement was not counted on an example; converters of infinite resolution.
    """
    chosen = Technology.of(technology, hw)
    found: dict[str, Matrix] = {}
    duration, known = chosen.timing.input == "duration", {} if net is None else _targets(net)
    placed = [row for row in rows if row.get("shape")]
    analog = [row for row in placed if row.get("placed") == "analog"]
    if not analog:
        raise WrongSetting(
            "no weight stands on arrays", "convert the network: net = mho.to_analog(model, hw, example=x)"
        )
    items = next((row.get("items") for row in analog if row.get("items")), None)
    if items is None:
        raise WrongSetting(
            "the placement was not counted on an example",
            "give one: mho.to_analog(model, hw, example=x)",
            path="placement",
        )
    for row in analog:
        path = f"{row['path']}.{row['weight']}".strip(".")
        size = row["rows"] * row["columns"] * row["groups"]
        number = max(math.prod(row["shape"]) // size, 1)  # a parameter may hold several
        for part in range(number):
            here = path if number == 1 else f"{path}.{part}"
            matrix = _matrix(row, hw.for_layer(row["path"]), known.get(path), duration)
            matrix.macs = (row["macs"] or 0) // number
            matrix.products = matrix.macs // size
            matrix.inputs = matrix.products * matrix.scheme.plan.inputs
            found[here] = matrix
    digital = sum(row.get("macs") or 0 for row in placed if row.get("placed") != "analog")
    unseen = (
        "operations on elements (norms, activations, pooling), products of activations and biases: not in a placement",
    )
    inputs = ASSUMED if net is not None else f"{ASSUMED.partition(' (')[0]}; weights: from a normal distribution"
    return assemble(
        Seen(items, found, digital, unseen=unseen), hw, chosen, biased=set(), schedule=schedule,
        replication=1, arrays=None, inputs=inputs, name=name,
    )  # fmt: skip


def _matrix(row: Mapping[str, Any], hw: Hardware, planes: list[Tensor] | None, duration: bool) -> Matrix:
    """One matrix of a placed weight."""
    kernel = tuple(row["shape"][2:])
    taps, dims = math.prod(kernel), len(kernel)
    operator = Operator(dims, (1,) * dims, (0,) * dims, (1,) * dims, row["groups"])
    shape = (row["columns"] * row["groups"], row["rows"] // taps, *kernel)
    scheme = Scheme.of(operator, shape, hw, row["path"])
    if planes is None:
        weights = torch.randn(1, min(_SAMPLE, row["columns"]), row["rows"], generator=torch.Generator().manual_seed(0))
        unit = weights / weights.abs().amax(-1, keepdim=True)
        planes = hw.encoding.encode(unit, hw.cell)
    cells, size = Cells.of(scheme, len(planes)), scheme.plan.groups * scheme.plan.rows
    charge = sum(float(g.double().mean()) * n * size for g, n in zip(planes, cells.columns, strict=True))
    load = Load() if scheme.input_steps is None else assumed(scheme, torch.tensor([[charge]]), duration)
    return Matrix(scheme, cells, load=load)


def _targets(net: nn.Module) -> dict[str, list[Tensor]]:
    """Conductances by the path of the weight, where it is one matrix."""
    found: dict[str, list[Tensor]] = {}
    for path, layer in net.named_modules():
        if isinstance(layer, AnalogLayer):
            views = list(layer.views())
            for view in views if len({view.parameter for view in views}) == len(views) else ():
                scheme = view.matrix.scheme(view.weight, view.operator)
                held = targets(view.matrix.path, scheme, view.weight, view.operator)
                found[f"{path}.{view.parameter}".strip(".")] = held
    return found


def cost_of_run(header: RunHeader) -> Cost:
    """What one inference takes on the hardware of a stored run; see `cost_of_placement`.

    Raises:
        WrongSetting: The run's placement was not counted on an example; hardware that nobody knows the cost of.
    """
    hw = Hardware.parse(header.hardware)
    return cost_of_placement(header.placement, hw, name=header.model)


def known_cost(header: RunHeader) -> tuple[Cost | None, str]:
    """The cost of a stored run, and why it is not known."""
    try:
        return cost_of_run(header), ""
    except MhoError as error:
        return None, f"{error.problem}: {error.remedy}"
