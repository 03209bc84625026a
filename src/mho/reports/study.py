"""What people see of a study: figures, tables and a summary with its claims, drawn from stored rows alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mho.errors import BadInput
from mho.measure import DriftResult
from mho.reports.lines import draw
from mho.store.files import write_text
from mho.studies import Claim, Finding, Results, Study
from mho.studies.outcome import NotStored
from mho.studies.runner import results

T = TypeVar("T")

_SMOKE = "**Smoke scale**: another network, hardly any chips. It shows that everything runs, and decides nothing."


def write_study(study: Study, out: Path) -> Iterator[Path]:
    """Draw ``figures/*.svg``, ``table.md``, ``claims.json`` and ``summary.md`` in the study's folder.

    Figures and tables that need an arm which is not stored yet are left out.

    Yields:
        Each file.

    Raises:
        BadResults: Nothing is stored there, or another study.
        BadInput: The folder cannot be written.
    """
    stored = results(study, out)
    figures, tables = _drawable(study.figures, stored), _drawable(study.tables, stored)
    texts = {f"figures/{figure.name}.svg": draw(figure) for figure in figures}
    judged = [(claim, claim.judge(stored)) for claim in study.claims]
    texts["claims.json"] = json.dumps([_plain(*each) for each in judged], indent=1, ensure_ascii=False) + "\n"
    texts["table.md"] = "\n".join(table.markdown() for table in tables)
    texts["summary.md"] = "\n\n".join([
        f"# {study.title}", f"**Question.** {study.question}", f"**Protocol.** {study.protocol}",
        *([f"**After** {'; '.join(study.sources)}."] if study.sources else []),
        *([_SMOKE] if stored.scale == "smoke" else []), *_unfinished(study, stored), *_verdicts(judged, stored),
        *(f"![{figure.title}](figures/{figure.name}.svg)" for figure in figures), "All numbers: [table.md](table.md).",
    ]) + "\n"  # fmt: skip
    try:
        for name, text in texts.items():
            (out / name).parent.mkdir(exist_ok=True)
            write_text(out / name, text)
            yield out / name
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another --out", path=str(out)) from error


def _drawable(make: Callable[[Results[Any, Any]], list[T]], stored: Results[Any, Any]) -> list[T]:
    try:
        return make(stored)
    except NotStored:
        return []


def _unfinished(study: Study, stored: Results[Any, Any]) -> list[str]:
    """Arms that nothing here is drawn of, and the command that finishes them."""
    if not stored.unfinished:
        return []
    named = ", ".join(f"{name} ({chips})" for name, chips in stored.unfinished.items())
    command = f"mho study run {study.name} --scale {stored.scale}"
    return [
        f"**Not finished**, and left out here: {named}. `{command}` with the same `--out` finishes what is missing."
    ]


Judged = tuple[Claim, Finding]


def _plain(claim: Claim, found: Finding) -> dict[str, str]:
    """A claim with its finding, for indexes."""
    return {
        "sentence": claim.sentence, "source": claim.source, "published": claim.published, "verdict": found.verdict,
        "evidence": found.evidence,
    }  # fmt: skip


def _verdicts(judged: list[Judged], stored: Results[Any, Any]) -> list[str]:
    """The claims, each with its verdict."""
    if not judged:
        return []
    told = "\n".join(f"{i}. {_told(*each)}" for i, each in enumerate(judged, 1))
    return [
        "## Claims, and what the rows say",
        f"Gains are in percentage points{_unless(stored)}, intervals those of the protocol.",
        told,
    ]


def _unless(stored: Results[Any, Any]) -> str:
    """Some scores are no shares: their gains are printed with a unit."""
    runs = (run for outcome in stored.values() for run in outcome.runs.values() if isinstance(run, DriftResult))
    units = dict.fromkeys(run.score.differs.strip() or run.score.label for run in runs if not run.score.share)
    return f" where they do not say {' or '.join(units)}" if units else ""


def _told(claim: Claim, found: Finding) -> str:
    published = f"; published: {claim.published}" if claim.published else ""
    source = f" ({claim.source}{published})" if claim.source else ""
    return f"{claim.sentence}{source}. **{found.verdict.capitalize()}**: {found.evidence}."
