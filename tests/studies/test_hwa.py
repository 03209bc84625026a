"""The study of hardware-aware fine-tuning: its arms, and its figures and table from stored rows."""

from __future__ import annotations

import numpy as np
import pytest

from mho.errors import BadResults
from mho.reports.hwa_study import _Line, write_hwa
from mho.statistics.intervals import mean_interval
from mho.store import DataInfo, Measurement, RunHeader, RunStore
from mho.studies import hwa


def test_arms_have_names_of_their_own_and_differ_in_what_they_say():
    arms = hwa.arms()
    assert len({arm.name for arm in arms}) == len(arms)
    recipes = [(arm.subject.network, arm.hardware, arm.changes, arm.recipe, arm.passes) for arm in arms]
    assert len(set(map(repr, recipes))) == len(arms)


def _store(folder, lost, seed):
    """Eight chips at five ages that are right for 90 % of 200 samples, less `lost` at each age."""
    ages = (60.0, 3600.0, 86400.0, 2592000.0, 31536000.0)
    info = DataInfo("made up", 200, "0" * 12, ("a", "b"), (100, 100))
    header = RunHeader(model="m", data=info, hardware={"name": "h"}, hardware_digest="0" * 12, seed=0, times_s=ages,
                       definitions=(), confidence=0.95, target_half_width=None, max_chips=8)  # fmt: skip
    generator = np.random.default_rng(seed)

    def rows(chip):
        for i, age in enumerate(ages):
            correct = generator.random(200) < 0.9 - lost * (i + 1)
            yield Measurement(chip=chip, age_s=age, samples=200, correct=correct, loss=1.0)

    store = RunStore(folder)
    store.create_or_resume(header, Measurement(chip=-1, age_s=0.0, samples=200, correct=np.ones(200, bool), loss=0.1))
    for chip in range(8):
        store.append(chip, list(rows(chip)))


def test_it_is_drawn_from_what_is_stored(tmp_path):
    with pytest.raises(BadResults, match="no arm"):
        list(write_hwa(tmp_path))
    _store(tmp_path / "pcm-published", 0.05, 0)
    for seed in range(3):
        _store(tmp_path / f"pcm-sigma-0.08-seed{seed}", 0.01, seed + 1)
        _store(tmp_path / f"pcm-long-seed{seed}", 0.02, seed + 5)
    paths = list(write_hwa(tmp_path))
    assert [path.name for path in paths] == ["sizes.svg", "ages-resnet-20-pcm.svg", "table.md"]
    table = paths[-1].read_text()
    assert table.count("\n") == 5 and "3 × 8" in table and "–" in table
    stored = {(arm.name, seed): result for arm, _, seed, result in hwa.results(tmp_path)}
    runs = tuple(stored["pcm-sigma-0.08", seed] for seed in range(3))
    line = _Line(next(a for a in hwa.arms() if a.name == "pcm-sigma-0.08"), "", runs)
    base = stored["pcm-published", 0]
    gains = [run.accuracy[:, 4].mean() - base.accuracy[:, 4].mean() for run in runs]
    expected = mean_interval(gains)
    assert line.gain(base, 4).low == pytest.approx(expected.low) and line.gain(base, 4).value == pytest.approx(
        expected.value
    )
    assert f"{100 * np.mean(gains):+.1f}" in table


def test_every_stored_training_seed_is_drawn(tmp_path):
    for seed in range(5):
        _store(tmp_path / f"pcm-sigma-0.08-seed{seed}", 0.01, seed)
    assert "5 × 8" in list(write_hwa(tmp_path))[-1].read_text()
