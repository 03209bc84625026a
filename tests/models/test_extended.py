"""What networks with exits and networks that drop blocks owe to the network around which they are built."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import mho
from mho.blocks import drop, every_choice, learn, policy_step, random_keep
from mho.errors import BadInput, NotYet, WrongSetting
from mho.exits import Early, Entropy, observe
from mho.models import block_drop, multi_exit

DRAWN = torch.Generator().manual_seed(2)
X, Y = torch.randn(32, 64, generator=DRAWN), torch.randint(0, 10, (32,), generator=DRAWN)


def policy(blocks: int) -> nn.Module:
    return nn.Linear(64, blocks)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x).relu())


class Around(nn.Module):
    """Reads a block's input once more, behind something in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.act = nn.Linear(64, 32), Residual(32), nn.ReLU(inplace=True)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.fc(self.act(self.block(x)) + x)


def test_a_dropped_block_hands_on_what_nobody_else_reads():
    torch.manual_seed(0)
    net = block_drop(Around().eval(), ["block"], example=X, policy=policy(1))
    mixed = torch.tensor([[True], [False]] * 16)
    together = net.under(X, mixed)
    torch.testing.assert_close(together[1:2], net.under(X[1:2], mixed[1:2]))
    inner = nn.Sequential(Residual(64), nn.ReLU(inplace=True), Residual(64), nn.Linear(64, 10)).eval()
    given = X.clone()
    choices = every_choice(block_drop(inner, ["0", "2"], example=X, policy=policy(2)), [(given, Y)])
    assert given.equal(X) and choices.right[:, -1].equal(inner(X).argmax(1) == Y)


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.fc = nn.Linear(64, 32), Residual(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(checkpoint(self.block, self.stem(x), use_reentrant=True))


@pytest.mark.filterwarnings("ignore:None of the inputs")
def test_what_is_checkpointed_is_refused_where_it_would_learn():
    torch.manual_seed(0)
    exits = multi_exit(Checkpointed(), ["block"], example=X).train()
    drops = block_drop(Checkpointed(), ["block"], example=X, policy=policy(1)).train()
    every = torch.ones(32, 1, dtype=torch.bool)
    for call in (lambda: exits(X), lambda: drops.under(X, ~every)):
        with pytest.raises(NotYet, match="block: it is computed without gradients"):
            call()
        with torch.no_grad():
            call()


def test_hooks_of_the_network_itself_are_refused_and_kept_where_it_is_wrapped():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 32), nn.Sequential(nn.Linear(32, 32), nn.ReLU()), nn.Linear(32, 10)).eval()
    net.register_forward_pre_hook(lambda module, given: (given[0] / 16,))
    with pytest.raises(WrongSetting, match="has hooks"):
        multi_exit(net, ["1"], example=X)
    with pytest.raises(WrongSetting, match="has hooks"):
        block_drop(net, ["1"], example=X, policy=policy(1))
    torch.testing.assert_close(multi_exit(nn.Sequential(net), ["0.1"], example=X)(X)["exit2"], net(X))


class KeepsItsNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.fc = nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 10)
        self.train()

    def train(self, mode: bool = True) -> KeepsItsNorm:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.a(x)).relu())


def test_what_the_network_keeps_in_eval_mode_stays_there():
    torch.manual_seed(0)
    net = multi_exit(KeepsItsNorm(), ["norm"], example=X)
    before = net.norm.running_mean.clone()
    mho.fit(net, [(X, Y)], epochs=2, lr=0.01, task="exits", progress=None)
    assert net.norm.running_mean.equal(before) and not net.train().norm.training and net.fc.training
    plain = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 10)).train()
    plain[1].eval()
    made = multi_exit(plain, ["1"], example=X)
    assert made.training and made.exits.training and not made.get_submodule("1").training


def test_a_head_that_answers_with_its_features_is_not_overwritten():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 10), nn.ReLU(inplace=True), nn.Linear(10, 10)).eval()
    with torch.no_grad():
        expected = net[0](X)
    for head in (nn.Identity(), nn.Flatten()):
        exits = multi_exit(net, {"0": head}, example=X).eval()
        found = observe(exits, [(X, Y)])
        torch.testing.assert_close(found.scores[:, 0], expected)
        everyone = Early(exits, Entropy(10.0))
        with torch.no_grad():
            torch.testing.assert_close(everyone(X), expected)


def test_threads_do_not_see_each_others_samples():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.Sequential(Residual(64), nn.ReLU()), nn.Linear(64, 10)).eval()
    exits, drops = multi_exit(net, ["1"], example=X).eval(), block_drop(net, ["1"], example=X, policy=policy(1)).eval()
    parts = [torch.randn(8 + n, 64, generator=DRAWN) for n in range(4)]

    def wrong(number: int) -> int:
        with torch.no_grad():
            x = parts[number % 4]
            return int(not exits(x)["exit1"].equal(alone[number % 4][0])) + int(
                not drops(x).equal(alone[number % 4][1])
            )

    with torch.no_grad():
        alone = [(exits(x)["exit1"], drops(x)) for x in parts]
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(wrong, range(200))) == 0


class NormFirst(nn.Module):
    """A block whose shortcut reads the normed input, as pre-activation blocks have it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.a, self.downsample = nn.LayerNorm(64), nn.Linear(64, 32), nn.Linear(64, 32)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x).relu()
        return self.a(y) + self.downsample(y)


class Stage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.downsample = nn.Identity()
        self.blocks = nn.Sequential(*[Residual(64) for _ in range(2)])
        for block in self.blocks:
            block.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


class Masked(Residual):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x)


class WithMask(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.fc = Masked(64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(x, mask=None))


def test_blocks_are_found_and_refused_by_name():
    first = nn.Sequential(NormFirst(), nn.Linear(32, 10))
    with pytest.raises(NotYet, match="0: its 'downsample' reads something else"):
        block_drop(first, example=X, policy=policy(1))
    staged = nn.Sequential(Stage(), nn.Linear(64, 10)).eval()
    assert block_drop(staged, example=X, policy=policy(2)).droppable == ("0.blocks.0", "0.blocks.1")
    with pytest.raises(WrongSetting, match="block: it is given more than one input"):
        block_drop(WithMask(), ["block"], example=X, policy=policy(1))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.fc = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.fc(self.a(x).relu())}


def test_answers_with_names_are_scored():
    torch.manual_seed(0)
    net = multi_exit(Named().eval(), ["a"], example=X)
    torch.testing.assert_close(net(X)["exit2"], Named.forward(net, X)["logits"])
    assert observe(net, [(X, Y)]).scores.shape == (32, 2, 10) and 0 <= mho.accuracy(net, [(X, Y)], task="exits") <= 1


def test_what_the_network_does_not_take_is_said_of_it():
    class Two(Named):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Sequential(nn.Linear(16, 10))

        def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
            return self.fc(self.a(x + y))

    diverged = copy.deepcopy(Named())
    diverged.fc.bias.data.fill_(float("nan"))
    for net, says in ((Two(), "argument: 'y'"), (diverged, "backbone: the backbone answers NaN")):
        with pytest.raises(BadInput, match=says):
            multi_exit(net, ["a"], example=X)
        whole = nn.Sequential(Residual(64), net) if net is diverged else net
        with pytest.raises(BadInput, match=says):
            block_drop(whole, ["0" if net is diverged else "fc"], example=X, policy=policy(1))
    with pytest.raises(WrongSetting, match="TorchScript"):
        multi_exit(torch.jit.script(nn.Sequential(nn.Linear(64, 10))), ["0"], example=X)
    with pytest.raises(WrongSetting, match=r"a: its head does not take \(2, 16\)"):
        multi_exit(Named(), {"a": nn.Linear(3, 10)}, example=X)
    with pytest.raises(WrongSetting, match=r"policy: it does not take inputs \(2, 64\)"):
        block_drop(nn.Sequential(Residual(64), nn.Linear(64, 10)), ["0"], example=X, policy=nn.Linear(3, 1))


def test_samples_and_choices_that_cannot_be_are_refused():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16))
    net = block_drop(nn.Sequential(Residual(64), nn.Sequential(*inner, nn.ReLU()), nn.Linear(16, 10)), ["0"], example=X,
                     policy=policy(1)).eval()  # fmt: skip
    empty = [(X[:0], Y[:0]), (X, Y)]
    assert len(drop(net, empty).labels) == 32
    assert len(observe(multi_exit(Named().eval(), ["a"], example=X), empty)) == 32
    for labels in (Y[:, None], Y[:1]):
        with pytest.raises(BadInput, match="labels: labels"):
            policy_step(net, X, labels)
    with pytest.raises(WrongSetting, match="has no policy"):
        policy_step(net, X, Y, judge=Named())
    with pytest.raises(BadInput, match=r"keep: keep \(\)"):
        drop(net, [(X, Y)], torch.tensor(True))
    assert random_keep([1, 2], 3).sum(1).tolist() == [1, 2]
    with pytest.raises(BadInput, match="batch: a batch of one sample"):
        learn(net, [(X[:17], Y[:17])], epochs=1, batch=16, joint=True, progress=None)
    skipped = Y.clone()
    skipped[0] = -100
    with pytest.raises(BadInput, match="leave out"):
        drop(net, [(X, skipped)])
