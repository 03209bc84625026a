"""Parameters that no rule of a class speaks of: which are matrices, who multiplies with them, which stay digital."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from torch import nn

from mho.convert.reading import Multiplied, Seen, look
from mho.convert.rules import CHOSEN, NO_MATRIX, Decision
from mho.errors import MhoError, NotYet
from mho.hardware.description import covers
from mho.nn.calls import Read
from mho.nn.functional import Reads
from mho.nn.own_forward import OwnForward

VECTOR = "one vector, no matrix"
ADDED = "no product reads it as a matrix"
LOOKED_UP = "a table look-up; what is looked up multiplies activations digitally"
UNREAD = "the example does not read it"

_MAPPED = "write it with layers of torch that are mapped: linear, convolutions, attention, RNN, LSTM, GRU"

Decisions = dict[str, Decision]


def judge(
    model: nn.Module, decisions: Decisions, example: tuple[Any, ...] | None, refused: list[MhoError]
) -> Seen | None:
    """Decide about the parameters of modules without a rule, and about those that are read around their module's forward.

    Args:
        model: The digital network.
        decisions: By path of module or parameter; what is found is added.
        example: Arguments of one run, or None.
        refused: What cannot be mapped is added.

    Returns:
        What was seen in the run, where there is an example.
    """
    closed = tuple(f"{error.path}." for error in refused if error.path)
    held = {name: parameter for name, parameter in _held(model, decisions).items() if not name.startswith(closed)}
    if example is None:
        for path, names in _by_module(held).items():
            left = {name: held[name] for name in names if not _vector(held[name])}
            decisions |= {name: Decision(None, VECTOR) for name in names if name not in left}
            if left:
                remedy = "give an example, which shows whether a product reads it"
                refused.append(_refusal(model, path, left, "no rule maps", remedy))
        return None
    seen = look(model, example, lambda path: decisions[path].analog is not None)
    readers: dict[str, dict[str, Read]] = {}
    hidden: dict[str, list[str]] = {}
    for one in seen.multiplied:
        if (
            model.get_parameter(one.parameter).dim() < 2
            or one.parameter.startswith(closed)
            or _is_covered(one, decisions, seen)
        ):
            continue
        below = one.parameter.removeprefix(f"{one.reader}.") if one.reader else one.parameter
        inside = not one.reader or one.parameter.startswith(f"{one.reader}.")
        if inside and not one.hidden and len(one.reads) == 1 and _lone(one, seen):
            readers.setdefault(one.reader, {})[below] = next(iter(one.reads))
        elif one.parameter not in hidden.setdefault(_owner(one.parameter), []):
            hidden[_owner(one.parameter)].append(one.parameter)
    for path, names in hidden.items():
        shapes = {name: model.get_parameter(name) for name in names}
        refused.append(_refusal(model, path, shapes, "no rule maps", _MAPPED))
    _give(model, decisions, readers)
    for name, parameter in held.items():
        if name not in decisions:
            read = LOOKED_UP if name in seen.looked_up else ADDED if name in seen.touched else UNREAD
            decisions[name] = Decision(None, VECTOR if _vector(parameter) and read != LOOKED_UP else read)
    return seen


def _give(model: nn.Module, decisions: Decisions, readers: dict[str, dict[str, Read]]) -> None:
    """Decide that modules which multiply with a parameter get its arrays, at every path where such a module stands."""
    paths: dict[int, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        paths.setdefault(id(module), []).append(path)

    def everywhere(path: str, decision: Decision) -> None:
        decisions.update(dict.fromkeys(paths[id(model.get_submodule(path))], decision))

    for reader, reads in readers.items():
        module = model.get_submodule(reader)
        own = decisions[reader].analog
        if own_forward(decisions[reader]):
            reads = {"weight": Read(own.operator(module)), **reads}  # type: ignore[union-attr]
        reason = f"{type(module).__name__}: its own forward, {', '.join(reads)} on arrays"
        everywhere(reader, Decision(Reads(type(module), reads), reason))
        for parameter in reads:
            owner = _owner(parameter)
            if owner and decisions[path := f"{reader}.{owner}".lstrip(".")].analog is not None:
                everywhere(path, Decision(None, f"on the arrays of {reader or 'the network'}, which reads it"))
            if owner:
                decisions[f"{reader}.{parameter}".lstrip(".")] = decisions[reader]


def _is_covered(one: Multiplied, decisions: Decisions, seen: Seen) -> bool:
    """True where a rule, or the user's choice, speaks of these products already."""
    owner = _owner(one.parameter)
    rule = decisions[owner]
    if rule == CHOSEN or decisions.get(one.parameter) == CHOSEN or decisions[one.reader] == CHOSEN:
        return True
    analog, own = decisions[one.reader].analog, own_forward(decisions[one.reader])
    if analog is not None and not own:
        return True
    if own and owner == one.reader:
        # What the layer's weight is computed from is on its arrays; another product in its forward is not.
        return one.parameter == f"{owner}.weight".lstrip(".") or one.hidden
    if rule.analog is not None:
        return any(other.parameter == one.parameter and other.reader == owner for other in seen.multiplied)
    return False


def own_forward(rule: Decision) -> bool:
    """True for layers that compute in a forward of their own, in which other parameters than their weight may multiply."""
    return isinstance(rule.analog, type) and issubclass(rule.analog, OwnForward)


def _lone(one: Multiplied, seen: Seen) -> bool:
    """True where no other module multiplies with the parameter."""
    return sum(other.parameter == one.parameter for other in seen.multiplied) == 1


def _held(model: nn.Module, decisions: Decisions) -> dict[str, nn.Parameter]:
    """Parameters of two and more dimensions that no rule speaks of."""
    found: dict[str, nn.Parameter] = {}
    known: set[int] = set()
    for path, module in model.named_modules():
        rule = decisions[path]
        own = own_forward(rule)
        for name, parameter in module.named_parameters(recurse=False):
            full = f"{path}.{name}".lstrip(".")
            free = rule == NO_MATRIX or (own and name != "weight")
            if free and parameter.dim() > 1 and full not in decisions and id(parameter) not in known:
                known.add(id(parameter))
                found[full] = parameter
    return found


def _by_module(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_owner(name), []).append(name)
    return found


def _owner(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _vector(parameter: nn.Parameter) -> bool:
    return sum(size > 1 for size in parameter.shape) < 2


def _refusal(model: nn.Module, path: str, held: dict[str, nn.Parameter], problem: str, remedy: str) -> NotYet:
    module = model.get_submodule(path)
    names = ", ".join(f"{name.rpartition('.')[2]!r} {tuple(parameter.shape)}" for name, parameter in held.items())
    whole = bool(path) and not list(module.children())
    keep = [path] if whole else list(held)
    return NotYet(
        f"{problem} {type(module).__name__}, which holds {names}",
        f"{remedy}, register an analog version (mho.convert.register), or keep it digital: hw.replace(digital={keep!r})",
        path=path,
    )


def together(refused: list[MhoError], analog: Collection[str]) -> MhoError:
    """One error for all that was refused, with the wildcards that cover it.

    Args:
        refused: At least one.
        analog: Paths that go onto arrays, which no wildcard may cover.
    """
    if len(refused) == 1:
        return refused[0]
    kinds = {type(error) for error in refused}
    lines = "\n".join(f"  {error.path or '(the network)'}: {error.problem}" for error in refused)
    paths = [p for error in refused for p in _kept(error)]
    ways = list(dict.fromkeys(error.remedy.partition(", or keep it digital")[0].partition("keep it digital")[0].rstrip(", or")
                              for error in refused))  # fmt: skip
    ways = [way for way in ways if way]
    kept = wildcards(paths, analog)
    keep = f"keep them digital: hw.replace(digital={kept!r})" if kept else ""
    remedy = "; or ".join([*ways, keep] if keep else ways)
    return (kinds.pop() if len(kinds) == 1 else NotYet)(f"{len(refused)} modules cannot be mapped:\n{lines}\n", remedy)


def _kept(error: MhoError) -> list[str]:
    """The paths that a refusal offers to keep digital."""
    found = re.search(r"digital=\[(.*?)\]", error.remedy)
    return re.findall(r"'([^']*)'", found[1]) if found else []


def wildcards(paths: Iterable[str], others: Collection[str]) -> list[str]:
    """Patterns for paths, with * for numbers where several differ by them alone and none of `others` is covered."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(".".join("*" if part.isdigit() else part for part in path.split(".")), []).append(path)
    found: list[str] = []
    for pattern, members in groups.items():
        safe = len(members) > 1 and not any(covers(pattern, other) for other in others)
        found += [pattern] if safe else members
    return list(dict.fromkeys(found))
