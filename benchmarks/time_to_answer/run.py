"""How many image evaluations until the accuracy of ResNet-20 at five ages is known to ±0.5 points.

python benchmarks/time_to_answer/run.py                    # measures what is missing, simulates, draws
python benchmarks/time_to_answer/run.py table --chips 200  # only that step: table, pairs, simulate, wall, draw
python benchmarks/time_to_answer/run.py wall --peer FILE   # FILE: {"tool": …, "chips": [{"seconds": …}, …]}
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import figure
import pairs
import population
import simulate
import table
import torch
import wall

HERE = Path(__file__).parent
STEPS = ("table", "pairs", "simulate", "wall", "draw")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], help="default: table, pairs, simulate, draw")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--chips", type=int, default=80, help="measured chips of each arm")
    parser.add_argument("--pairs", type=int, default=16, help="of them, how many are also measured with negated draws")
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3, help="of the timing")
    parser.add_argument("--peer", type=Path, help="seconds of a plain loop's chips (1000 images, five ages) elsewhere")
    given = parser.parse_args()
    torch.set_num_threads(1)
    steps = given.steps or [step for step in STEPS if step != "wall"]
    rows, results, times = given.out / "rows", given.out / "results.json", given.out / "wall.json"
    if "table" in steps:
        table.measure(rows, given.chips)
    if "pairs" in steps:
        table.negated(rows, given.pairs)
        _write(given.out / "pairs.json", pairs.antithetic(rows, next(iter(table.ARMS))))
    if "simulate" in steps:
        _write(results, _simulated(rows, given.studies, given.seed))
    if "wall" in steps:
        _write(times, _timed(json.loads(results.read_text()), given.repeats, given.peer))
    if "draw" in steps:
        figure.draw(json.loads(results.read_text()), given.out / "time_to_answer.svg")


def _simulated(rows: Path, studies: int, seed: int) -> dict[str, Any]:
    arms = {}
    for arm in table.ARMS:
        measured, smooth = population.Table(rows / arm), population.Smooth(rows / arm)
        arms[arm] = {
            "chips": len(measured.correct),
            "accuracy": measured.truth.tolist(),
            "std_of_chips": measured.means.std(0, ddof=1).tolist(),
            "rows": simulate.everything({"measured chips": measured, "fitted model": smooth}, studies, seed),
        }
    return {"target": simulate.TARGET, "studies": studies, "seed": seed, "arms": arms}


def _timed(results: dict[str, Any], repeats: int, peer: Path | None) -> list[dict[str, Any]]:
    """Seconds a unit, times the median number of units that the simulation found."""
    found = []
    for arm, simulated in results["arms"].items():
        units = {
            (row["design"], row["rule"]): row["looks"][1] / 1000
            for row in simulated["rows"]
            if row["population"] == "measured chips"
        }
        plain, shared = units["plain loop", "from 8"], units["10 chips share a pass", "from 8, 5 % wider"]
        row = wall.measure(arm, repeats)
        row |= {
            "plain_s": plain * row["chip_s"],
            "shared_s": shared * row["shared_pass_s"],
            "gain": plain / (shared * row["ratio"]),
        }
        if peer is not None:
            other = json.loads(peer.read_text())
            each = statistics.median(chip["seconds"] for chip in other["chips"])
            row |= {"peer": other["tool"], "peer_chip_s": each, "peer_plain_s": plain * each}
        print(json.dumps(row, indent=1))
        found.append(row)
    return found


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
