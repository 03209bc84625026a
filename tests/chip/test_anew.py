"""A chip that keeps no conductances is the same chip, in the memory of one array."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, WrongSetting

HW = mho.Hardware.of("pcm").replace(adc__range="fixed", adc__bound=10.0, dac__range="abs_max")


def _net() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)).eval()
    return mho.to_analog(model, HW)


@pytest.mark.parametrize("cycle", [0, 2])
def test_it_is_the_same_chip_at_every_age(cycle):
    net = _net()
    kept, anew = (mho.program(net, 3, chip=1, cycle=cycle, keep=keep) for keep in (True, False))
    for age in ("0 s", "1 day", "1 year", "1 day"):
        theirs, ours = kept.at(age, read=1).state_dict(), anew.at(age, read=1).state_dict()
        assert theirs.keys() == ours.keys() and all(torch.equal(theirs[key], ours[key]) for key in theirs)
        for one, other in zip(kept.at(age).modules(), anew.at(age).modules(), strict=True):
            cells = zip(one.named_buffers(recurse=False), other.named_buffers(recurse=False), strict=True)
            assert all(torch.equal(a, b) for (_, a), (_, b) in cells)
    assert list(anew.arrays) == list(kept.arrays) and repr(anew) == repr(kept)
    again = pickle.loads(pickle.dumps(anew))
    assert torch.equal(again.arrays["0"].states[0]["g"], kept.arrays["0"].states[0]["g"])


def test_it_follows_no_change_of_the_weights():
    net = _net()
    chip = mho.program(net, keep=False)
    with torch.no_grad():
        net[4].weight.mul_(2)
    with pytest.raises(WrongSetting, match=r"4: .*weights were changed") as refused:
        chip.at("1 day")
    with pytest.raises(WrongSetting, match="weights were changed"):
        pickle.dumps(chip)
    assert "keep=True" in str(refused.value)


def test_weights_that_cannot_be_programmed_are_refused_at_once():
    net = _net()
    with torch.no_grad():
        net[4].weight[0, 0] = float("nan")
    with pytest.raises(BadInput, match="not finite"):
        mho.program(net, keep=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux to limit memory")
@pytest.mark.parametrize("keep", [True, False])
def test_a_network_whose_cells_do_not_fit_still_runs(keep):
    """8 million weights, 32 MB of them, in 160 MB more than the network takes: all cells at once would need more."""
    script = f"""
        import resource, torch, mho
        from torch import nn
        torch.set_num_threads(1)
        hw = mho.Hardware.of("pcm").replace(adc__range="fixed", adc__bound=10.0, dac__range="abs_max")
        mho.program(mho.to_analog(nn.Linear(8, 8), hw)).at("1 day")(torch.ones(2, 8))  # what loads late is loaded
        net = mho.to_analog(nn.Sequential(*(nn.Linear(512, 512, bias=False) for _ in range(32))), hw)
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + 160 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            with torch.no_grad():
                y = mho.program(net, keep={keep}).at("1 day")(torch.ones(2, 512))
            print("ran", bool(y.isfinite().all()))
        except (MemoryError, RuntimeError) as error:
            print("no memory" if isinstance(error, MemoryError) or "memory" in str(error) else error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == ("no memory" if keep else "ran True"), done.stderr
