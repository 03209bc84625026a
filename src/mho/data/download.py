"""One file from the network: what a broken attempt left is gone on with, and nothing counts before its checksum does."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from mho.data.known import Remote
from mho.errors import BadInput
from mho.progress import Meter, Progress, telling

PARTIAL = ".part"
"""Ending of a file that is not whole yet."""
TIMEOUT_S = (15.0, 60.0)
"""To connect, and between two pieces."""
PAUSE_S = 1.0
"""Before going on at an address whose connection broke."""
_PIECE = 1 << 17


class _Refused(Exception):
    """No further attempt at this address is worth it; its argument says why."""


def download(remote: Remote, folder: Path, *, progress: Progress = None) -> Path:
    """Get a file into a folder, unless it is there with the right checksum.

    What came is kept in ``NAME.part`` until all of it is there, and the server is asked for the rest alone, where it can do
    that. Then pooch compares the checksum and puts the file in place at once. A part that another download began may be of
    another version of the file: with a wrong checksum at the end, all of it is fetched once more.

    Args:
        remote: The file.
        folder: Where it goes.
        progress: True for a bar, or told as megabytes arrive (`mho.progress.Step`).

    Returns:
        The file.

    Raises:
        BadInput: No address gave the file, what came has another checksum, or the folder cannot be written.
    """
    file, part = folder / remote.name, folder / f"{remote.name}{PARTIAL}"
    problems = []
    try:
        if file.is_file() and has_checksum(file, remote.checksum):
            return file
        for address in remote.addresses:
            begun = part.is_file()
            for _ in range(2 if begun else 1):
                try:
                    with telling(progress, f"fetch {remote.name}", "MB") as told:
                        _transfer(address, part, told)
                except _Refused as error:
                    problems.append(f"{address}: {error}")
                    break
                if _in_place(remote, address, part, folder):
                    return file
            else:
                problems.append(f"{address}: what came has another checksum than {remote.checksum}, and was deleted")
    except OSError as error:
        raise BadInput(
            f"cannot be written ({error})",
            "make room, or set MHO_DATA to a folder that can be written",
            path=str(folder),
        ) from error
    kept = (
        f"; {part.stat().st_size / 1e6:.1f} MB are kept, the same command goes on from there" if part.is_file() else ""
    )
    raise BadInput(
        f"'{remote.name}' could not be fetched: {'; '.join(problems)}",
        f"try again{kept}; or get the file in another way and put it into {folder}",
    )


def has_checksum(file: Path, checksum: str) -> bool:
    """Whether a file's content has the checksum ``algorithm:digits``."""
    import pooch

    algorithm, _, digits = checksum.partition(":")
    return bool(pooch.file_hash(str(file), alg=algorithm) == digits)


def _in_place(remote: Remote, address: str, part: Path, folder: Path) -> bool:
    """Give the part its name, if it has the checksum; else it is gone."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # What it would say, `progress` and the errors say.
    try:
        pooch.retrieve(address, remote.checksum, remote.name, folder, downloader=lambda url, to, _: part.replace(to))
    except ValueError:  # pooch's word for another checksum
        return False
    finally:
        logger.setLevel(level)
    return True


def _transfer(address: str, part: Path, told: Meter) -> None:
    """Fill the part; a connection that breaks is taken up again as long as each attempt brings something."""
    import requests
    import urllib3

    furthest = -1
    while True:
        try:
            _go_on(address, part, told)
            return
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            here = part.stat().st_size if part.is_file() else 0
            if here <= max(furthest, 0):
                raise _Refused(f"the connection failed ({_innermost(error)})") from error
            furthest = here
            time.sleep(PAUSE_S)
        except requests.RequestException as error:
            raise _Refused(_innermost(error)) from error


def _go_on(address: str, part: Path, told: Meter) -> None:
    """Ask for what is missing, and add it."""
    import requests

    here = part.stat().st_size if part.is_file() else 0
    # Bytes as they are stored: a server that compresses on the way would count others.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={here}-"} if here else {})}
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        known = answer.headers.get("Content-Range", "")
        if answer.status_code == 416 and known == f"bytes */{here}":
            return  # It was whole already.
        continued = answer.status_code == 206 and known.startswith(f"bytes {here}-")
        if here and not continued and answer.status_code in (206, 416):
            part.unlink()  # It does not fit what the server has: from the beginning.
            _go_on(address, part, told)
            return
        if answer.status_code not in (200, 206):
            raise _Refused(f"the server answers {answer.status_code} {answer.reason}")
        here = here if continued else 0
        length = answer.headers.get("Content-Length", "")
        total = here + int(length) if length.isdigit() else None
        with part.open("ab" if continued else "wb") as stream:
            for piece in answer.raw.stream(_PIECE, decode_content=False):
                here += stream.write(piece)
                told(here / 1e6, None if total is None else total / 1e6)


def _innermost(error: BaseException) -> str:
    """The reason alone: requests wraps it in the words of three libraries."""
    while True:
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        if not isinstance(inner, BaseException):
            return str(error)
        error = inner
