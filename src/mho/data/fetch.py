"""`fetch`: a data set or published weights into the user's folder."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

from mho.data.download import download, has_checksum
from mho.data.known import Known, known
from mho.data.root import folder
from mho.errors import BadInput, UseInstead
from mho.progress import Progress, check_progress


def fetch(name: str, *, progress: Progress = None) -> Path:
    """Download what is missing of a data set or of published weights, check it, and unpack it.

    Args:
        name: A name of `mho.data.known.KNOWN`, such as "cifar10" or "cifar10_resnet20".
        progress: True for a bar, or told as megabytes of a file arrive (`mho.progress.Step`).

    Returns:
        The folder that it lies in, below `data_root`.

    Raises:
        WrongSetting: Nothing is known of this name.
        UseInstead: It cannot be fetched; the message says what to put where.
        BadInput: No server gave it, what came has another checksum, or the folder cannot be written.
    """
    check_progress(progress)
    one = known(name)
    if not one.files:
        raise UseInstead(f"'{one.name}' cannot be fetched (from: {one.page})", f"{one.otherwise}, in {folder()}")
    place = folder() / one.folder
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"cannot be made ({error})", "set MHO_DATA to a folder that can be written", path=str(place)
        ) from error
    if one.inside and not wrong_inside(one, place):
        return place
    for remote in one.files:
        file = download(remote, place, progress=progress)
        if one.inside:
            _unpack(file, place)
            if wrong := wrong_inside(one, place):
                raise BadInput(
                    f"after unpacking, wrong or missing: {', '.join(wrong)}", "fetch it again", path=str(place)
                )
            file.unlink()
    return place


def wrong_inside(one: Known, place: Path) -> list[str]:
    """Unpacked files that are missing or have another checksum."""
    return [
        name
        for name, checksum in one.inside
        if not (place / name).is_file() or not has_checksum(place / name, checksum)
    ]


def _unpack(archive: Path, place: Path) -> None:
    try:
        with tarfile.open(archive) as packed:
            # Releases of Python before 3.10.12 and 3.11.4 have no filters; the checksum has said what the archive is.
            safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            packed.extractall(place, **safe)  # type: ignore[arg-type]
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadInput(f"cannot be unpacked ({error})", "make room, or fetch it again", path=str(archive)) from error
