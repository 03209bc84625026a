"""What claims say, and how arms compare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mho.errors import WrongSetting
from mho.measure import DriftResult
from mho.statistics.intervals import Interval, mean_interval
from mho.studies import Arm, Claim, Finding, Outcome, Results, above, below, both, every


@pytest.mark.parametrize(
    ("low", "high", "up", "down"),
    [(0.01, 0.03, "holds", "fails"), (-0.03, -0.01, "fails", "holds"), (-0.01, 0.01, "depends", "depends"),
     (0.0, 0.01, "depends", "fails"), (-0.01, 0.0, "fails", "depends"), (0.0, 0.0, "fails", "fails")],
)  # fmt: skip
def test_the_whole_interval_decides(low, high, up, down):
    found = Interval((low + high) / 2, low, high)
    assert above("a", found).verdict == up and below("a", found).verdict == down
    assert above("a", Interval(0.02, 0.01, 0.03)).evidence == "a +2.0 [+1.0, +3.0]"
    assert (
        above("a", Interval(found.value + 5, low + 5, high + 5), 5.0).verdict == above("a", found).verdict or low == 0
    )


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [("holds holds", "holds"), ("fails fails", "fails"), ("holds fails", "depends"), ("holds depends", "depends")],
)
def test_parts_together(parts, verdict):
    found = every(*(Finding(part, part[0]) for part in parts.split()))
    conditions = both(*(Finding(part, part[0]) for part in parts.split()))
    assert conditions == (replace(found, verdict="fails") if "fails" in parts else found)
    assert found.verdict == verdict and found.evidence == "; ".join(part[0] for part in parts.split())


def test_a_claim_about_what_is_not_stored_is_open():
    claim = Claim("it is so", lambda results: above("x", results["missing"].gain(results["missing"], "1 day")))
    found = claim.judge(Results())
    assert found.verdict == "open" and "'missing'" in found.evidence


@pytest.fixture
def outcomes(tmp_path, store):
    """An arm without training, one of three seeds, and its control of two."""
    lost = {"base": 0.05, **{f"tuned{n}": 0.01 for n in range(3)}, **{f"control{n}": 0.02 for n in range(2)}}
    for seed, (name, less) in enumerate(lost.items()):
        store(tmp_path / name, less, seed)
    runs = {name: DriftResult.load(tmp_path / name) for name in lost}
    tuned, control = ({n: runs[f"{name}{n}"] for n in range(k)} for name, k in (("tuned", 3), ("control", 2)))
    return Outcome(Arm("b", "b"), {0: runs["base"]}), Outcome(Arm("t", "t"), tuned), Outcome(Arm("c", "c"), control)


def test_one_run_is_over_chips_and_several_over_seeds(outcomes):
    base, tuned, control = outcomes
    assert base.level("1 day") == mean_interval(base.first.accuracy[:, 2])
    assert base.curve()[2] == base.level("1 day") and len(base.curve()) == 5
    means = [run.accuracy[:, 4].mean() for run in tuned.runs.values()]
    assert tuned.level("1 year") == mean_interval(means)
    gains = np.array(means) - base.first.accuracy[:, 4].mean()
    assert tuned.gain(base, "1 year").low == pytest.approx(mean_interval(gains).low)
    others = [control.runs[n if n in control.runs else 0].accuracy[:, 4].mean() for n in range(3)]
    np.testing.assert_allclose(tuned.differences(control, "1 year"), np.array(means) - np.array(others))
    chips = base.differences(tuned, "1 year")
    np.testing.assert_allclose(chips, base.first.accuracy[:, 4] - tuned.runs[0].accuracy[:, 4])
    assert tuned.digital == 1.0
    spreads = [run.summary()[2].sigma_chip for run in tuned.runs.values()]
    assert tuned.spread("1 day") == pytest.approx(np.sqrt(np.mean(np.square(spreads))))


def test_what_is_no_pair_is_refused(outcomes, tmp_path, store):
    store(tmp_path / "few", 0.0, 0, chips=3)
    few = Outcome(Arm("f", "f"), {0: DriftResult.load(tmp_path / "few")})
    with pytest.raises(WrongSetting, match="no pairs"):
        few.gain(outcomes[0], "1 day")
    with pytest.raises(WrongSetting, match="was not measured"):
        few.level("2 days")
