"""`cost`: energy, latency, area and capacity of a network on arrays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from mho.arguments import one_of, whole
from mho.chip import Chip
from mho.costs.assemble import ASSUMED, SCHEDULES, assemble
from mho.costs.replication import Replication
from mho.costs.result import Cost
from mho.costs.scaling import check_node
from mho.costs.seen import Conductances, look, targets
from mho.costs.technology import Technology
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogLayer
from mho.units import seconds


def cost(
    net: nn.Module | Chip,
    data: Iterable[Any] | None = None,
    *,
    example: Any = None,
    technology: Technology | str | Path | None = None,
    node_nm: float | None = None,
    age: str | float = 0.0,
    schedule: str = "sequential",
    replication: Replication = 1,
    arrays: int | None = None,
    max_batches: int = 2,
    name: str = "",
) -> Cost:
    """What one inference takes on the arrays of a converted network, or of a programmed chip.

    Every product is counted from its scheme, the list of conversions that also computes it. What reading the cells takes
    follows from their conductances (targets, or those of the chip at an age) and from the inputs: measured where there are
    data, else every magnitude of a code as likely as another.

    Args:
        net: What `to_analog` returned, or a `Chip`.
        data: Batches of inputs (labels unused), for a calibrated network; None: give an example.
        example: Inputs of one call: a batch, a tuple of arguments, or a dict. Only its shape counts.
        technology: Constants of the components: a name (`Technology.presets`), a YAML file, or a `Technology`; by default the
            one of the hardware's name, else ``generic``.
        node_nm: Another CMOS node that energies and areas are scaled to; times stay.
        age: Of a chip's conductances.
        schedule: ``sequential``: layer after layer; ``pipelined``: all layers at once, each on another inference.
        replication: Copies of layers: a number, numbers by path, or ``"balanced"``.
        arrays: Arrays there are; None: as many as are needed.
        max_batches: Batches of data that are looked at.
        name: Of the network, for the table.

    Raises:
        WrongSetting: No arrays; neither data nor an example; an unknown technology, schedule or layer; converters of infinite
            resolution; never calibrated; a component outside its range.
        BadInput: No batch; inputs or weights that are not finite.

    Example:
        >>> print(mho.cost(net, example=x))             # doctest: +SKIP
        >>> mho.cost(net, test).to_json("cost.json")    # doctest: +SKIP
    """
    one_of(schedule, "schedule", SCHEDULES)
    most = None if arrays is None else whole(arrays, "arrays")
    whole(max_batches, "max_batches")
    network, planes = _network(net, age)
    hw = getattr(getattr(network, "placement", None), "hardware", None) or _hardware(network)
    chosen = Technology.of(technology, hw)
    if node_nm is not None:
        chosen = chosen.replace(node_nm=check_node(node_nm))
    duration = chosen.timing.input == "duration"
    seen = look(network, data, example, planes, duration=duration, max_batches=max_batches)
    return assemble(
        seen, hw, chosen, biased=_biased(network), schedule=schedule, replication=replication, arrays=most,
        inputs=f"inputs and conductances as measured on {seen.items:,} inputs" if data is not None else ASSUMED,
        name=name or type(network).__name__,
    )  # fmt: skip


def _network(net: nn.Module | Chip, age: str | float) -> tuple[nn.Module, Conductances]:
    """The network, and where the conductances of its cells come from."""
    t_s = seconds(age, "age")
    if isinstance(net, Chip):
        chip = net
        return chip.at(t_s), lambda path, *_: chip.arrays[path].conductances(t_s)
    if not isinstance(net, nn.Module):
        raise WrongSetting(
            f"net is a {type(net).__name__}", "give what mho.to_analog or mho.program returned", path="net"
        )
    if t_s:
        raise WrongSetting("a converted network has no age", "give a chip: mho.program(net)", path="age")
    return net, targets


def _hardware(net: nn.Module) -> Hardware:
    for module in net.modules():
        if isinstance(module, AnalogLayer):
            return module.hw
    raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw, example=x)")


def _biased(net: nn.Module) -> set[str]:
    """Paths of the matrices whose layer has a bias."""
    return {
        view.matrix.path
        for layer in net.modules() if isinstance(layer, AnalogLayer)
        for view in layer.views() if any("bias" in name for name, _ in layer.named_parameters(recurse=False))
    }  # fmt: skip
