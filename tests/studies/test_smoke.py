"""Each study runs at smoke scale without any data of the user's, and says which data it lacks at another."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from mho.cli.app import app
from mho.errors import BadInput, BadResults, WrongSetting
from mho.studies import STUDIES
from mho.studies.runner import results, run


@pytest.mark.parametrize(
    ("name", "only"),
    [
        ("drift", "pcm-cells-digits-none"),
        ("hwa", "pcm-long-norms-seed1"),
        ("ranges", "4-bits"),
        ("families", "digits-pcm-kinds"),
        ("squeezenet-drift", "matched-0.1-seed0"),
        ("noise-batchnorm", "digits-batch-seed0"),
        ("noise-norm-type", "digits-l1-seed0"),
        ("noise-learning-rate", "rate-0.1-seed0"),
        ("noise-architectures", "digits-lenet-seed0"),
        ("noise-and-hardware", "digits-plain4-seed0"),
        ("cim-resnet", "ideal-resnet8-seed0"),
        pytest.param("early-exits", "digits-equal", marks=pytest.mark.slow),
        pytest.param("block-drop", "digits", marks=pytest.mark.slow),
        pytest.param("cost", "", marks=pytest.mark.slow),
    ],
)
def test_one_arm(name, only, tmp_path, monkeypatch):
    monkeypatch.delenv("MHO_DATA", raising=False)
    monkeypatch.setenv("MHO_TRAINED", str(tmp_path / "trained"))
    done = CliRunner().invoke(
        app, ["study", "run", name, "--scale", "smoke", "--only", only, "--out", str(tmp_path)], catch_exceptions=False
    )
    assert done.exit_code == 0 and "summary.md" in done.output
    outcome, *others = results(STUDIES.find(name)(), tmp_path).values()
    assert [other.arm.name for other in others] == (["digits-equal-alone-1"] if name == "early-exits" else [])
    if name in ("drift", "hwa"):
        assert outcome.first.accuracy.shape == (3, 5)
        assert outcome.first.header.command == f"mho study run {name} --scale smoke --only {only}"
    if name == "drift":
        assert outcome.first.digital.accuracy > 0.95 and outcome.first.accuracy[:, -1].mean() < 0.3
    if name == "squeezenet-drift":
        digital, *rows = outcome.first
        assert (
            digital["accuracy"][0] > 0.85 and len(rows) == 13
        )  # another digital one; 2 chips × (2 ways with output noise, 4 without)
        assert all(len(row["auc"]) == 7 and row["images"] == 100 for row in rows if "chip" in row)
    if name.startswith("noise"):
        clean, *rows = outcome.first
        settings = {
            "noise-batchnorm": 8, "noise-norm-type": 4, "noise-learning-rate": 2, "noise-architectures": 2,
            "noise-and-hardware": 2,
        }[name]  # fmt: skip
        assert clean["score"] > 0.12 and len({row["setting"] for row in rows if "eta" in row}) == settings
        assert all(len(row["scores"]) == 3 for row in rows if "eta" in row)
        assert [len(row["scores"]) for row in rows if row["setting"] == "pcm, 1 day"] == [2] * (
            name == "noise-and-hardware"
        )
        place = outcome.arm.recipe.place(0)
        assert list(place.parent.glob(f"{place.name}*.json"))
    if name == "cim-resnet":
        digital, *rows = outcome.first
        assert [row["sigma"] for row in rows] == [0.0, 0.05, 0.1, 0.15, 0.2]
        assert all(len(row["scores"]) == 2 and row["energy_uj"] > 0 for row in rows)
        assert np.mean(digital["scores"]) > 0.2 and rows[0]["scores"] != rows[-1]["scores"]
    if name == "early-exits":
        digital, *rows = outcome.first
        chips = [row for row in rows if "chip" in row]
        assert digital["accuracy"][2] > 0.85 and len(chips) == 1 + 2 * 2 and len(rows) - len(chips) == 1 + 2 + 1
        assert all(row["clean_macs"] > 0 and row["again_energy"] > 0 and 1 <= row["static_exit"] <= 3 for row in chips)
        assert all(len(row["lead_of_class"]) == 10 for row in rows if "lead" in row)
    if name == "block-drop":
        digital, *rows = outcome.first
        chips = [row for row in rows if "chip" in row]
        assert (
            digital["choices"]["all"]["accuracy"] > 0.6
            and len(chips) == 1 + 2 * 2
            and len(rows) - len(chips) == 1 + 2 + 1
        )
        assert all(row["choices"]["random"]["blocks"] == row["choices"]["clean"]["blocks"] for row in chips)
        assert "on_chip" in chips[0]["choices"] and digital["macs"]["all"] == 1
        earned = {name: each["reward"] for name, each in digital["choices"].items()}
        assert digital["oracle"] > max(earned[name] for name in ("joint", "clean", "exact", "best", "all", "random"))
    if name == "ranges":
        assert {row["samples"] for row in outcome.first} == {540} and len(outcome.first) == 7
    if name == "families":
        assert len(outcome.first) == 3 + 2 * 3 * (
            1 + 2 * 4
        )  # digital; ages × chips × (whole, four kinds alone and spared)
        assert all(0.5 < row["score"] <= 1 for row in outcome.first)


@pytest.mark.parametrize("name", ["drift", "hwa", "ranges", "families", "squeezenet-drift", "noise-batchnorm"])
def test_data_that_is_missing_is_named(name, tmp_path, monkeypatch):
    monkeypatch.delenv("MHO_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(BadInput, match="MHO_DATA"):
        run(STUDIES.find(name)(), tmp_path, "cpu")


def test_the_command_refuses(tmp_path):
    def call(*words):
        return CliRunner().invoke(app, ["study", *words], catch_exceptions=False)

    with pytest.raises(WrongSetting, match="unknown scale 'big' -> one of smoke, cpu, full"):
        call("run", "drift", "--scale", "big")
    with pytest.raises(WrongSetting, match="unknown study 'nothing'"):
        call("run", "nothing")
    with pytest.raises(BadResults, match="no arm of the study is stored here -> measure it first: mho study run drift"):
        call("draw", "drift", "--out", str(tmp_path))
