"""The claims of every study in one table, from what `write_study` left in the folder of each."""

from __future__ import annotations

import json
from pathlib import Path

from mho.errors import BadInput, BadResults
from mho.store.files import write_text
from mho.studies import STUDIES, Table

BEGIN, END = "<!-- claims: mho study index -->", "<!-- end of claims -->"


def claims(folder: Path) -> Table:
    """A row for each claim of each study, in the order of `mho study list`; open where a study is not stored in the folder.

    Args:
        folder: With a folder for each study.

    Raises:
        BadResults: A ``claims.json`` is damaged.
    """
    rows = []
    for name in STUDIES.names():
        file = folder / name / "claims.json"
        if file.is_file():
            rows += [(f"[{name}]({name}/summary.md)", *cells) for cells in _stored(file)]
        else:
            found = STUDIES.find(name).claims
            rows += [(name, claim.sentence, claim.source or "this study", "open", "not stored yet") for claim in found]
    return Table(("study", "claim", "whose", "verdict", "what the rows say"), rows)


def _stored(file: Path) -> list[tuple[str, ...]]:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        return [
            (one["sentence"], _whose(one), f"**{one['verdict']}**", one["evidence"].replace("|", "\\|")) for one in held
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadResults(
            f"no list of claims: {error!r}", "draw the study again: mho study draw", path=str(file)
        ) from error


def _whose(one: dict[str, str]) -> str:
    source = one["source"] or "this study"
    return f"{source}; published: {one['published']}" if one["published"] else source


def write_index(folder: Path) -> Path:
    """Put the table of `claims` between its two marks in the folder's ``README.md``.

    Returns:
        The file.

    Raises:
        BadInput: There is no such file, or it lacks the marks.
        BadResults: A ``claims.json`` is damaged.
    """
    file = folder / "README.md"
    if not file.is_file():
        raise BadInput("there is no README.md", f"make one with the lines '{BEGIN}' and '{END}'", path=str(folder))
    before, begin, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BadInput("the marks of the table are missing", f"put in the lines '{BEGIN}' and '{END}'", path=str(file))
    write_text(file, f"{before}{BEGIN}\n\n{claims(folder).markdown()}\n{END}{after}")
    return file
