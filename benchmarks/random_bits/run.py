"""Test the random numbers of the compiled kernels: `python benchmarks/random_bits/run.py` (see README.md).

Compiles harness.cpp, which includes the kernels' own source, against the TestU01 of the system. Raw outputs are kept in
`--work`, in a folder named after the generator's output: the same command goes on where it was. Parts take, on one core:
control 1 minute, smallcrush 3, normals 8, long 2, seeding 2, crush 25 a stream.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats

from mho.kernels.build import FLAGS

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "src" / "mho" / "kernels" / "cpp" / "random.hpp"
PARTS = ("control", "smallcrush", "normals", "long", "seeding", "crush")
KEYS = (1, 2718281828459045235)
CRUSHED = ("call", "keys_16")
NUMBERS, LONG, SEEDS = 2**30, 2**35, 2**26
LOW, HIGH = 1e-3, 1 - 1e-3


def build(source: Path, work: Path) -> Path:
    """Compile the harness with the flags that the package compiles its kernels with."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or "c++"
    flags = [flag for flag in FLAGS if flag not in ("-shared", "-fPIC")]
    libraries = ["-ltestu01", "-ltestu01probdist", "-ltestu01mylib", "-lm"]
    target = work / "harness"
    define = f'-DMHO_SOURCE="{source.resolve()}"'
    subprocess.run([compiler, *flags, define, str(HERE / "harness.cpp"), "-o", str(target), *libraries], check=True)
    return target


def raw(target: Path, name: str, arguments: list[str], stdin: str = "", to_file: bool = False) -> str:
    """The output of the harness, from the file that an earlier run left if there is one."""
    path = target.parent / name
    if not path.exists():
        print(name, flush=True)
        part = path.with_suffix(".part")
        command = [str(target), *arguments, *([str(part)] if to_file else [])]
        done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, text=True, check=True)
        if not to_file:
            part.write_text(done.stdout)
        part.replace(path)
    return path.read_text()


def battery(target: Path, which: str, stream: str, key: int) -> dict[str, Any]:
    """The p-values of one TestU01 battery on one stream."""
    text = raw(target, f"{which}-{stream}-{key}.jsonl", [which, str(key), stream], to_file=True)
    lines = [json.loads(line) for line in text.splitlines()]
    return {
        "stream": stream,
        "key": key,
        "tests": lines[-1]["test"],
        "words": lines[-1]["words"],
        "p": [short(line["p"]) for line in lines],
        "outside": {f"{line['test']} {line['name']}": line["p"] for line in lines if not LOW <= line["p"] <= HIGH},
    }


def control(source: Path, work: Path) -> dict[str, Any]:
    """SmallCrush on a generator spoilt on purpose: without the hash, neighbouring keys and chunks share lanes."""
    sound, spoilt = "mix(key ^ mix(chunk))", "key + chunk"
    text = source.read_text(encoding="utf-8")
    if text.count(sound) != 1:
        raise SystemExit("the seeding has changed: adapt `control`")
    place = work / "control"
    place.mkdir(exist_ok=True)
    (place / "random.hpp").write_text(text.replace(sound, spoilt), encoding="utf-8")
    target = build(place / "random.hpp", place)
    return batteries(target, "smallcrush", [(stream, KEYS[0]) for stream in CRUSHED])


def batteries(target: Path, which: str, jobs: list[tuple[str, int]]) -> dict[str, Any]:
    runs = [battery(target, which, stream, key) for stream, key in jobs]
    p = np.array([value for run in runs for value in run["p"]])
    return {
        "p_values": len(p),
        "smallest": short(p.min()),
        "largest": short(p.max()),
        "outside": int(((p < LOW) | (p > HIGH)).sum()),
        "outside_expected": round(len(p) * 2 * LOW, 2),
        "uniformity_ks_p": short(stats.kstest(p, "uniform").pvalue),
        "runs": runs,
    }


def normals(target: Path, key: int, neighbours: bool, n: int) -> dict[str, Any]:
    """P-values of n normal numbers of one call, or of the first chunks of neighbouring keys."""
    edges = special.ndtri(np.arange(1, 1000) / 1000).astype(np.float32)
    coarse = special.ndtri(np.arange(1, 32) / 32).astype(np.float32)
    name = f"normals-{'neighbours' if neighbours else 'call'}-{key}.json"
    stdin = " ".join(f"{float(e):.9g}" for e in (*edges, *coarse))
    sums = json.loads(raw(target, name, ["normals", str(key), str(n), *(["neighbours"] if neighbours else [])], stdin))

    even = {k: float(special.factorial2(k - 1)) for k in range(2, 13, 2)}
    moments = {}
    for k in range(1, 7):
        mean = even.get(k, 0.0)
        value = sums["power"][k] / n
        score = (value - mean) / np.sqrt((even[2 * k] - mean**2) / n)
        moments[str(k)] = {"value": value, "expected": mean, "p": two_sided(score)}

    lags = np.arange(1, 65)
    correlations = {}
    for field, variance in (("lag", 1.0), ("lag_square", 2.0)):
        score = np.array(sums[field][1:]) / variance / np.sqrt(n - lags)
        p = np.array([two_sided(s) for s in score])
        correlations[field] = {
            "chi_square_p": short(stats.chi2.sf((score**2).sum(), 64)),
            "smallest_p": short(p.min()),
            "at_lag": int(lags[p.argmin()]),
            "p_at_16": short(p[15]),
            "p_at_32": short(p[31]),
            "outside": {str(lag): short(q) for lag, q in zip(lags, p, strict=True) if q < LOW},
        }

    cross = {}
    for name, value, variance in zip(
        ("cos_sin", "cos2_sin2", "cos_sin2", "cos2_sin"), sums["cross"], (1, 4, 2, 2), strict=True
    ):
        cross[name] = two_sided(value / np.sqrt(variance * n / 2))

    tails = {}
    for i, bound in enumerate(range(3, 7)):
        expected = n * float(special.ndtr(-bound))
        for side, count in zip(("below", "above"), sums["tails"][2 * i : 2 * i + 2], strict=True):
            tails[f"{side}_{bound}"] = {
                "count": int(count), "expected": round(expected, 2), "p": poisson(count, expected)
            }  # fmt: skip

    row = np.diff(np.concatenate([[0.0], special.ndtr(coarse.astype(float)), [1.0]]))
    fine = np.diff(np.concatenate([[0.0], special.ndtr(edges.astype(float)), [1.0]]))
    table = np.outer(row, row).ravel()
    return {
        "numbers": n,
        "key": key,
        "moments": moments,
        "lags": correlations,
        "cos_against_sin_p": cross,
        "tails": tails,
        "chi_square_1000_cells_p": chi_square(sums["cell"], fine * n),
        "chi_square_cos_sin_32x32_p": chi_square(sums["pair"], table * n / 2),
        "chi_square_neighbours_32x32_p": chi_square(sums["serial"], table * n / 2),
        "exact_zeros": zeros(sums["zero"][0], n),
        "extremes": [short(x) for x in sums["extreme"]],
    }


def long_run(target: Path, key: int) -> dict[str, Any]:
    """Few sums over 2^35 numbers: tails against the normal law and the generator's own lattice, zeros, moments."""
    n = LONG
    sums = json.loads(raw(target, f"long-{key}.json", ["long", str(key), str(n)]))
    rows = []
    for bound, count in zip(np.arange(3, 7, 0.5), sums["over"], strict=True):
        u = (np.arange(int(np.exp(-(bound**2) / 2) * 2**31) + 1) + 0.5) * 2.0**-31
        radius = np.sqrt(-2 * np.log(u))
        radius = radius[radius > bound]
        lattice = n * float((np.arccos(bound / radius) * 2 / np.pi).sum()) * 2.0**-31
        normal = n * 2 * float(special.ndtr(-bound))
        rows.append(
            {
                "beyond": float(bound),
                "count": int(count),
                "normal": round(normal, 2),
                "p": poisson(count, normal),
                "lattice": round(lattice, 2),
                "p_lattice": poisson(count, lattice),
            }
        )
    moments = {}
    for k, total, mean, variance in zip((1, 2, 4), sums["power"], (0, 1, 3), (1, 2, 96), strict=True):
        value = total / n
        moments[str(k)] = {"value": value, "expected": mean, "p": two_sided((value - mean) / np.sqrt(variance / n))}
    return {"numbers": n, "key": key, "moments": moments, "tails": rows, "exact_zeros": zeros(sums["zero"][0], n)}


def zeros(count: float, n: int) -> dict[str, Any]:
    """Exact zeros: an angle of zero, one in 2^30, makes the sine zero; a radius of zero, one in 2^25, makes both."""
    single, double = n * 2.0**-31, n * 2.0**-25
    score = (count - single - double) / np.sqrt(single + 2 * double)
    return {"count": int(count), "expected": single + double, "p": two_sided(score)}


def seeding(target: Path, key: int) -> dict[str, Any]:
    """Bits of differences between seeds, lanes, keys and chunks; chunks that can be made to agree."""
    scores = json.loads(raw(target, f"seeding-{key}.json", ["seeding", str(key), str(SEEDS)]))
    same, mirrored, shifted = scores.pop("same")
    fixed = scores["state_cd"].pop(0)  # the lowest bit of the last word is set in every lane
    groups: dict[str, list[float]] = {}
    for name, values in scores.items():
        label = re.sub(r"_\d+$", "", name)
        if label == "flip":
            label = "flip_key" if int(name[5:]) < 62 else "flip_chunk"
        groups.setdefault(label, []).extend(values)
    out: dict[str, Any] = {"samples": SEEDS, "fixed_bit_score": fixed}
    for label, values in groups.items():
        z = np.array(values)
        worst = float(np.abs(z).max())
        out[label] = {
            "bits": len(z),
            "chi_square_p": short(stats.chi2.sf((z**2).sum(), len(z))),
            "largest_score": short(worst),
            "largest_score_p": short(-np.expm1(len(z) * np.log1p(-two_sided(worst)))),
        }
    out["chunks_made_to_agree"] = {"same": bool(same), "mirrored": bool(mirrored), "lanes_shifted": shifted}
    return out


def copied(target: Path, place: Path) -> Path:
    """The harness in the folder of the raw outputs that belong to what it draws."""
    place.mkdir(exist_ok=True)
    return Path(shutil.copy(target, place / "harness"))


def fingerprint(target: Path) -> dict[str, str]:
    """Hashes of the first 2^20 words and normal numbers of key 1: other sources with these hashes need no new test."""
    return {
        what: hashlib.sha256(
            subprocess.run([str(target), what, "1", str(2**20)], stdout=subprocess.PIPE, check=True).stdout
        ).hexdigest()
        for what in ("words", "numbers")
    }


def two_sided(score: float) -> float:
    return short(2 * stats.norm.sf(abs(score)))


def poisson(count: float, mean: float) -> float:
    """Two-sided exact p-value of a count."""
    return short(min(1.0, 2 * min(stats.poisson.cdf(count, mean), stats.poisson.sf(count - 1, mean))))


def chi_square(counts: list[float], expected: np.ndarray) -> float:
    x = ((np.array(counts) - expected) ** 2 / expected).sum()
    return short(stats.chi2.sf(x, len(counts) - 1))


def short(value: float) -> float:
    return float(f"{value:.6g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--source", type=Path, default=SOURCE, help="the kernels' source")
    parser.add_argument("--work", type=Path, default=HERE / "build", help="folder of the program and the raw outputs")
    parser.add_argument("--out", type=Path, default=HERE / "result.json")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    os.nice(19)
    target = build(given.source, given.work)
    prints = fingerprint(target)
    on_words, on_numbers = (copied(target, given.work / f"{what}-{prints[what][:12]}") for what in prints)
    names = subprocess.run([str(target), "names"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()

    result: dict[str, Any] = {"fingerprint": prints}
    if given.out.exists() and (old := json.loads(given.out.read_text(encoding="utf-8")))["fingerprint"] == prints:
        result = old  # the parts that are not asked for now stay
    for part in PARTS:
        if part not in given.parts:
            continue
        if part == "control":
            result[part] = control(given.source, on_words.parent)
        elif part == "smallcrush":
            result[part] = batteries(on_words, part, [(stream, key) for key in KEYS for stream in names])
        elif part == "normals":
            result[part] = {
                "one_call": normals(on_numbers, KEYS[0], False, NUMBERS),
                "another_call": normals(on_numbers, KEYS[1], False, NUMBERS),
                "neighbouring_keys": normals(on_numbers, KEYS[1], True, NUMBERS),
                "one_call_again": normals(on_numbers, 11, False, 4 * NUMBERS),
                "neighbouring_keys_again": normals(on_numbers, 3141592653589793238, True, 4 * NUMBERS),
            }
        elif part == "long":
            result[part] = long_run(on_numbers, 3)
        elif part == "seeding":
            result[part] = seeding(on_words, KEYS[0])
        else:
            result[part] = batteries(on_words, part, [(stream, KEYS[0]) for stream in CRUSHED])
        write(given.out, result)
    print(given.out)


def write(path: Path, result: dict[str, Any]) -> None:
    text = json.dumps(result, indent=2)
    text = re.sub(r"\[([^\[\]{}]*)\]", lambda found: "[" + " ".join(found[1].split()) + "]", text)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
