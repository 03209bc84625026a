"""`mho sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mho.cli.interruption import keeps


def sweep(
    file: Annotated[
        Path, typer.Argument(help="YAML with network, data, hardware, factors and a design: docs/sweep.md.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Where the ledger goes; the same command resumes.")] = Path("out"),
    ledger: Annotated[
        str | None,
        typer.Option("--ledger", help="Keep it in PostgreSQL instead: postgresql://USER@HOST/DATABASE#SWEEP."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Processes, one thread each; at most one a core.")] = 1,
    engine: Annotated[str, typer.Option("--engine", help="local, or ray: a cluster.")] = "local",
    address: Annotated[str | None, typer.Option("--address", help="Of the Ray cluster: HOST:PORT.")] = None,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", help="Of a trial or a training: 10min, or 600s; then it has failed.")
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option("--memory-limit", help="Of a worker: 4GB; what takes more has failed.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show trials, balance, cost, and that every factor acts.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the rows to this file, too.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write the rows to this file, too.")] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write report.html into --out at the end; also: mho report.")
    ] = True,
    budget: Annotated[
        str,
        typer.Option("--budget", help="What may be lost, for the report's thresholds: of an accuracy as 1% or 0.01."),
    ] = "1%",
) -> None:
    """Measure a network over levels of its hardware, its training or itself; every factor is proven to act first."""
    import mho
    from mho._optional import require
    from mho.cli.terminal import Console
    from mho.store.files import writable_file
    from mho.sweeps import Plan, findings, preview
    from mho.sweeps import engine as local
    from mho.sweeps import sweep as run
    from mho.tasks import Task

    console = Console()

    def show(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if engine == "local":
        local.check_workers(workers)
    if parquet is not None:  # before all work
        require("pyarrow", extra="tables", for_what="--parquet")
        require("pandas", extra="tables", for_what="--parquet")
    if plan:
        show(preview(file, progress=True).text(workers, every_trial=True))
        return
    for name, path in (("--csv", csv), ("--parquet", parquet)):
        if path is not None:
            writable_file(path, name)
    Task.of(Plan.read(file).task).headline.check_budget(budget)
    keeps("finished trials", ledger or out)
    result = run(
        file,
        out,
        workers=workers,
        engine=engine,
        address=address,
        time_limit=time_limit,
        memory_limit=memory_limit,
        retry=retry,
        ledger=ledger,
        show=lambda t: show(f"{t}\n"),
        progress=True,
    )
    written: list[object] = [result.to_csv(csv)] if csv is not None else []
    written += [result.to_parquet(parquet)] if parquet is not None else []
    told = [str(result)]
    try:  # files are written before anything is printed: nobody may be reading
        if report and result.rows:
            found = findings(result, budget=budget)
            told.append(found.sentences[0])
            written.append(f"report: {mho.report(found, out)}")
    finally:
        show("\n".join([*told, *map(str, written)]))
