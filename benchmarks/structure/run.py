"""How far one walks through `mho` for common operations.

Counted are Python frames of functions whose code lies in `mho` (comprehensions and generators among them, C functions
and torch not): *files*, in which at least one ran; *calls*, frames begun (a generator that goes on is none); *changes*,
calls whose file is not that of the call before. First-time work (imports, compiled kernels, caches) is done beforehand.

    python benchmarks/structure/run.py [--json FILE] [--trace NAME]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import mho

ROOT = str(Path(mho.__file__).parent)


def walk(work: Callable[[], Any], trace: bool = False) -> dict[str, int]:
    """Files, calls and changes of file while `work` runs."""
    seen: list[str] = []
    begun: set[int] = set()
    generators: list[FrameType] = []  # held, so that no id is used twice

    def note(frame: FrameType, event: str, _arg: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(ROOT):
            return
        if code.co_flags & 0x20:  # a generator: its later resumptions are no new calls
            if id(frame) in begun:
                return
            begun.add(id(frame))
            generators.append(frame)
        seen.append(code.co_filename)
        if trace:
            print(f"{code.co_filename.removeprefix(ROOT)}:{code.co_firstlineno} {code.co_name}")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    changes = sum(a != b for a, b in itertools.pairwise(seen))
    return {"files": len(set(seen)), "calls": len(seen), "changes": changes}


def walks() -> dict[str, Callable[[], Any]]:
    """What is walked through, ready to run."""
    torch.manual_seed(0)
    x, y = torch.randn(8, 64), torch.randint(0, 32, (8,))
    model = nn.Sequential(nn.Linear(64, 32)).eval()
    net = mho.to_analog(model, "pcm-cells", example=x)
    mho.calibrate(net, [x])
    chip = mho.program(net, seed=0)
    old = chip.at("1 day")
    fused = mho.fuse(chip.at("1 day")) if hasattr(mho, "fuse") else None
    trained = mho.to_analog(model, "pcm-cells", example=x)
    mho.calibrate(trained, [x])
    session = mho.HWA().attach(trained.train(), steps=100)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.01)

    def forward() -> None:
        with torch.no_grad():
            old(x)

    def forward_fused() -> None:
        with torch.no_grad():
            fused(x)  # type: ignore[misc]

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(trained(x), y).backward()
        optimizer.step()
        session.step()

    def drift() -> None:
        with tempfile.TemporaryDirectory() as out:
            mho.drift(net, [(x, y)], ["1 h", "1 day"], chips=2, out=out)

    found: dict[str, Callable[[], Any]] = {"forward": forward}
    if fused is not None:
        found["forward, fused"] = forward_fused
    return {
        **found, "training step": step, "program": lambda: mho.program(net, seed=1),
        "at": lambda: chip.at("1 month"), "drift, 2 chips x 2 ages": drift,
    }  # fmt: skip


def sizes() -> dict[str, int]:
    """Lines of the source: in all, of the largest file, and their median over files."""
    lines = sorted(len(file.read_text().splitlines()) for file in Path(ROOT).rglob("*.py"))
    return {"files": len(lines), "lines": sum(lines), "largest": lines[-1], "median": lines[len(lines) // 2]}


def main() -> None:
    """Print a table, or keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--trace", default="")
    given = parser.parse_args()
    found: dict[str, dict[str, int]] = {}
    print(f"{'':<26}{'files':>7}{'calls':>8}{'changes':>9}")
    for name, work in walks().items():
        for _ in range(3):
            work()
        row = found[name] = walk(work, trace=name == given.trace)
        print(f"{name:<26}{row['files']:>7}{row['calls']:>8}{row['changes']:>9}")
    found["source"] = sizes()
    print(", ".join(f"{name} {value}" for name, value in found["source"].items()))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
