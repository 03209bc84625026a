"""Which parameters a network multiplies with activations, and which it only adds, scales with or looks up.

One run of the example is watched. A value is *stored* while it follows from parameters and constants alone; what follows from
the example, and every product with a stored matrix, is an activation. A parameter is a matrix where a product multiplies an
activation with a stored value that follows from it. Element-wise factors (layer scales, state matrices) are none, and neither
are a product's inputs (class tokens, learned queries), what is added to it (position embeddings and biases), and rows that are
looked up in a table, which is said.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from mho.convert.counting import MacCounter, factors
from mho.convert.trial import first_trial
from mho.nn.calls import Read, product_of

_LOOK_UPS = {
    "aten::index",
    "aten::_unsafe_index",
    "aten::index_select",
    "aten::gather",
    "aten::embedding",
    "aten::take",
}
_ROWS = "[]"
"""Behind the name of a parameter: values that were looked up in it."""


@dataclass
class Multiplied:
    """Products with one parameter, in one module's forward.

    Attributes:
        parameter: Its path.
        reader: Path of the innermost module whose forward was running.
        reads: How torch was called with it, each once.
        hidden: Some products were not calls that arrays could answer.
    """

    parameter: str
    reader: str
    reads: dict[Read, None] = field(default_factory=dict)
    hidden: bool = False


@dataclass(frozen=True)
class Seen:
    """What one run showed.

    Attributes:
        multiplied: Products with parameters.
        touched: Parameters that an operator read.
        looked_up: Those whose rows, looked up at fixed places, multiply activations.
        stored_macs: Multiply-accumulates with a stored matrix.
    """

    multiplied: tuple[Multiplied, ...]
    touched: frozenset[str]
    looked_up: frozenset[str]
    stored_macs: int


def look(model: nn.Module, example: tuple[Any, ...], ruled: Callable[[str], bool]) -> Seen:
    """What a network multiplies with in one run.

    Args:
        model: The digital network, which stays as it is.
        example: Its positional arguments.
        ruled: Whether the module at a path has a rule, so that its parameters are matrices already.

    Raises:
        BadInput: The network does not run on the example.
    """
    twin = copy.deepcopy(model)
    names: dict[int, str] = {}
    for path, module in twin.named_modules():
        names |= {
            id(p): f"{path}.{n}".lstrip(".") for n, p in module.named_parameters(recurse=False) if id(p) not in names
        }
    held = {names[id(p)]: p for p in twin.parameters()}
    places = _Modules(twin)
    by_rule = {name for name in held if ruled(name.rpartition(".")[0])}
    watch = _Look(held, by_rule, places)
    watch.activations(example)
    with places.followed(), torch.compiler.set_stance("force_eager"), _Calls(held, watch), watch:
        first_trial(twin, *example)
    return Seen(tuple(watch.found.values()), frozenset(watch.touched), frozenset(watch.looked_up), watch.stored_macs)


class _Modules:
    """Which modules' forwards are running."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.stack: list[str] = []

    @property
    def innermost(self) -> str:
        return self.stack[-1] if self.stack else ""

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Inside the block `stack` holds the paths of the modules whose forwards are running, innermost last."""
        with ExitStack() as handles:
            for path, module in self.net.named_modules():
                if isinstance(
                    module, torch.jit.ScriptModule
                ):  # takes no hooks: its products are those of what calls it
                    continue
                enter = module.register_forward_pre_hook(lambda _m, _a, path=path: self.stack.append(path))
                leave = module.register_forward_hook(lambda _m, _a, _y: self.stack.pop() and None, always_call=True)
                handles.callback(enter.remove)
                handles.callback(leave.remove)
            yield


class _Look(MacCounter):
    """Follows what is stored through every operator."""

    def __init__(self, held: Mapping[str, Tensor], by_rule: set[str], places: _Modules) -> None:
        super().__init__()
        self.by_rule, self.places = by_rule, places
        self.known: dict[int, tuple[StorageWeakRef, frozenset[str] | None]] = {}
        self.found: dict[tuple[str, str], Multiplied] = {}
        self.call: tuple[str, Read] | None = None
        self.touched: set[str] = set()
        self.looked_up: set[str] = set()
        self.stored_macs = 0
        for name, parameter in held.items():
            self._note(parameter, frozenset([name]))

    def activations(self, example: Any) -> None:
        """Mark every tensor of the example."""
        for tensor in tree_leaves(example):
            if isinstance(tensor, Tensor):
                self._note(tensor, None)

    def _note(self, tensor: Tensor, sources: frozenset[str] | None) -> None:
        """`sources` are the parameters that a stored value follows from; None for an activation."""
        where = _storage(tensor)
        if where is not None:
            self.known[where._cdata] = (StorageWeakRef(where), sources)

    def _sources(self, tensor: Tensor) -> frozenset[str] | None:
        where = _storage(tensor)
        found = None if where is None else self.known.get(where._cdata)
        return frozenset() if found is None else found[1]

    def saw(
        self, func: Any, name: str, macs: int | None, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """See `MacCounter`."""
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        sources = [self._sources(tensor) for tensor in tensors]
        product = macs is None or (macs > 0 and name != "aten::mul")
        self.touched.update(name.removesuffix(_ROWS) for s in sources if s for name in s)
        made = None if None in sources else frozenset[str]().union(*(s for s in sources if s))
        if name in _LOOK_UPS and sources[0]:
            if (
                sum(size > 1 for size in tensors[0].shape) > 2
            ):  # whole matrices (experts), wherever the places come from
                made = sources[0]
            elif made is not None:
                made = frozenset(f"{name.removesuffix(_ROWS)}{_ROWS}" for name in made)
        if product:
            read = factors(name, args, kwargs)
            made = self._product(read, made)
            self.stored_macs += (macs or 0) * any(self._sources(factor) for factor in read)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        known = {_cdata(tensor): s for tensor, s in zip(tensors, sources, strict=True)}
        for output in outputs:
            if _cdata(output) not in known:
                self._note(output, made)
        for tensor in _written(func, args, kwargs):
            before = known.get(_cdata(tensor))
            self._note(tensor, None if made is None or before is None else made | before)

    def _product(self, read: list[Tensor], made: frozenset[str] | None) -> frozenset[str] | None:
        sources = [self._sources(factor) for factor in read]
        stored = [s for s in sources if s]
        # A matrix of a rule times anything is what arrays answer; of two stored factors one is its input.
        answers = None in sources or any(s <= self.by_rule for s in stored)
        constant = self.call is not None and frozenset() in sources and [frozenset([self.call[0]])] == stored
        if constant:  # a table of positions goes through the arrays as activations do
            self._found(next(iter(stored[0])))
            return None
        if None in sources:
            for parameter in frozenset[str]().union(*stored):
                self._found(parameter)
        return None if answers else made

    def _found(self, parameter: str) -> None:
        if parameter.endswith(_ROWS):
            self.looked_up.add(parameter.removesuffix(_ROWS))
            return
        reader = self.places.innermost
        entry = self.found.setdefault((parameter, reader), Multiplied(parameter, reader))
        if self.call is not None and self.call[0] == parameter:
            entry.reads[self.call[1]] = None
        else:
            entry.hidden = True


class _Calls(TorchFunctionMode):
    """Tells which call of torch's a product belongs to, where arrays could answer that call."""

    def __init__(self, held: Mapping[str, Tensor], look: _Look) -> None:
        super().__init__()
        self.names = {id(parameter): name for name, parameter in held.items()}
        self.look = look

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        found = product_of(func, args, kwargs, self.names)
        before = self.look.call
        if found is not None:
            self.look.call = (found.parameter, found.read)
        try:
            return func(*args, **kwargs)
        finally:
            self.look.call = before


def _storage(tensor: Tensor) -> Any:
    """A tensor's memory, or None where it has none of its own."""
    try:
        return tensor.untyped_storage() if tensor.layout is torch.strided else None
    except (NotImplementedError, RuntimeError):
        return None


def _cdata(tensor: Tensor) -> int:
    where = _storage(tensor)
    return 0 if where is None else where._cdata


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """Arguments that an operator writes into."""
    if not isinstance(func, torch._ops.OpOverload):
        return
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = kwargs.get(argument.name) if argument.kwarg_only or place >= len(args) else args[place]
            yield from (leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor))
