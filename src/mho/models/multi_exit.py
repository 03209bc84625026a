"""`multi_exit`: side classifiers on any network, which then answers at several depths."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mho.arguments import network
from mho.errors import BadInput, NotYet, WrongSetting
from mho.models.exit_head import make_head
from mho.models.extended import ONE_AT_A_TIME, Extended, check_backbone
from mho.models.in_place import changes, drops_in_place, shares, version
from mho.models.learnable import check_learns
from mho.models.pair import answered, pair_of
from mho.nn.modes import evaluating
from mho.nn.partial import partials
from mho.tasks.parts import answer

EXITS = "exits"
"""Under which name the side classifiers stand in the network."""
AtExit = Callable[[int, Tensor], Tensor | None]
"""From the number of an exit and the features there to the features that go on; None: as they are."""
Leaves = Callable[[int, Tensor], Tensor]
"""From the number of an exit and its scores (n, C) to who leaves there, bool (n,)."""


class MultiExit(Extended):
    """A network with exits; it answers with the scores of all of them, by name, the last those of the network itself.

    Its parameters, buffers and modules are called as in the backbone, so that the backbone's weights load
    (``strict=False``: they lack the exits'); the side classifiers stand below ``exits``. Made by `multi_exit`.

    Args:
        backbone: The network; its modules become this one's.
        heads: Path of a module to what reads its output, in the order in which they are computed.
        copied: See the attribute.
        copied_to_learn: See the attribute.

    Attributes:
        after: Paths of the modules behind which the exits stand.
        names: ``exit1``, ``exit2``, … of all exits; the last is the backbone's own output.
        adjust: What the scores of an exit go through at last, by its name, such as a recalibration's shift.
        copied: Paths behind which a side classifier reads a copy, for it works in place, or answers with what it was given.
        copied_to_learn: Paths behind which it does where there are gradients, for the backbone goes on in place.
    """

    after: tuple[str, ...]
    names: tuple[str, ...]
    copied: frozenset[str]
    copied_to_learn: frozenset[str]
    adjust: dict[str, Callable[[Tensor], Tensor]]

    def __init__(
        self, backbone: nn.Module, heads: Mapping[str, nn.Module], *, copied: Collection[str] = (),
        copied_to_learn: Collection[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(backbone, EXITS)
        self.after = tuple(heads)
        self.copied, self.copied_to_learn = frozenset(copied), frozenset(copied_to_learn)
        self.adjust = {}
        self.names = tuple(f"exit{i + 1}" for i in range(len(heads) + 1))
        self.exits = nn.ModuleDict(dict(zip(self.names, heads.values(), strict=False)))

    def forward(self, inputs: Any) -> dict[str, Tensor]:
        """Inputs of the backbone to the scores (N, C) of every exit, by name."""
        found: dict[str, Tensor] = {}
        learns = torch.is_grad_enabled()

        def at_exit(number: int, features: Tensor) -> None:
            check_learns(learns, self.after[number])
            found[self.names[number]] = self.ask(number, features)

        last = answer(self.walk(inputs, at_exit))
        if missed := [path for name, path in zip(self.names, self.after, strict=False) if name not in found]:
            raise BadInput("the pass did not come by here", "put exits where every pass comes by", path=missed[0])
        return {**found, self.names[-1]: self._adjusted(len(self.after), last)}

    def ask(self, number: int, features: Tensor) -> Tensor:
        """Scores (n, C) of an exit's side classifier, which leaves the features as they are."""
        path = self.after[number]
        if path in self.copied or (path in self.copied_to_learn and torch.is_grad_enabled()):
            features = features.clone()
        return self._adjusted(number, self.exits[self.names[number]](features))

    def _adjusted(self, number: int, scores: Any) -> Any:
        adjust = self.adjust.get(self.names[number])
        return scores if adjust is None else adjust(scores)

    def early(self, inputs: Tensor, leaves: Leaves, *, asked: Container[int] | None = None) -> tuple[Tensor, Tensor]:
        """Compute each sample as far as it is needed: those that leave at an exit are not computed any further.

        Args:
            inputs: Of N samples, a tensor.
            leaves: Who leaves at an exit, from its number (0, 1, …) and the scores of those who came so far. Not asked at
                the last one.
            asked: Numbers of exits whose side classifiers are computed; None: all.

        Returns:
            Scores (N, C) of each sample's exit, and the number of that exit (N,).
        """
        rows = torch.arange(len(inputs), device=inputs.device)
        given: list[tuple[Tensor, Tensor, int]] = []

        def at_exit(number: int, features: Tensor) -> Tensor | None:
            nonlocal rows
            if asked is not None and number not in asked:
                return None
            scores = self.ask(number, features)
            gone = leaves(number, scores)
            given.append((rows[gone], scores[gone], number))
            rows = rows[~gone]
            if not len(rows):
                raise _AllLeft
            return None if len(rows) == len(features) else features[~gone]

        try:
            last = answer(self.walk(inputs, at_exit))
            given.append((rows, self._adjusted(len(self.after), last), len(self.after)))
        except _AllLeft:
            pass
        scores = torch.empty((len(inputs), given[0][1].shape[1]), dtype=given[0][1].dtype, device=inputs.device)
        exits = torch.empty(len(inputs), dtype=torch.long, device=inputs.device)
        for who, part, number in given:
            scores[who], exits[who] = part.to(scores), number
        return scores, exits

    def walk(self, inputs: Any, at_exit: AtExit) -> Any:
        """The backbone's answer; on the way `at_exit` is told the number of each exit and the features there."""
        with ONE_AT_A_TIME, _told(self, self.after, at_exit):
            # Not called as a module: a trace finds only modules that are installed somewhere.
            return self.backbone().forward(inputs)


class _AllLeft(Exception):
    """Nobody is left to compute."""


@contextmanager
def _told(net: nn.Module, paths: Sequence[str], at_exit: AtExit) -> Iterator[None]:
    """Inside the block `at_exit` is told of the outputs of modules, and may change them."""
    hooks = []
    try:
        for number, path in enumerate(paths):
            hook = _Hook(number, at_exit)
            hooks.append(net.get_submodule(path).register_forward_hook(hook))
        yield
    finally:
        for handle in hooks:
            handle.remove()


class _Hook:
    def __init__(self, number: int, at_exit: AtExit) -> None:
        self.number, self.at_exit = number, at_exit

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        return self.at_exit(self.number, output)


def multi_exit(
    backbone: nn.Module, exits: Sequence[str | int] | Mapping[Any, Any], *, example: Tensor, head: Any = "linear"
) -> MultiExit:
    """Put side classifiers on a copy of a network.

    Args:
        backbone: Takes one tensor, answers class scores (N, C).
        exits: Names of the modules behind which exits stand, in the order in which they are computed; or each with its
            head. Heads are copied.
        example: Inputs of a batch; two samples are computed to learn the shapes.
        head: Of exits that have none of their own: ``"linear"`` (the mean over positions and a linear layer), ``"conv"`` (a
            3 × 3 convolution before it), a module, or a callable from the features to a module.

    Returns:
        The network with exits, in the mode of `backbone`; the last exit is its own output.

    Raises:
        WrongSetting: No exits, an exit that does not exist or is named twice, exits out of order, or a head that does not fit.
        NotYet: What follows an exit depends on more than its features: a shortcut around it. Or a network that drops blocks.
        BadInput: The backbone does not answer with class scores, or a head with as many.

    Example:
        >>> net = multi_exit(mho.models.resnet20(), ["layer1", "layer2"], example=x)   # doctest: +SKIP
        >>> net(x)["exit1"].shape                                                      # doctest: +SKIP
        torch.Size([2, 10])
    """
    network(backbone, "backbone")
    if partials(backbone):
        remedy = "give exits to the network without a policy"
        raise NotYet(
            "a network that drops blocks takes no exits: its blocks are decided before anybody leaves",
            remedy,
            path="backbone",
        )
    check_backbone(backbone, MultiExit, EXITS)
    wanted = _named(exits, head)
    net = copy.deepcopy(backbone)
    modules = dict(net.named_modules())
    if unknown := [path for path in wanted if not path or path not in modules]:
        few = ", ".join(list(modules)[1:13])
        raise WrongSetting(f"there is no module '{unknown[0]}'", f"modules are {few}, …", path="exits")
    pair, copied = pair_of(example), list[str]()
    with evaluating(net), torch.no_grad():
        features, later, last = _features(net, list(wanted), pair)
        heads = {path: make_head(made, features[path], last.shape[1], path) for path, made in wanted.items()}
        for path, made in heads.items():
            with evaluating(made):
                given = features[path].clone()
                scores = _scored(made, given, path)
                if changes(made, features[path]) or drops_in_place(made) or shares(scores, given):
                    copied.append(path)
            if not isinstance(scores, Tensor) or scores.shape != last.shape:
                shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
                found = f"its head answers {shape}, the network {tuple(last.shape)}"
                raise BadInput(found, "all exits score the same classes", path=path)
            _check_cut(net, path, pair, last)
    to_learn = list(heads) if drops_in_place(net) else later
    extended = MultiExit(net, heads, copied=copied, copied_to_learn=to_learn)
    extended.exits.train(backbone.training)
    return extended


def _scored(head: nn.Module, features: Tensor, path: str) -> Any:
    try:
        return head(features)
    except (RuntimeError, TypeError) as error:
        problem = f"its head does not take {tuple(features.shape)}: {str(error).splitlines()[0]}"
        raise WrongSetting(problem, "give a module from that shape to class scores (N, C)", path=path) from error


def _named(exits: Sequence[str | int] | Mapping[Any, Any], head: Any) -> dict[str, Any]:
    if isinstance(exits, str) or not isinstance(exits, (Sequence, Mapping)) or not len(exits):
        raise WrongSetting(f"exits = {exits!r}", "give a list of names of modules", path="exits")
    heads = exits.values() if isinstance(exits, Mapping) else [head] * len(exits)
    paths = [str(path) for path in exits]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise WrongSetting(f"'{twice[0]}' is named twice", "name each exit once", path="exits")
    # A module that is given for several exits is not shared between them.
    return {
        path: copy.deepcopy(own) if isinstance(own, nn.Module) else own for path, own in zip(paths, heads, strict=True)
    }


def _features(net: nn.Module, paths: list[str], inputs: Tensor) -> tuple[dict[str, Tensor], list[str], Tensor]:
    """Outputs of modules by path, paths of those that are changed in place later on, and the network's own output, once the
    order is as given.
    """
    seen: list[tuple[str, Any]] = []
    own: list[tuple[str, Tensor, int]] = []

    def at_exit(number: int, output: Any) -> None:
        held = isinstance(output, Tensor)
        seen.append((paths[number], output.clone() if held else output))
        own.extend([(paths[number], output, version(output))] if held else [])

    with _told(net, paths, at_exit):
        last = answered(net, inputs)
    if not isinstance(last, Tensor) or last.dim() != 2 or last.shape[1] < 2:
        shape = tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
        raise BadInput(f"the network answers {shape}", "exits need class scores (N, C)", path="backbone")
    order = [path for path, _ in seen]
    if missed := [path for path in paths if path not in order]:
        raise WrongSetting("it is not computed on the example", "name modules that every pass calls", path=missed[0])
    if len(order) != len(set(order)):
        twice = next(path for path in order if order.count(path) > 1)
        raise WrongSetting("it is computed several times in a pass", "name a module that is called once", path=twice)
    if order != paths:
        raise WrongSetting(
            f"exits {', '.join(paths)} are out of order", f"they are computed as {', '.join(order)}", path="exits"
        )
    for path, output in seen:
        if not isinstance(output, Tensor) or len(output) != len(inputs):
            raise WrongSetting("its output is no tensor with a row a sample", "name another module", path=path)
    return dict(seen), [path for path, output, before in own if version(output) != before], last


def _check_cut(net: nn.Module, path: str, pair: Tensor, expected: Tensor) -> None:
    """Let one of two samples go on alone from an exit: the network's answer to it has to be the same."""
    try:
        with _told(net, [path], lambda _, features: features[1:]):
            alone = answer(net(pair))
    except (RuntimeError, IndexError):  # shapes that do not go together
        alone = None
    if alone is None or len(alone) != 1 or not torch.allclose(alone, expected[1:], rtol=1e-3, atol=1e-4):
        raise NotYet(
            "what follows does not depend on its output alone",
            "put the exit where nothing runs around it: behind a block, not within", path=path,
        )  # fmt: skip
