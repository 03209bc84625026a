"""Files that are whole or not there, also behind links, and never in the place of something else."""

from __future__ import annotations

import os
import stat

import pytest

from mho.errors import BadInput
from mho.store.files import replaced, writable_file, write_text


def test_a_link_stays_and_its_file_changes(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink() and real.read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.txt", "real.txt"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_replaced(tmp_path, make):
    path = tmp_path / "there"
    make(path)
    kind = stat.S_IFMT(path.stat().st_mode)
    with pytest.raises(OSError, match="no regular file|a folder"), replaced(path) as part:
        part.write_text("x")
    with pytest.raises(BadInput, match="--out the path of a file"):
        writable_file(path, "--out")
    assert stat.S_IFMT(path.stat().st_mode) == kind and len(list(tmp_path.iterdir())) == 1


def test_files_of_libraries_have_the_usual_rights(tmp_path):
    usual = tmp_path / "usual"
    usual.touch()
    with replaced(tmp_path / "file") as part:
        part.unlink()
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
    assert (tmp_path / "file").stat().st_mode == usual.stat().st_mode


def test_a_full_disk_is_one_whoever_says_so(tmp_path):
    class OfALibrary(Exception):
        pass

    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(OSError, match="No space left"), replaced(file) as part:
        part.write_text("half")
        raise OfALibrary("I/O error: No space left on device (os error 28)")
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]
