"""Tables and figures of the recipe from the sweeps' rows: `python studies/hwa/recipe/draw.py`."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from mho.measure import DriftResult
from mho.measure.sentence import show_age
from mho.reports.lines import draw
from mho.statistics.intervals import Interval, mean_interval
from mho.studies import Figure, Series, limit, points, reference
from mho.studies.outcome import show_level, show_points
from mho.studies.table import Table

HERE = Path(__file__).parent
PASS, IMAGES = 20_000, 50_000
FACTORS = "training."


def read(name: str) -> dict[tuple[str, ...], dict[float, np.ndarray]]:
    """Accuracy by levels and seed, then by age (-1: in digital form); an array over chips."""
    found: dict[tuple[str, ...], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (HERE / f"{name}.csv").open() as file:
        for row in csv.DictReader(file):
            levels = tuple(f"{k.removeprefix(FACTORS)} {v or 'none'}" for k, v in row.items() if k.startswith(FACTORS))
            age = float(row["age_s"]) if row["chip"] != "-1" else -1.0
            found[(*levels, row["seed"])][age].append(float(row["score"]))
    return {key: {age: np.array(values) for age, values in ages.items()} for key, ages in found.items()}


def screened(name: str) -> Table:
    """Each setting after three short passes: levels, and gains over the first, paired by chip."""
    trials = read(name)
    base, first = next(iter(trials.items()))
    ages = [age for age in first if age >= 0]
    rows = []
    for key, found in trials.items():
        changed = [level for level, usual in zip(key, base, strict=True) if level != usual]
        gains = ["–" if not changed else show_points(mean_interval(found[age] - first[age])) for age in ages[1:]]
        rows.append((", ".join(changed) or f"base: {', '.join(base[:-1])}", f"{100 * found[-1].mean():.1f}",
                     *(show_level(mean_interval(found[age])) for age in ages), *gains))  # fmt: skip
    head = ("changed", "digital", *map(show_age, ages), *(f"gain at {show_age(age)}" for age in ages[1:]))
    return Table(head, rows)


def lengths() -> dict[float, list[dict[float, np.ndarray]]]:
    """The long recipe: for each number of passes of 20,000 images, the seeds' accuracies by age."""
    found: dict[float, list[dict[float, np.ndarray]]] = defaultdict(list)
    for (epochs, _), ages in sorted(read("long").items()):
        found[float(epochs.split()[1]) * IMAGES / PASS].append(ages)
    return dict(sorted(found.items()))


def over_seeds(seeds: list[dict[float, np.ndarray]], age: float, less: float | np.ndarray = 0.0) -> Interval:
    """Mean with its interval over seeds, where there is one over its chips; less a level, or each chip's own."""
    values = [seed[age] - less for seed in seeds]
    return mean_interval(values[0] if len(values) == 1 else [float(value.mean()) for value in values])


def _digital(seeds: list[dict[float, np.ndarray]]) -> str:
    return f"{100 * float(seeds[0][-1.0][0]):.1f}" if len(seeds) == 1 else show_level(over_seeds(seeds, -1.0))


def published() -> dict[float, np.ndarray]:
    """The network as published on the same chips."""
    run = DriftResult.load(HERE.parent / "pcm-published")
    return {-1.0: np.array([run.digital.accuracy]), **dict(zip(run.ages_s, run.scores.T, strict=True))}


def longest() -> tuple[Table, list[Figure]]:
    """Levels and gains by the length of training; the curve over passes, and over age."""
    before, trained = published(), lengths()
    ages, digital = [age for age in before if age >= 0], float(before[-1.0].mean())
    rows = [
        (
            "as published",
            "–",
            f"{100 * digital:.1f}",
            *(show_level(mean_interval(before[age])) for age in ages),
            "–",
            "–",
        )
    ]
    rows += [
        (f"{passes:g} passes", f"{len(seeds)}", _digital(seeds),
         *(show_level(over_seeds(seeds, age)) for age in ages),
         show_points(over_seeds(seeds, 86400.0, digital)), show_points(over_seeds(seeds, ages[-1], before[ages[-1]])))
        for passes, seeds in trained.items()
    ]  # fmt: skip
    head = ("training", "seeds", "digital", *map(show_age, ages), "against digital, 1 day", "gain at 1 year")
    goal = limit("one point below digital", 100 * digital - 1)
    names = [f"{passes:g}" for passes in trained]
    lines = [
        Series(show_age(age), points([over_seeds(seeds, age) for seeds in trained.values()]), range(len(names)),
               single=[[100 * float(seed[age].mean()) for seed in seeds] if len(seeds) > 1 else [] for seeds in trained.values()])
        for age in (60.0, 86400.0, ages[-1])
    ]  # fmt: skip
    title = "Accuracy by the length of fine-tuning"
    curve = Figure("passes", title, [*lines, goal], "accuracy, %", names, "passes over 20,000 images")
    over_age = [Series("as published", points([mean_interval(before[age]) for age in ages]), ages, "dashed")]
    over_age += [
        Series(f"{passes:g} passes", points([over_seeds(seeds, age) for age in ages]), ages)
        for passes, seeds in trained.items()
    ]
    aged = Figure("ages", "ResNet-20 on pcm", [*over_age, reference("digital", 100 * digital), goal], "accuracy, %")
    return Table(head, rows), [curve, aged]


def main() -> None:
    """Write `table.md` and the figures."""
    table, figures = longest()
    parts = ["## The long recipe", table, "## One setting at a time", screened("choose"), "## How far to clip, at lr 0.01",
             screened("clip")]  # fmt: skip
    texts = [part if isinstance(part, str) else part.markdown() for part in parts]
    (HERE / "table.md").write_text("\n".join(texts))
    for figure in figures:
        (HERE / f"{figure.name}.svg").write_text(draw(figure))


if __name__ == "__main__":
    main()
