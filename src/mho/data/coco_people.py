"""Visual Wake Words out of COCO: which images show a person, by the paper's rule, and which are for training."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mho.arguments import number, one_of
from mho.errors import BadInput, WrongSetting
from mho.progress import Progress, telling
from mho.store.digest import digest_of_plain
from mho.store.files import replaced, write_text

AREAS = ("box", "segmentation")
SPLITS = ("train", "val")
LEAST = 0.005
MINIVAL = 8059
"""Images of COCO 2014's minival, on which the paper evaluates."""
TRAIN = 82_783 + 40_504 - MINIVAL
"""The rest of COCO 2014's training and validation images."""
_PARTS, _NOTE = "parts", "vww.json"
Row = tuple[int, str, int]
"""Number of the image in COCO, its file below the folder of COCO, 1 for a person."""


@dataclass(frozen=True)
class Built:
    """A split that was built.

    Attributes:
        split: "train" or "val".
        images: Their number.
        people: How many of them show a person.
        published: Their number as published; None where it is not known for these images.
    """

    split: str
    images: int
    people: int
    published: int | None

    def __str__(self) -> str:
        known = "the published number is not known"
        if self.published is not None:
            known = "as published" if self.published == self.images else f"{self.published:,} are published"
        return f"{self.split}: {self.images:,} images ({known}), {self.people / self.images:.1%} with a person"


def build(
    coco: str | Path, out: str | Path, *, area: str = "box", least: float = LEAST, minival: str | Path | None = None,
    progress: Progress = None,
) -> list[Built]:  # fmt: skip
    """Write the lists of the splits; what has been read of an earlier call with the same settings is not read again.

    An image shows a person if any person's area is above `least` of the image's.

    Args:
        coco: Folder with ``annotations/instances_train*.json`` and ``instances_val*.json`` of one year, and their images in
            ``train2014`` and so on, or below ``images``.
        out: Folder of the lists.
        area: "box": width × height of the annotated box, the paper's rule; "segmentation": the annotation's own `area`, as
            the package pyvww has it.
        least: Share of the image.
        minival: File with the numbers of the images of the validation split, one a line, as COCO's minival; all others are for
            training. Without it the splits are COCO's own.
        progress: Told of the files.

    Raises:
        WrongSetting: An unknown area, a share outside [0, 1).
        BadInput: Annotations or images that are missing or damaged.
    """
    one_of(area, "area", AREAS)
    if not 0 <= number(least, "least", "give a share of the image, such as 0.005") < 1:
        raise WrongSetting(f"least = {least}", "give a share of the image, such as 0.005", path="least")
    root, folder = Path(coco).expanduser().resolve(), Path(out)
    ids = None if minival is None else _numbers(Path(minival))
    try:
        (folder / _PARTS).mkdir(parents=True, exist_ok=True)
        with telling(progress, "vww", "files") as told:
            files = _annotations(root)
            rows: dict[str, list[Row]] = {}
            for i, (split, file) in enumerate(files.items()):
                told(i, len(files), known=file.name)
                rows[split] = _part(root, file, folder / _PARTS, area, least)
        if ids is not None:
            everything = [row for split in SPLITS for row in rows[split]]
            if lacking := ids - {row[0] for row in everything}:
                raise BadInput(f"{len(lacking)} of its images are not annotated here", "give the file of this year's COCO",
                               path=str(minival))  # fmt: skip
            rows = {"train": [r for r in everything if r[0] not in ids], "val": [r for r in everything if r[0] in ids]}
        for split in SPLITS:
            if not rows[split]:
                raise BadInput(f"no image is left for {split}", "give another minival", path=str(minival))
            _write(folder / f"{split}.csv", rows[split])
        note = {"coco": str(root), "area": area, "least": least, "minival": ids is not None}
        with replaced(folder / _NOTE) as part:
            write_text(part, json.dumps(note, indent=1) + "\n")
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another folder", path=str(folder)) from error
    known = {"train": TRAIN, "val": MINIVAL} if ids is not None and "2014" in files["val"].name else {}
    return [Built(s, len(rows[s]), sum(row[2] for row in rows[s]), known.get(s)) for s in SPLITS]


def _annotations(root: Path) -> dict[str, Path]:
    found = {}
    for split in SPLITS:
        files = sorted((root / "annotations").glob(f"instances_{split}*.json"))
        if len(files) != 1:
            what = ", ".join(file.name for file in files) or "none"
            raise BadInput(f"there should be one file instances_{split}*.json: {what}",
                           "unpack COCO's annotations of one year there", path=str(root / "annotations"))  # fmt: skip
        found[split] = files[0]
    years = {split: re.sub(rf"instances_{split}", "", file.stem) for split, file in found.items()}
    if len(set(years.values())) > 1:
        raise BadInput(
            f"annotations of different years: {years}", "keep those of one year", path=str(root / "annotations")
        )
    return found


def _numbers(file: Path) -> set[int]:
    try:
        return {int(line) for line in file.read_text(encoding="utf8").split()}
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"no numbers of images, one a line ({error})", "give COCO's list", path=str(file)) from error


def _part(root: Path, file: Path, folder: Path, area: str, least: float) -> list[Row]:
    """Rows of one file of annotations; kept in `folder`, since reading one takes a minute."""
    seen = file.stat()
    kept = folder / f"{file.stem}-{digest_of_plain([area, least, seen.st_size, seen.st_mtime])}.csv"
    if kept.exists():
        return _read(kept)
    rows = _labelled(root, file, area, least)
    _write(kept, rows)
    return rows


def _labelled(root: Path, file: Path, area: str, least: float) -> list[Row]:
    try:
        held = json.loads(file.read_text(encoding="utf8"))
        person = {each["id"] for each in held["categories"] if each["name"] == "person"}
        sizes = {each["id"]: each["width"] * each["height"] for each in held["images"]}
        shown = {
            each["image_id"] for each in held["annotations"]
            if each["category_id"] in person and _area(each, area) > least * sizes[each["image_id"]]
        }  # fmt: skip
        folder = _images(root, file.stem.removeprefix("instances_"))
        rows = [(int(each["id"]), f"{folder}/{each['file_name']}", int(each["id"] in shown)) for each in held["images"]]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BadInput(
            f"not annotations of COCO ({type(error).__name__}: {error})", "unpack it again", path=str(file)
        ) from error
    if not person or not rows:
        raise BadInput("knows no person, or no image", "give COCO's instances, not its captions", path=str(file))
    there = {path.name for path in (root / folder).iterdir()}
    missing = [name for _, name, _ in rows if Path(name).name not in there]
    if missing:
        raise BadInput(f"{len(missing)} of {len(rows)} images are missing, {Path(missing[0]).name} the first",
                       "unpack all of COCO's images; then the same command goes on", path=str(root / folder))  # fmt: skip
    return sorted(rows)


def _area(annotation: dict[str, Any], area: str) -> float:
    return float(annotation["bbox"][2] * annotation["bbox"][3] if area == "box" else annotation["area"])


def _images(root: Path, name: str) -> str:
    for place in (name, f"images/{name}"):
        if (root / place).is_dir():
            return place
    raise BadInput(f"there is no folder '{name}' of images", f"unpack {name}.zip there", path=str(root))


def _write(file: Path, rows: Iterable[Row]) -> None:
    with replaced(file) as part, part.open("w", newline="", encoding="utf8") as lines:
        csv.writer(lines).writerows(rows)


def _read(file: Path) -> list[Row]:
    try:
        with file.open(newline="", encoding="utf8") as lines:
            return [(int(image), name, int(label)) for image, name, label in csv.reader(lines)]
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"is no list of images ({error})", "remove it, and build again", path=str(file)) from error


def listed(folder: Path, split: str) -> tuple[Path, list[Row]]:
    """The folder of COCO, and the rows of a split that `build` wrote.

    Raises:
        BadInput: They are damaged.
    """
    note = folder / _NOTE
    try:
        coco = Path(json.loads(note.read_text(encoding="utf8"))["coco"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"cannot be read ({error})", "build it again: mho data vww --coco DIR", path=str(note)
        ) from error
    return coco, _read(folder / f"{split}.csv")
