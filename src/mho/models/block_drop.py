"""`block_drop`: a policy that decides, for each sample, which residual blocks of a network are computed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from mho.arguments import network
from mho.errors import BadInput, NotYet, WrongSetting
from mho.models.extended import ONE_AT_A_TIME, Extended, check_backbone
from mho.models.in_place import changes, drops_in_place, version
from mho.models.learnable import check_learns
from mho.models.pair import answered, pair_of
from mho.models.resnet_cifar import CifarResNet
from mho.nn.modes import evaluating
from mho.nn.partial import Partial
from mho.nn.standing_in import standing_in
from mho.tasks.parts import answer

POLICY = "policy"
"""Under which name the policy stands in the network."""
_SHORTCUT = "downsample"
"""Name of the module of a residual block that its input takes around it; residual networks of most libraries call it so."""
Module = Callable[[Tensor], Tensor]
AtBlock = Callable[[int, Module, Module, Tensor], Tensor]
"""From the number of a block, the block, its shortcut and its input to what goes on."""


class BlockDrop(Extended, Partial):
    """A network with a policy that drops blocks (BlockDrop, Wu et al. 2018, arXiv:1711.08393); it answers as the network does.

    A dropped block is its shortcut: its input as it is, or what the block's module ``downsample`` makes of it. In eval mode a
    block is computed for those samples alone that keep it; in training mode for the whole batch, and selected, so that its
    norms see all samples, as published. The network's weights keep their names; the policy stands below ``policy``. Made by
    `block_drop`.

    Args:
        backbone: The network; its modules become this one's.
        blocks: Paths of the blocks, in the order in which they are computed.
        policy: From inputs to a logit for each block, (N, K).
        copied: See the attribute.
        passed: See the attribute.

    Attributes:
        droppable: Paths of the K blocks.
        copied: Paths of those whose shortcut reads a copy in training, for they work in place.
        passed: Paths of those whose input goes on as a copy where all samples drop them, for what follows works in place on it.
        frozen: See `freeze`, which leaves the policy alone to be trained.
    """

    droppable: tuple[str, ...]
    copied: frozenset[str]
    passed: frozenset[str]

    def __init__(
        self, backbone: nn.Module, blocks: Sequence[str], policy: nn.Module, *, copied: Collection[str] = (),
        passed: Collection[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(backbone, POLICY)
        self.droppable, self.copied, self.passed = tuple(blocks), frozenset(copied), frozenset(passed)
        self.policy = policy

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, …) to class scores (N, C), with the blocks that the policy keeps."""
        return self.under(inputs, self.keeps(inputs))

    def keeps(self, inputs: Tensor) -> Tensor:
        """Which blocks the policy keeps, bool (N, K): those of probability 0.5 or more."""
        return self.policy_logits(inputs) >= 0

    def policy_logits(self, inputs: Tensor) -> Tensor:
        """What the policy answers, (N, K).

        Raises:
            BadInput: Something that is no number.
        """
        logits: Tensor = self.policy(inputs)
        if isinstance(logits, Tensor) and bool(logits.isnan().any()):
            raise BadInput("the policy answers NaN", "check its weights, and what it is given", path=POLICY)
        return logits

    def whole(self, inputs: Tensor) -> Tensor:
        """Class scores (N, C) with all blocks, and the policy asked in vain; calibration and recalibration look at it."""
        self.policy(inputs)
        return self.under(inputs, torch.ones(len(self.droppable), dtype=torch.bool))

    def under(self, inputs: Tensor, keep: Tensor) -> Tensor:
        """Class scores (N, C) with given blocks.

        Args:
            inputs: (N, …).
            keep: bool (N, K): which are computed for each sample; or (K,) for all.

        Raises:
            BadInput: `keep` has another shape or is no truth value.
        """
        if not isinstance(keep, fx.Proxy):  # a symbol, of which a trace asks what is computed
            if not isinstance(keep, Tensor):
                raise BadInput(f"keep is a {type(keep).__name__}", "give a tensor of truth values", path="keep")
            # Length by length: torch.compile takes shapes for symbols, which are in no tuple.
            fits = keep.dim() in (1, 2) and keep.shape[-1] == len(self.droppable)
            if keep.dtype != torch.bool or not fits or (keep.dim() == 2 and keep.shape[0] != len(inputs)):
                found = f"keep is {keep.dtype} {tuple(keep.shape)}"
                raise BadInput(found, f"give truth values ({len(inputs)}, {len(self.droppable)})", path="keep")
            keep = keep.to(inputs.device).expand(len(inputs), -1)

        learns = torch.is_grad_enabled()

        def at_block(number: int, block: Module, shortcut: Module, x: Tensor) -> Tensor:
            mine = keep[:, number]
            if not isinstance(mine, Tensor):
                return torch.where(mine.reshape(-1, 1), block(x), shortcut(x))
            check_learns(learns, self.droppable[number])
            if bool(mine.all()):
                return block(x)
            if not bool(mine.any()):
                return shortcut(x.clone() if self.droppable[number] in self.passed else x)
            if self.training and not self.frozen:
                around = shortcut(x.clone() if self.droppable[number] in self.copied else x)
                return torch.where(mine.reshape(-1, *[1] * (around.dim() - 1)), block(x), around)
            computed, around = block(x[mine]), shortcut(x[~mine])
            y = computed.new_empty((len(x), *computed.shape[1:]))
            y[mine], y[~mine] = computed, around.to(computed)
            return y

        return answer(self.walk(inputs, at_block))

    def walk(self, inputs: Any, at_block: AtBlock) -> Any:
        """The backbone's answer, where `at_block` computes the blocks."""
        with ONE_AT_A_TIME, _replaced(self, self.droppable, at_block):
            # Not called as a module: a trace finds only modules that are installed somewhere.
            return self.backbone().forward(inputs)


def _replaced(net: nn.Module, blocks: Sequence[str], at_block: AtBlock) -> AbstractContextManager[None]:
    """Inside the block `at_block` computes modules, which are told what they are without it."""
    modules = [(path, net.get_submodule(path)) for path in blocks]
    return standing_in({m: _Instead(number, path, m, at_block) for number, (path, m) in enumerate(modules)})


class _Instead:
    """Stands for the forward of a block."""

    def __init__(self, number: int, path: str, module: nn.Module, at_block: AtBlock) -> None:
        self.number, self.path, self.module, self.block, self.at_block = number, path, module, module.forward, at_block

    def __call__(self, x: Tensor, *more: Any, **named: Any) -> Tensor:
        if more or named:
            raise WrongSetting("it is given more than one input", "name a block with one", path=self.path)
        return self.at_block(self.number, self.block, self._shortcut, x)

    def _shortcut(self, x: Tensor) -> Tensor:
        own = getattr(self.module, _SHORTCUT, None)
        return own(x) if isinstance(own, nn.Module) else x


def block_drop(
    backbone: nn.Module, blocks: Sequence[str | int] | None = None, *, example: Tensor, policy: nn.Module | None = None
) -> BlockDrop:
    """Put a policy on a copy of a network.

    Args:
        backbone: Takes one tensor, answers class scores (N, C).
        blocks: Names of the modules that may be dropped, in the order in which they are computed: each of several layers, with
            one input, and an output of the same shape, or of that of its module ``downsample``. None: all modules that have a
            ``downsample``, the residual blocks of `mho.models` and of most libraries.
        example: Inputs of a batch; two samples are computed to look at the blocks.
        policy: From inputs to a logit for each block, (N, K). None: a ResNet-8, as published; its 12.5 million
            multiply-accumulates for 32 × 32 images pay for deep networks alone: give small ones
            ``mho.models.cifar_resnet(depth=8, width=4, num_classes=K)``.

    Returns:
        The network with a policy, in the mode of `backbone`.

    Raises:
        WrongSetting: No blocks, one that does not exist, is named twice, lies in another, is a single layer, or is called not at
            all, several times or out of order; a policy that does not answer with a logit for each block.
        NotYet: A block whose output has another shape than its input and no shortcut, or that mixes samples.
        BadInput: The backbone does not answer with class scores.

    Example:
        >>> net = block_drop(mho.models.resnet20(), example=x)   # doctest: +SKIP
        >>> net.keeps(x).sum(1)                                  # doctest: +SKIP
    """
    network(backbone, "backbone")
    check_backbone(backbone, BlockDrop, POLICY)
    net = copy.deepcopy(backbone)
    paths = _paths(net, blocks)
    pair = pair_of(example)
    with evaluating(net), torch.no_grad():
        copied, passed = _check_blocks(net, paths, pair)
    if policy is None:
        if pair.dim() != 4:
            raise WrongSetting(f"inputs {tuple(pair.shape)} are no images", "give a policy of your own", path="policy")
        policy = CifarResNet(8, num_classes=len(paths), channels=pair.shape[1]).to(pair)
    network(policy, "policy")
    with evaluating(policy), torch.no_grad():
        try:
            logits = policy(pair)
        except (RuntimeError, TypeError) as error:
            problem = f"it does not take inputs {tuple(pair.shape)}: {str(error).splitlines()[0]}"
            raise WrongSetting(problem, f"give a module from inputs to {len(paths)} logits", path="policy") from error
    if not isinstance(logits, Tensor) or logits.shape != (2, len(paths)):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        found = f"answers {shape} to two samples and {len(paths)} blocks"
        raise WrongSetting(found, f"its last layer needs {len(paths)} outputs", path="policy")
    made = BlockDrop(net, paths, copy.deepcopy(policy), copied=copied, passed=passed)
    made.policy.train(backbone.training)
    return made


def _paths(net: nn.Module, blocks: Sequence[str | int] | None) -> list[str]:
    modules = dict(net.named_modules())
    if blocks is None:
        found = [path for path, module in modules.items() if path and hasattr(module, _SHORTCUT)]
        found = [path for path in found if not any(other.startswith(f"{path}.") for other in found)]
        if not found:
            remedy = f"name them, as in blocks=['{next((p for p in modules if p), 'layer1.0')}']"
            raise WrongSetting("no module is a residual block, with a 'downsample'", remedy, path="blocks")
        return found
    if isinstance(blocks, str) or not isinstance(blocks, Sequence) or not len(blocks):
        raise WrongSetting(f"blocks = {blocks!r}", "give a list of names of modules", path="blocks")
    paths = [str(path) for path in blocks]
    for path in paths:
        if not path or path not in modules:
            raise WrongSetting(
                f"there is no module '{path}'", f"modules are {', '.join(list(modules)[1:13])}, …", path="blocks"
            )
        if paths.count(path) > 1:
            raise WrongSetting(f"'{path}' is named twice", "name each block once", path="blocks")
        if outer := [other for other in paths if path.startswith(f"{other}.")]:
            raise WrongSetting(f"it lies in '{outer[0]}'", "name one of the two", path=path)
        if not any(True for _ in modules[path].children()):
            raise WrongSetting(
                "it is a single layer", "name a block of several, as an nn.Sequential of them", path=path
            )
    return paths


def _check_blocks(net: nn.Module, paths: list[str], pair: Tensor) -> tuple[list[str], list[str]]:
    """Compute two samples, and look at what every block does to them; paths of those that work in place, and of those behind
    which something does."""
    seen: list[str] = []
    copied: list[str] = []
    made: list[tuple[str, Tensor, int]] = []
    expected = answered(net, pair.clone())

    def at_block(number: int, block: Module, shortcut: Module, x: Tensor) -> Tensor:
        path = paths[number]
        seen.append(path)
        with _read_by(net.get_submodule(path)) as read:
            y = block(x.clone()) if isinstance(x, Tensor) else None
        if not isinstance(x, Tensor) or not isinstance(y, Tensor) or len(x) != len(pair) or len(y) != len(pair):
            raise WrongSetting(
                "it does not make one tensor of one, with a row a sample", "name another module", path=path
            )
        if read and (len(read) > 1 or read[0].shape != x.shape or not torch.equal(read[0], x)):
            raise NotYet(
                f"its '{_SHORTCUT}' reads something else than its input, as where a norm comes before it",
                "leave it out", path=path,
            )  # fmt: skip
        around = shortcut(x.clone())
        if around.shape != y.shape:
            raise NotYet(
                f"it cannot be dropped: it makes {tuple(y.shape[1:])} of {tuple(x.shape[1:])}",
                f"leave it out; or give it a module '{_SHORTCUT}' that makes that shape of its input", path=path,
            )  # fmt: skip
        if changes(block, x) or changes(shortcut, x) or drops_in_place(net.get_submodule(path)):
            copied.append(path)
        if not torch.allclose(block(x[1:].clone()), y[1:], rtol=1e-3, atol=1e-4):
            raise NotYet("its answer to a sample depends on the other samples", "leave it out", path=path)
        made.append((path, y, version(y)))
        return y

    with _replaced(net, paths, at_block):
        last = answer(net(pair))
    if not isinstance(last, Tensor) or last.dim() != 2 or last.shape[1] < 2:
        shape = tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
        raise BadInput(f"the network answers {shape}", "class scores (N, C) are needed", path="backbone")
    if missed := [path for path in paths if path not in seen]:
        raise WrongSetting("it is not computed on the example", "name modules that every pass calls", path=missed[0])
    if twice := [path for path in paths if seen.count(path) > 1]:
        raise WrongSetting("it is computed several times in a pass", "name a module that is called once", path=twice[0])
    if seen != paths:
        told = f"blocks {', '.join(paths)} are out of order"
        raise WrongSetting(told, f"they are computed as {', '.join(seen)}", path="blocks")
    if copied and not torch.allclose(last, expected, rtol=1e-3, atol=1e-4):
        remedy = "let it work with inplace=False, or leave it out"
        raise NotYet("what it changes in place is read again behind it", remedy, path=copied[0])
    return copied, paths if drops_in_place(net) else [path for path, y, before in made if version(y) != before]


@contextmanager
def _read_by(block: nn.Module) -> Iterator[list[Tensor]]:
    """What a block's shortcut reads inside the ``with``."""
    read: list[Tensor] = []
    own = getattr(block, _SHORTCUT, None)
    if not isinstance(own, nn.Module):
        yield read
        return
    handle = own.register_forward_pre_hook(lambda _, given: read.append(given[0].clone()))
    try:
        yield read
    finally:
        handle.remove()


def check_policy(net: Any) -> None:
    """Raises WrongSetting for a network that drops no blocks."""
    if not isinstance(net, BlockDrop):
        remedy = "give it a policy: mho.models.block_drop(net, example=x)"
        raise WrongSetting(f"a {type(net).__name__} has no policy", remedy, path="net")
