"""Trained weights through the database: for a ledger by URL, whose workers may be on machines without a common folder."""

from __future__ import annotations

from mho.sweeps.ledger import Job, Ledger
from mho.sweeps.piece import path_of, write_file


def bring(job: Job, ledger: Ledger) -> None:
    """Put the weights that a job reads into the folder, where another machine's worker has left them in the database."""
    for key in ledger.needs(job) if ledger.base.far else ():
        path = path_of(ledger.folder, key)
        if not path.exists() and (content := ledger.piece(key)) is not None:
            write_file(path, content)


def share(job: Job, ledger: Ledger) -> None:
    """Give the database the weights that a training has left, before it counts as done."""
    path = path_of(ledger.folder, job.name)
    if ledger.base.far and job.kind != "trial" and path.exists():
        ledger.keep_piece(job.name, path.read_bytes())
