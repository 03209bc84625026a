"""The cheapest hardware that keeps a budget: chosen on a sweep, confirmed on chips that the sweep has not seen."""

from __future__ import annotations

import pytest
import typer
import yaml
from typer.testing import CliRunner

from mho.cli.smallest import smallest as command
from mho.errors import BadInput, MhoError, WrongSetting
from mho.hardware import Hardware
from mho.sweeps import findings, smallest
from mho.sweeps.smallest import FACTORS

FEW = {
    "hardware.adc.bits": [2, 6],
    "hardware.encoding": [{"kind": "differential"}, {"kind": "bit_sliced", "cell_bits": 4}],
}
HARDWARE = {
    "preset": "pcm-cells",
    "array": {"rows": 8, "cols": 16},
    "variations": [{"sigma": 0.02, "relative_to": "gmax"}],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("smallest") / "sweep"
    plan = {
        "network": "tiny_sweep:told",
        "data": "tiny_sweep:data",
        "hardware": HARDWARE,
        "ages": "1 h",
        "chips": 2,
        "factors": FEW,
    }
    return plan, out, smallest(plan, out, budget=0.3, chips=3, tries=2)


def test_the_cheapest_that_keeps_it_is_found_and_confirmed(found):
    _, _, result = found
    assert [each.cost for each in result.candidates] == sorted(each.cost for each in result.candidates)
    best = result.found
    assert best is not None and best.kept and best.fresh.low >= best.floor
    assert best.hardware.adc.bits == best.levels["hardware.adc.bits"] and best.hardware.array.rows == 8
    cheaper = [each for each in result.candidates if each.cost < best.cost]
    assert all(each.fresh is not None and not each.kept for each in cheaper)
    assert result.points == 4 and "3 fresh chips" in str(result)
    # Fewer bits of the same converter cost less, and slices of bits more than one pair.
    costs = {trial["point"]: (trial["factors"], trial["costs"]["energy_pj"]) for trial in result.result.trials}
    by = {(f["hardware.adc.bits"], f["hardware.encoding"]["kind"]): cost for f, cost in costs.values()}
    assert by[2, "differential"] < by[6, "differential"] < by[6, "bit_sliced"]


def test_the_sweep_draws_the_front_against_the_energy(found):
    _, _, result = found
    fronts = {front.path: front for front in findings(result.result).fronts}
    assert len(fronts["energy_pj"].points) == 4


def test_no_candidate_is_no_answer(found):
    plan, out, _ = found
    none = smallest(plan, out, budget=0.0, chips=2, tries=1)
    assert none.found is None or none.found.fresh.low >= none.found.floor
    if none.found is None:
        assert "None of 4 points is confirmed" in none.sentence()


def test_bad_input_is_refused_by_name(found, tmp_path):
    plan, _, _ = found
    for settings, problem in (({"cost": "euros"}, "unknown cost 'euros'"), ({"chips": 1}, "chips = 1"), ({"tries": 0}, "tries"),
                              ({"budget": 2}, "budget"), ({"confidence": 2}, "confidence")):  # fmt: skip
        with pytest.raises(WrongSetting, match=problem):
            smallest(plan, tmp_path / "none", **settings)
        assert not (tmp_path / "none").exists()


def test_the_command_writes_the_hardware(found, tmp_path):
    plan, out, result = found
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(plan))
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(
        app, [str(tmp_path / "sweep.yaml"), "--out", str(out), "--budget", "30%", "--chips", "3", "--tries", "2"]
    )
    assert done.exit_code == 0, done.output
    assert Hardware.from_yaml(out / "smallest.yaml").adc == result.found.hardware.adc and (out / "report.html").exists()
    assert result.sentence() in done.output
    again = CliRunner().invoke(app, [str(tmp_path / "sweep.yaml"), "--out", str(out), "--cost", "cells"])
    assert isinstance(again.exception, MhoError)  # another sweep: it notes other costs


def test_what_is_searched_by_default_is_there():
    from mho.sweeps import Plan

    plan = Plan.read(
        {"network": "tiny_sweep:net", "data": "tiny_sweep:data", "hardware": "pcm-cells", "factors": FACTORS}
    )
    assert len(plan.configured()) == 4 * 3 * 5


def test_a_network_that_guesses_has_no_smallest_hardware(found, tmp_path):
    plan, _, _ = found
    plan = {**plan, "network": "tiny_sweep:told?gain=0", "factors": {"hardware.adc.bits": [4, 6]}}
    with pytest.raises(BadInput, match="not known to be better than chance"):
        smallest(plan, tmp_path / "sweep", budget=0.1, chips=2, tries=1)
