from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mho.errors import BadInput
from mho.tasks import IGNORED, Task
from mho.training.loop.loader import Loader, Samples, hold, order, shuffled


def _samples(n):
    return Samples(torch.arange(n, dtype=torch.float32)[:, None], torch.arange(n), torch.ones(n, dtype=torch.long))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60), batch=st.integers(1, 7), world=st.integers(1, 3), accumulate=st.integers(1, 3),
    epoch=st.integers(0, 2),
)  # fmt: skip
def test_every_step_holds_its_samples_once_and_weighs_them_alike(n, batch, world, accumulate, epoch):
    loaders = [
        Loader(_samples(n), batch=batch, seed=5, world=world, rank=r, accumulate=accumulate) for r in range(world)
    ]
    parts = [list(loader.epoch(epoch)) for loader in loaders]
    assert {len(p) for p in parts} == {loaders[0].parts}
    steps = order(n, seed=5, epoch=epoch).split(batch * world * accumulate)
    assert len(steps) == loaders[0].steps
    for s, rows in enumerate(steps):
        here = [part for p in parts for part in p[s * accumulate : (s + 1) * accumulate]]
        seen = torch.cat([part.targets for part in here if part.weight])
        assert sorted(seen.tolist()) == sorted(rows.tolist())
        # The mean over processes and over `accumulate` parts of weight · (mean over the part) is the mean over the step.
        mean = sum(part.weight * float(part.inputs.mean()) for part in here if part.weight) / (world * accumulate)
        assert mean == pytest.approx(float(rows.float().mean()), rel=1e-5)


def test_processes_take_every_other_sample():
    both = order(16, seed=0, epoch=3).split(8)
    for rank in (0, 1):
        loader = Loader(_samples(16), batch=4, world=2, rank=rank)
        assert [part.targets.tolist() for part in loader.epoch(3)] == [rows[rank::2].tolist() for rows in both]


def test_an_epoch_goes_on_where_it_was_left():
    def noisy(x, generator):
        return x + torch.randn(x.shape, generator=generator)

    loader = Loader(_samples(23), batch=4, seed=1, augment=noisy)
    whole = list(loader.epoch(2))
    rest = list(loader.epoch(2, 3))
    assert len(rest) == len(whole) - 3
    assert all(torch.equal(a.inputs, b.inputs) and a[2:] == b[2:] for a, b in zip(whole[3:], rest, strict=True))


def test_the_order_is_an_address_and_leaves_torchs_generator_alone():
    before = torch.get_rng_state()
    first = order(1000, seed=0, epoch=0)
    assert torch.equal(first, order(1000, seed=0, epoch=0)) and torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, order(1000, seed=0, epoch=1)) and not torch.equal(first, order(1000, seed=1, epoch=0))
    assert torch.equal(first.sort().values, torch.arange(1000))


def test_ignored_labels_do_not_weigh():
    labels = torch.full((4, 3), IGNORED)
    labels[0, 0], labels[2] = 1, 1
    samples = hold([(torch.zeros(4, 1), labels)], Task.of("tokens"))
    parts = list(Loader(samples, batch=1, accumulate=4).epoch(0))
    assert sum(part.weight for part in parts) == pytest.approx(4) and sum(part.counted for part in parts) == 4
    assert sorted(part.weight for part in parts) == [0, 0, 1, 3]


def test_a_loop_of_ones_own_sees_the_same_batches():
    data = [(torch.arange(10.0)[:6, None], torch.arange(6)), (torch.arange(10.0)[6:, None], torch.arange(6, 10))]
    mine = [y.tolist() for _, y in shuffled(data, batch=3, epoch=1, seed=4)]
    assert mine == [part.targets.tolist() for part in Loader(hold(data), batch=3, seed=4).epoch(1)]
    assert all(y is None for _, y in shuffled([x for x, _ in data], batch=3, epoch=0))


def test_inputs_and_targets_may_have_parts():
    x, y = {"a": torch.arange(10.0), "b": torch.arange(10.0)}, torch.arange(10)
    data = [({k: v[:6] for k, v in x.items()}, y[:6]), ({k: v[6:] for k, v in x.items()}, y[6:])]
    for inputs, targets in shuffled(data, batch=3, epoch=0):
        assert torch.equal(inputs["a"], targets.float()) and torch.equal(inputs["b"], targets.float())


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "no sample"),
        ([("text", "label")], "tuple"),
        ([(torch.zeros(3, 2), torch.zeros(2))], "one label an input"),
        ([torch.zeros(3, 2), (torch.zeros(3, 2), torch.zeros(3))], "some batches"),
        ([(torch.zeros(3, 2), torch.zeros(3)), torch.zeros(3, 2)], "some batches"),
        ((torch.zeros(3, 2), torch.zeros(3)), "pair of tensors"),
        ([torch.zeros(0, 2)], "no sample"),
    ],
)
def test_data_that_is_none_is_refused(data, named):
    with pytest.raises(BadInput, match=named):
        hold(data)
