"""`mho info`."""

from __future__ import annotations

import platform


def info() -> None:
    """Versions, threads, and which kernels run."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from mho import __version__
    from mho.hardware import CELLS, COMPENSATIONS, ENCODINGS, Hardware
    from mho.kernels import active

    table = Table(show_header=False, box=None)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    for key, value in (
        ("mho", __version__),
        ("python", platform.python_version()),
        ("torch", f"{torch.__version__}, {torch.get_num_threads()} threads, GPU: {gpu}"),
        ("kernels", active()),
        ("presets", ", ".join(Hardware.presets())),
        ("cells", ", ".join(CELLS.names())),
        ("encodings", ", ".join(ENCODINGS.names())),
        ("compensation", ", ".join(COMPENSATIONS.names())),
    ):
        table.add_row(key, value)
    Console().print(table)
