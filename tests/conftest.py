"""One thread and the same seeds for every test, module and shared fixture: what ran before does not matter."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch


def _seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)


@pytest.fixture(autouse=True)
def _alone_as_in_the_suite():
    torch.set_num_threads(1)
    _seed()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef):
    if fixturedef.scope != "function":
        _seed()


def pytest_collectstart(collector):
    if isinstance(collector, pytest.Module):
        _seed()
