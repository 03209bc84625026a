"""Where every weight of the network went, and why."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mho.convert.counting import MacCounter, address, at
from mho.convert.trial import trial
from mho.crossbar import Operator
from mho.crossbar.operator import macs
from mho.hardware import Hardware
from mho.nn import AnalogLayer, AnalogMatrix, MatrixView
from mho.nn.matrix import digitally, matrices, watched

BIAS = "bias, added digitally"
COMPUTES = "the layer computes its weight with it"


@dataclass(frozen=True)
class Placed:
    """Where one weight of the network went, and why.

    Attributes:
        path: Module that holds it.
        weight: Name of the parameter.
        placed: "analog" or "digital".
        reason: Why.
        shape: The parameter's shape.
        rows, columns, groups: Of its matrix (of each, when the parameter holds several).
        row_blocks: Arrays that a column is cut into.
        arrays: Arrays it takes.
        utilisation: Share of their unit cells that hold a weight.
        tied_to: Another path that holds the same parameter.
        macs: Multiply-accumulates for one example that the arrays do with it, or the digital side with a digital weight (as it
            is, or a view of it); None until a batch has been seen.
        mac_share: Share of the network's.
        items: Items of that example, where all its tensors have as many.
    """

    path: str
    weight: str
    placed: str
    reason: str
    shape: tuple[int, ...]
    rows: int = 0
    columns: int = 0
    groups: int = 0
    row_blocks: int = 0
    arrays: int = 0
    utilisation: float = 0.0
    tied_to: str | None = None
    macs: int | None = None
    mac_share: float | None = None
    items: int | None = None


@dataclass(frozen=True)
class Placement:
    """Every weight with its place; prints as a table.

    Attributes:
        weights: One entry a weight.
        digital_macs: Multiply-accumulates of one example outside the arrays (products of activations among them).
        hardware: What was asked for, before the changes of single layers.
        stored_macs: Multiply-accumulates of one example with a stored matrix, on arrays or digital.
        not_counted: Digital operators that may multiply matrices and that nobody knows how to count, with the number of
            calls ("mylib::op", 3). Where there is one, shares are upper bounds.
    """

    weights: tuple[Placed, ...]
    digital_macs: int | None = None
    hardware: Hardware | None = None
    not_counted: tuple[tuple[str, int], ...] = ()
    stored_macs: int | None = None

    def __iter__(self) -> Iterator[Placed]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def arrays(self) -> int:
        """Arrays in all."""
        return sum(weight.arrays for weight in self.weights)

    @property
    def analog_share(self) -> float | None:
        """Share of the multiply-accumulates that the arrays do; with operators in `not_counted`, it is at most this."""
        if self.digital_macs is None:
            return None
        analog = sum(weight.macs or 0 for weight in self.weights if weight.placed == "analog")
        return analog / max(analog + self.digital_macs, 1)

    @property
    def stored_share(self) -> float | None:
        """Share of the multiply-accumulates with stored matrices that the arrays do; products of activations do not count."""
        if self.stored_macs is None:
            return None
        analog = sum(weight.macs or 0 for weight in self.weights if weight.placed == "analog")
        return analog / max(self.stored_macs, analog, 1)

    def rows(self) -> list[dict[str, Any]]:
        """Plain values, for tables and files; each operator that could not be counted is a row at the end."""
        unknown = [
            Placed("", name, "digital", f"not counted: {_calls(name, calls)}", ()) for name, calls in self.not_counted
        ]
        return [asdict(weight) for weight in (*self.weights, *unknown)]

    def counted(self, net: nn.Module, *example: Any) -> Placement:
        """The same with the multiply-accumulates of this example (a batch counts as one). `net` is not touched.

        Args:
            net: The converted network.
            example: Its positional arguments.
        """
        seen: Counter[str] = Counter()
        known: Counter[int] = Counter()

        def count(matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator, y: Tensor) -> None:
            number = macs(operator, x, y, weight)
            seen[matrix.path] += number
            known[address(weight)] += number

        twin = copy.deepcopy(net)
        for matrix in matrices(twin):
            matrix._forward_hooks.clear()  # A watcher of `net` is not told of this run.
        with digitally(twin), watched(twin, count), torch.compiler.set_stance("force_eager"), MacCounter() as counter:
            trial(twin, *example)
        analog = seen.total()
        total, items = max(counter.macs, analog, 1), _items(example)
        weights = []
        for weight in self.weights:
            held = twin.get_parameter(_address(weight))
            digital = at(held, counter.by_address) - at(held, known) if held.dim() > 1 else 0
            here = [n for path, n in seen.items() if weight.placed == "analog" and _holds(weight, path)]
            number, note = sum(here), ""
            if weight.placed == "digital":
                number = max(digital, 0)
            elif not here:
                note = "; the example does not reach it"
            elif digital > 0:
                note = f"; read around its layer, too: {digital:,} multiply-accumulates are digital"
            weights.append(
                replace(weight, macs=number, mac_share=number / total, reason=weight.reason + note, items=items)
            )
        return replace(
            self, weights=tuple(weights), digital_macs=max(counter.macs - analog, 0),
            not_counted=tuple(counter.not_counted.items()),
        )  # fmt: skip

    def __str__(self) -> str:
        head = f"{'weight':<34} {'placed':<8} {'shape':<18} {'arrays':>6} {'used':>6} {'MACs':>7}  why"
        lines = [head]
        for weight in self.weights:
            name = f"{weight.path}.{weight.weight}" if weight.path else weight.weight
            share = "" if weight.mac_share is None else f"{weight.mac_share:.1%}"
            used = f"{weight.utilisation:.0%}" if weight.arrays else ""
            shape = "×".join(map(str, weight.shape))
            tied = f" (tied to {weight.tied_to})" if weight.tied_to else ""
            lines.append(
                f"{name:<34} {weight.placed:<8} {shape:<18} {weight.arrays or '':>6} {used:>6} {share:>7}  {weight.reason}{tied}"
            )
        if self.analog_share is not None:
            most, least = ("at most ", "at least ") if self.not_counted else ("", "")
            lines.append(
                f"{self.arrays} arrays; {most}{self.analog_share:.1%} of the multiply-accumulates on arrays, "
                f"{least}{1 - self.analog_share:.1%} digital (products of activations among them)"
            )
        if self.not_counted:
            lines.append(f"not counted: {', '.join(_calls(name, calls) for name, calls in self.not_counted)}")
        return "\n".join(lines)


def place(net: nn.Module, reasons: dict[str, str], hw: Hardware) -> Placement:
    """The placement of a converted network.

    Args:
        net: The converted network.
        reasons: Why, by module path.
        hw: What was asked for.
    """
    owners: dict[int, str] = {}
    found: list[Placed] = []
    analog: dict[str, list[MatrixView]] = {}
    for path, module in net.named_modules():
        if isinstance(module, AnalogLayer):
            for view in module.views():
                analog.setdefault(f"{path}.{view.parameter}".lstrip("."), []).append(view)
    for path, module in net.named_modules(remove_duplicate=True):
        if isinstance(module, AnalogMatrix):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            tied = owners.get(id(parameter))
            full = f"{path}.{name}".lstrip(".")
            owners.setdefault(id(parameter), full)
            shape = tuple(parameter.shape)
            if full not in analog:
                reason = reasons.get(full, reasons.get(path, "holds no matrix"))
                if isinstance(module, AnalogLayer) and full not in reasons:
                    reason = COMPUTES if getattr(module, "computed", False) and name != "bias" else BIAS
                found.append(Placed(path, name, "digital", reason, shape, tied_to=tied))
                continue
            plans = [view.matrix.scheme(view.weight, view.operator).plan for view in analog[full]]
            first = plans[0]
            arrays = sum(plan.arrays for plan in plans)
            used = sum(plan.utilisation * plan.arrays for plan in plans) / arrays
            size = (first.rows, first.columns, first.groups, len(first.blocks))
            found.append(
                Placed(path, name, "analog", reasons.get(full, reasons.get(path, "")), shape, *size, arrays, used, tied)
            )
    return Placement(tuple(found), hardware=hw)


def _holds(weight: Placed, matrix: str) -> bool:
    """True for the matrix of a parameter, or for each of several (`in_proj_weight.q`)."""
    address = _address(weight)
    return matrix in (address, weight.path) or matrix.startswith(f"{address}.")


def _items(example: Any) -> int | None:
    """What all tensors of an example have in common as their first axis."""
    lengths = {len(leaf) if leaf.dim() else 0 for leaf in tree_leaves(example) if isinstance(leaf, Tensor)}
    return lengths.pop() or None if len(lengths) == 1 else None


def _address(weight: Placed) -> str:
    return f"{weight.path}.{weight.weight}".lstrip(".")


def _calls(name: str, number: int) -> str:
    return f"{name} ({number} call{'s' if number > 1 else ''})"
