"""`mho perturb`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mho.cli.options import DATA, TASK, trained
from mho.errors import BadInput, WrongSetting

if TYPE_CHECKING:
    from rich.table import Table

    from mho.perturbation import PerturbationResult
    from mho.statistics.intervals import Interval


def perturb(
    model: Annotated[
        str,
        typer.Argument(
            help="package.module:factory[?key=value], a name of mho.models, published:NAME, or a .pt2 file."
        ),
    ],
    data: Annotated[str, typer.Option("--data", help=f"Test data. {DATA}")],
    weights: Annotated[str | None, typer.Option("--weights", help="safetensors, or a weights_only checkpoint.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            help="weights (default), parameters, statistics or all; or names of tensors with wildcards; may be repeated.",
        ),
    ] = None,
    reference: Annotated[
        str, typer.Option("--reference", help="What η is a share of: std, max or range of the tensor, or each value.")
    ] = "std",
    per: Annotated[
        str, typer.Option("--per", help="The reference of each tensor, or of each output channel.")
    ] = "tensor",
    distribution: Annotated[str, typer.Option("--distribution", help="gaussian or uniform.")] = "gaussian",
    etas: Annotated[
        str | None,
        typer.Option(
            "--etas",
            help="Sizes η, separated by commas; default: 0.01 to 0.4 for std and value, a quarter for max, an eighth for range.",
        ),
    ] = None,
    clamp: Annotated[
        bool, typer.Option("--clamp", help="Variances of norms that noise makes negative become 0.")
    ] = False,
    draws: Annotated[int, typer.Option("--draws", help="Draws at each size.")] = 10,
    recalibrate: Annotated[
        str | None,
        typer.Option(
            "--recalibrate", help="Data as for --data (labels unused): norms are recalibrated under each draw."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Root of the draws.")] = 0,
    task: Annotated[str, typer.Option("--task", help=TASK)] = "classes",
    out: Annotated[Path | None, typer.Option("--out", help="A CSV file for the score of every draw.")] = None,
) -> None:
    """What a digital network keeps of its accuracy under noise on what it has stored, beside any hardware.

    'mho drift' measures the same network on chips.
    """
    import mho
    from mho.cli.terminal import Console
    from mho.data import load
    from mho.perturbation import Perturbation
    from mho.perturbation.perturbation import SCOPES
    from mho.recalibration import RecalibrateNorms
    from mho.store.files import writable_file

    asked = scope or ["weights"]
    noise = Perturbation(
        asked[0] if len(asked) == 1 and asked[0] in SCOPES else asked,
        reference,
        per=per,
        distribution=distribution,
        clamp=clamp,
    )
    sizes = None if etas is None else _sizes(etas)
    if out is not None:
        writable_file(out, "--out")
    network, test = trained(model, weights), load(data)
    mended = None if recalibrate is None else RecalibrateNorms(load(recalibrate), network)
    found = mho.perturb(
        network, test, noise, sizes, draws=draws, seed=seed, task=task, name=model, recalibrate=mended, progress=True
    )
    console = Console()
    try:  # files are written before anything is printed: nobody may be reading
        written = None if out is None else found.to_csv(out)
    finally:
        console.print(f"{found.name}, {found.perturbation}", markup=False, highlight=False, soft_wrap=True)
        console.print(_table(found))
        console.print(_averages(found), markup=False, highlight=False, soft_wrap=True)
    if written is not None:
        console.print(f"rows: {written}", markup=False, highlight=False, soft_wrap=True)


def _sizes(text: str) -> list[float]:
    sizes = []
    for part in text.split(","):
        try:
            sizes.append(float(part))
        except ValueError:
            raise WrongSetting(f"'{part}' is no size", "write them as 0.01,0.1,0.2", path="--etas") from None
    return sizes


def _table(found: PerturbationResult) -> Table:
    from rich.table import Table

    score = found.score
    shown = Table()
    shown.add_column("η", justify="right", no_wrap=True)
    shown.add_column(score.label, justify="right", overflow="fold")
    columns = [[f"{eta:g}" for eta in found.etas], [score.bracket(v.value, v.low, v.high) for v in found.raw()]]
    if score.share and found.data.classes:
        for name, of in (("of the clean score", found.normalised), ("above chance", found.corrected)):
            try:
                columns.append([_number(v) for v in of()])
            except BadInput:  # a network at chance has neither; `_averages` says so
                continue
            shown.add_column(name, justify="right", overflow="fold")
    shown.add_row("0", score.show(found.digital), *("1" for _ in columns[2:]))
    for row in zip(*columns, strict=True):
        shown.add_row(*row)
    return shown


def _averages(found: PerturbationResult) -> str:
    """A_avg, area, and where points are lost; or why there is none."""
    lines = ["intervals: 95 %; of scores over draws and samples, of shares over draws"]
    if broken := int(found.not_finite.sum()):
        lines.append(f"{broken} answers were not finite and count as wrong")
    if found.untouched:
        lines.append(
            f"the {found.perturbation.reference} of {', '.join(found.untouched)} is 0: noise left them as they are"
        )
    if not (found.score.share and found.data.classes):
        return "\n".join(lines)
    try:
        over = ", ".join(f"{eta:g}" for eta in found.etas)
        lines.append(f"A_avg {_number(found.average())} over η = {over}; area {_number(found.area())}")
    except BadInput as error:
        return "\n".join([*lines, str(error)])
    for points in (1, 5, 10):
        at = found.lost_at(points / 100)
        some = "not lost" if math.isinf(at.value) else f"lost at η = {_number(at)}"
        lines.append(f"{points} {'point is' if points == 1 else 'points are'} {some}")
    return "\n".join(lines)


def _number(found: Interval) -> str:
    """With its interval, of which one draw says nothing."""
    known = math.isfinite(found.high) or found.low > 0
    ends = f"{found.low:.3f}, {found.high:.3f}" if known else "unknown"
    return f"{found.value:.3f} [{ends}]"
