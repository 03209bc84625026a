"""Measure speed and memory: ``python benchmarks/speed/run.py [ratios|study|growth|large|tables] [--threads 1]``.

Without a name everything is measured, then the tables of `benchmarks/README.md` are written anew. Results are kept in
`results/`; MHO_DATA names the folder with CIFAR-10 and the published networks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import growth
import large
import ratios
import study
import tables
import torch
from cases import cases

import mho
from mho.kernels import active

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["ratios", "study", "growth", "large", "tables"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--case", nargs="+", choices=list(cases()), help="for ratios: only these")
    given = parser.parse_args()
    if given.part in (None, "ratios"):
        for threads in given.threads:
            names = given.case or list(cases())
            _keep(f"ratios-{threads}", ratios.rows(names, threads, given.rounds, _say))
    if given.part in (None, "study"):
        _keep("study", [study.row(5, _say)])
    if given.part in (None, "growth"):
        _keep("growth", growth.rows(_say))
    if given.part in (None, "large"):
        _keep("large", large.rows(_say))
    tables.write(RESULTS, Path(__file__).parent.parent / "README.md")


def _keep(name: str, rows: list[dict[str, Any]]) -> None:
    """Write the rows, beside those of other cases that were measured before."""
    path = RESULTS / f"{name}.json"
    new = {(row.get("case"), row.get("kind")) for row in rows}
    before = json.loads(path.read_text())["rows"] if path.exists() and name.startswith("ratios") else []
    rows = [row for row in before if (row["case"], row["kind"]) not in new] + rows
    if name.startswith("ratios"):
        order = list(cases())
        rows.sort(key=lambda row: (row["kind"], order.index(row["case"])))
    machine = {
        "processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version(),
        "torch": torch.__version__, "mho": mho.__version__, "kernels": active(),
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1, ensure_ascii=False) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{name}, {'AVX-512' if 'avx512f' in flags else 'AVX2' if 'avx2' in flags else 'SSE'}"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
