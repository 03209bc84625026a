"""A sweep's trials for other programs: rows as files, or a run for each trial in W&B or MLflow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mho._optional import require
from mho.errors import BadInput, WrongSetting
from mho.progress import Progress, check_progress, telling
from mho.sweeps.result import SweepResult
from mho.units import show_time


@dataclass(frozen=True)
class Run:
    """A trial as a tracker holds it.

    Attributes:
        key: The same for the same trial of the same sweep, and no other's.
        name: What people read.
        config: Levels by factor, the seeds, the hardware's digest, and the code's versions.
        once: Numbers that have no age: the digital network's, seconds, costs.
        ages: Age in seconds with numbers by name: means over chips of score, loss and the task's others, each chip's score.
    """

    key: str
    name: str
    config: dict[str, Any]
    once: dict[str, float]
    ages: list[tuple[float, dict[str, float]]]


def runs(result: SweepResult) -> Iterator[Run]:
    """Every trial that is done, in order."""
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in result.rows:
        rows.setdefault(row["trial"], []).append(row)
    for trial in result.trials:
        measured = rows.get(trial["trial"], [])
        chips = [row for row in measured if row["chip"] >= 0]
        names = [key for key in (measured or [{}])[0] if key in ("score", "loss") or key.startswith("scores.")]
        ages = []
        for age in sorted({row["age_s"] for row in chips}):
            here = [row for row in chips if row["age_s"] == age]
            means = {name: _mean([row[name] for row in here]) for name in names}
            ages.append((age, _numbers({**means, **{f"score.chip{row['chip']}": row["score"] for row in here}})))
        digital = next((row for row in measured if row["chip"] < 0), {})
        once = {f"digital.{name}": digital.get(name) for name in names} | {
            "seconds": trial["seconds"],
            **trial["costs"],
        }
        if trial["state"] == "done":
            yield Run(
                trial["digest"], f"trial {trial['trial']}",
                {**trial["factors"], "seed": trial["seed"], "chip_seed": result.plan.chip_seed, "point": trial["point"],
                 "network": result.plan.network, "digest": trial["digest"], "versions": trial["versions"]},
                _numbers(once), ages,
            )  # fmt: skip


def to_wandb(result: SweepResult, path: Path | None = None, progress: Progress = None) -> str:
    """A W&B run for each trial, in a group of the folder's name; the trials that are there already are passed over.

    Offline unless WANDB_MODE says otherwise: `wandb sync` uploads what lies below `path`, the sweep's folder by default.

    Raises:
        MissingExtra: wandb is not installed.
    """
    wandb: Any = require("wandb", extra="wandb", for_what="an export to W&B")
    where = (path or result.folder).absolute()
    mode = os.environ.get("WANDB_MODE", "offline")

    def write(run: Run) -> None:
        settings = wandb.Settings(silent=True, console="off")
        with wandb.init(
            project=os.environ.get("WANDB_PROJECT", "mho"), group=result.folder.absolute().name, name=run.name, id=run.key,
            config=run.config, dir=str(where), mode=mode, resume="allow", settings=settings,
        ) as opened:  # fmt: skip
            opened.define_metric("*", step_metric="age_s")
            for age, numbers in run.ages:
                opened.log({"age_s": age, **numbers})
            opened.summary.update(run.once)

    where.mkdir(parents=True, exist_ok=True)
    there = {folder.name.rpartition("-")[2] for folder in (where / "wandb").glob("*run-*")}
    many = _each(result, there, write, "wandb", progress)
    return f"{many} runs in {where / 'wandb'}" + (
        f": wandb sync {where / 'wandb'}/offline-run-*" if mode == "offline" else ""
    )


def to_mlflow(result: SweepResult, path: Path | None = None, progress: Progress = None) -> str:
    """An MLflow run for each trial, in an experiment of the folder's name; the trials that are there already are passed over.

    At MLFLOW_TRACKING_URI, else in the folder `path`, by default `mlflow` below the sweep's. The step of a metric is the age in
    whole seconds.

    Raises:
        MissingExtra: mlflow is not installed.
    """
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow 3 asks to say so; a data base needs more packages
    mlflow: Any = require("mlflow", extra="mlflow", for_what="an export to MLflow")
    uri = os.environ.get("MLFLOW_TRACKING_URI", (path or result.folder / "mlflow").absolute().as_uri())
    client, name = mlflow.MlflowClient(uri), result.folder.absolute().name
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found else client.create_experiment(name)
    there: set[str] = set()
    page: Any = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=page and page.token)
        there |= {run.data.tags.get("mho.digest", "") for run in page if run.info.status == "FINISHED"}
        if not page.token:
            break

    def write(run: Run) -> None:
        tags = {"mho.digest": run.key, "mho.versions": str(run.config["versions"])}
        made = client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
        entities = mlflow.entities
        params = [entities.Param(_plain(key), str(value)) for key, value in run.config.items()]
        metrics = [
            entities.Metric(_plain(key), value, 0, int(age))
            for age, numbers in [(0.0, run.once), *run.ages] for key, value in numbers.items()
        ]  # fmt: skip
        client.log_batch(made, metrics=metrics, params=params)
        client.set_terminated(made)

    many = _each(result, there, write, "mlflow", progress)
    return f"{many} runs in the experiment '{name}' at {uri}"


def _to_csv(result: SweepResult, path: Path | None = None, progress: Progress = None) -> str:
    return str(result.to_csv(path or result.folder / "rows.csv"))


def _to_parquet(result: SweepResult, path: Path | None = None, progress: Progress = None) -> str:
    return str(result.to_parquet(path or result.folder / "rows.parquet"))


EXPORTS: dict[str, Callable[[SweepResult, Path | None, Progress], str]] = {
    "csv": _to_csv, "parquet": _to_parquet, "wandb": to_wandb, "mlflow": to_mlflow,
}  # fmt: skip


def export(place: str | Path, to: str, path: str | Path | None = None, *, progress: Progress = None) -> str:
    """Write what is stored of a sweep for another program.

    Args:
        place: The sweep's folder, finished or not, or the URL of its ledger.
        to: csv, parquet, wandb or mlflow.
        path: The file, or for wandb and mlflow the folder; by default in the sweep's.
        progress: True for a bar, or told of the trials (`mho.progress.Step`).

    Returns:
        Where it is, in words.

    Raises:
        BadInput: There is no sweep, or nothing is measured yet; the place cannot be written.
        MissingExtra: What it takes is not installed.
        WrongSetting: An unknown target.
    """
    if to not in EXPORTS:
        raise WrongSetting(f"unknown export {to!r}", f"one of {', '.join(EXPORTS)}", path="to")
    check_progress(progress)
    result = SweepResult(place)
    if not result.rows:
        raise BadInput("no trial is measured yet", "run the sweep", path=result.place)
    try:
        return EXPORTS[to](result, None if path is None else Path(path), progress)
    except OSError as error:
        raise BadInput(
            f"cannot be written: {error.strerror or error}", "give another path", path=str(path or result.folder)
        ) from error


def _each(result: SweepResult, there: set[str], write: Callable[[Run], None], what: str, progress: Progress) -> int:
    """Write the runs that are not there; how many."""
    wanted = [run for run in runs(result) if run.key not in there]
    with telling(progress, f"to {what}", "trials") as told:
        for number, run in enumerate(wanted):
            told(number, len(wanted), known=f"{run.name}, {len(run.ages)} ages to {show_time(run.ages[-1][0])}")
            write(run)
        told(len(wanted), len(wanted))
    return len(wanted)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _numbers(values: dict[str, float | None]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items() if value is not None}


def _plain(name: str) -> str:
    """A name of the characters that MLflow takes."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)
