"""One thread and the same seeds for every test, module and shared fixture: what ran before does not matter."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

sys.path.append(str(Path(__file__).parent))
from commands import Commands

settings.register_profile("the same examples every time", derandomize=True, database=None)
settings.load_profile("the same examples every time")


# Whoever starts the tests in the background may have Ctrl-C ignored in them, and in the commands that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


@pytest.fixture(autouse=True)
def _alone_as_in_the_suite():
    torch.set_num_threads(1)
    _seed(0)


@pytest.fixture(scope="session")
def commands():
    """Runs `mho` as it is typed."""
    made = Commands()
    yield made
    made.close()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef):
    if fixturedef.scope != "function":
        _seed(1)  # other numbers than a test draws itself


def pytest_collectstart(collector):
    if isinstance(collector, pytest.Module):
        _seed(2)
