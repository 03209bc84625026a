"""What the tests of pages share: results that cost nothing, and a strict reader of HTML."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mho.advice.plan import Costs
from mho.advice.result import AS_IT_IS, Advice, Tried
from mho.measure import DataInfo, DriftResult, Measurement, RunHeader
from mho.statistics.intervals import Interval
from mho.store import RunStore

AGES = (0.0, 60.0, 3600.0, 86400.0, 2592000.0)
VOID = {"meta", "link", "br", "hr", "img", "input"}


def _result(
    chips: int = 6,
    classes: tuple[str, ...] = ("cat", "dog", "<b>$x_1$", "猫"),
    model: str = "net",
    ages: tuple[float, ...] = AGES,
    *,
    lost: float = 0.0,
    seed: int = 0,
    digest: str = "d",
    hardware: dict | None = None,
    first: int = 0,
    samples: int = 400,
    command: str = "mho drift net --out 'a & b'",
) -> DriftResult:
    rng, n, k = np.random.default_rng(seed), samples, max(len(classes), 2)
    labels = rng.integers(k, size=n)

    def measure(chip: int, age_s: float, less: float) -> Measurement:
        correct = rng.random(n) < 0.9 - less
        predicted = np.where(correct, labels, 0)
        counts = [tuple(np.bincount(x, minlength=k)) for x in (predicted, labels[correct])] if classes else [(), ()]
        return Measurement(chip, age_s, n, correct, 0.3 + less, *counts)

    placement = (
        {"path": "conv1", "placed": "digital", "reason": "first & <last>", "shape": (27, 16), "macs": 1000,
         "mac_share": 0.1, "arrays": 0},
        {"path": "conv2", "placed": "analog", "reason": "", "shape": (144, 16), "macs": 9000,
         "mac_share": 0.9, "arrays": 2, "utilisation": 0.4},
        {"path": "conv2", "weight": "bias", "placed": "digital", "reason": "an addition", "shape": (16,), "macs": 0,
         "mac_share": 0.0, "arrays": 0},
    )  # fmt: skip
    header = RunHeader(
        model, DataInfo("toy", n, digest, classes, tuple(np.bincount(labels, minlength=k)) if classes else ()),
        hardware or {"name": "pcm", "array": {"rows": 512}}, "h", seed, ages,
        definitions=("read noise: σ = 1 µS",), max_chips=9,
        placement=placement, versions={"mho": "0"}, command=command,
    )  # fmt: skip
    digital = measure(-1, 0.0, 0.0)
    numbers = range(first, first + chips)
    rows = [measure(c, t, lost + 0.02 * i * (1 + c / 6)) for c in numbers for i, t in enumerate(ages)]
    return DriftResult(header, digital, rows)


@pytest.fixture(scope="session")
def result_of() -> Callable[..., DriftResult]:
    """Makes a result out of nothing."""
    return _result


@pytest.fixture(scope="session")
def stored() -> Callable[..., str]:
    """Stores a result in a directory, as `drift` does."""

    def store(result: DriftResult, directory: object) -> str:
        kept = RunStore(str(directory))
        kept.create_or_resume(result.header, result.digital)
        for chip in result.chips:
            kept.append(chip, [m for m in result.measurements if m.chip == chip])
        return str(directory)

    return store


def _advice(name: str = "norm recalibration") -> Advice:
    """Two confirmed variants, one screened, one that does not apply."""
    base, better = _result(lost=0.1, chips=4), _result(lost=0.01, chips=4)
    floor = base.digital_score - 0.01
    tried = [
        Tried(name, (name,), 1, "confirmed", "", better, Interval(0.09, 0.05, 0.13), floor,
              code=f"# {name}", costs=Costs(images=9)),
        Tried(f"{name} + more", (name, "more"), 1, "screened", "", better, Interval(0.08, -9.0, 9.1), floor),
        Tried("other", ("other",), 1, "does not apply", name),
    ]  # fmt: skip
    baseline = Tried(AS_IT_IS, (), 0, "confirmed", "", base, None, floor)
    ages = base.ages_s
    return Advice(
        f"net on {name}", 0.01, ages, (0.9, base.digital_score), (100, 400), (3, 4), 0.95, baseline, tuple(tried), (name,),
        f"mho advise {shlex.quote(name)} --data 'cifar10?prep=imagenet&n=4000' --budget 1%",
    )  # fmt: skip


@pytest.fixture(scope="session")
def advice_of() -> Callable[..., Advice]:
    """Makes an advice out of nothing."""
    return _advice


class Page(HTMLParser):
    """Checks that tags nest, and keeps text, tags, ids, links, and what runs."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.stack, self.text, self.tags, self.ids, self.links, self.handlers, self.scripts = [], "", [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            self.scripts.append(data)
        elif not self.stack or self.stack[-1] != "style":
            self.text += data

    @property
    def words(self) -> str:
        """What people read, with ordinary spaces."""
        return " ".join(self.text.replace("\u00a0", " ").split())


@pytest.fixture(scope="session")
def read() -> Callable[[object], Page]:
    """Reads a file as a page."""
    return lambda path: Page(Path(str(path)).read_text(encoding="utf-8"))
