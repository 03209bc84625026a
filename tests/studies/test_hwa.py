"""The study of hardware-aware fine-tuning: its arms, and its figures and table from stored rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mho.errors import BadResults
from mho.reports.study import write_study
from mho.studies import SCALES, STUDIES
from mho.studies.hwa import FineTuning


@pytest.fixture
def out(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"study": "hwa", "scale": "cpu"}))
    return tmp_path


def test_it_is_drawn_from_what_is_stored(out, store):
    with pytest.raises(BadResults, match="no arm"):
        list(write_study(FineTuning(), out))
    store(out / "pcm-cells-published", 0.05, 0)
    for seed in range(3):
        store(out / f"pcm-cells-sigma-0.08-seed{seed}", 0.01, seed + 1)
        store(out / f"pcm-cells-long-seed{seed}", 0.02, seed + 5)
    names = [path.name for path in write_study(FineTuning(), out)]
    assert names == ["sizes.svg", "ages-resnet-20-pcm-cells.svg", "claims.json", "table.md", "summary.md"]
    table, summary = (out / "table.md").read_text(), (out / "summary.md").read_text()
    assert table.count("\n") == 5 and table.count("3 × 8") == 2 and "–" in table
    assert summary.count("**Holds**") == 1 and summary.count("**Open**") == 4


def test_every_stored_training_seed_is_drawn(out, store):
    for seed in range(5):
        store(out / f"pcm-cells-sigma-0.08-seed{seed}", 0.01, seed)
    list(write_study(FineTuning(), out))
    assert "5 × 8" in (out / "table.md").read_text()
    assert (out / "figures" / "sizes.svg").exists()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["drift", "hwa", "ranges", "cost", "families"])
def test_arms_have_names_of_their_own_and_differ_in_what_they_say(name, scale):
    arms = STUDIES.find(name)().arms(scale)
    assert len({arm.name for arm in arms}) == len(arms)
    told = [{k: v for k, v in vars(arm).items() if k not in ("name", "label", "group")} for arm in arms]
    assert len(set(map(repr, told))) == len(arms)
    if scale == "smoke":
        assert {getattr(arm, "network", "digits") for arm in arms} == {"digits"}


def test_a_recalibrated_arm_has_the_weights_of_the_plain_one():
    arms = {arm.name: arm for arm in FineTuning().arms("cpu")}
    assert arms["pcm-cells-long-norms"].trained == arms["pcm-cells-long"].trained == "pcm-cells-long"
    assert arms["pcm-long-norms"].trained == "pcm-long" and arms["pcm-long"].hardware == "pcm"
    assert arms["kws-pcm-cells-distilled-affine"].recalibration == "affine"
    assert np.unique([arm.seeds for arm in arms.values()]).tolist() == [0, 3]
