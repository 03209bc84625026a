"""Which ranges of the converters lose least: quantiles and least error, by the number of bits, on ideal cells.

Le Gallo et al. 2023 and their notebooks calibrate input ranges at quantiles from 0.95 to 0.99995: too small ranges clip,
too large ones waste codes. Ideal cells keep the programming of chips out of the comparison.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mho
from mho.data import load
from mho.measure import TestData, measure
from mho.models import published

BITS = (8, 6, 5, 4)
RANGES: dict[str, dict[str, Any]] = {
    **{f"quantile {q:g}": {"quantile": q} for q in (0.95, 0.995, 0.9995, 0.99995)},
    "largest": {"quantile": 1.0},
    "3 σ": {"method": "std"},
    "least error": {"method": "error"},
}


def run(out: Path, progress: Callable[[str], None] = lambda _: None) -> None:
    """Measure ResNet-20 on `pcm` with ideal cells, for all numbers of bits (of DAC and ADC) and kinds of ranges.

    Args:
        out: JSON file; what is there is kept.
        progress: Told what is being measured.
    """
    if out.exists():
        return
    model, info = published("cifar10_resnet20")
    test, calibration = TestData.of(load(f"{info.data}&n=2000")), load(f"{info.data}&split=train&n=1000")
    rows = []
    for bits in BITS:
        for name, options in RANGES.items():
            progress(f"{name}, {bits} bits")
            net = mho.to_analog(model, mho.Hardware.preset("pcm", **{"dac.bits": bits, "adc.bits": bits}))
            mho.calibrate(net, calibration, **options)
            found = measure(net, test, chip=-1, age_s=0.0, address=("ranges",))
            rows.append({"bits": bits, "ranges": name, "right": int(found.correct.sum()), "samples": found.samples})
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
