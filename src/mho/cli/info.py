"""`mho info`."""

from __future__ import annotations

import platform


def info() -> None:
    """Versions, threads, and which kernels run, from where or why."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from mho import __version__
    from mho.hardware import CELLS, COMPENSATIONS, ENCODINGS, Hardware
    from mho.kernels import active, origin

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")  # a path is shown whole
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    for key, value in (
        ("mho", __version__),
        ("python", platform.python_version()),
        ("torch", f"{torch.__version__}, {torch.get_num_threads()} threads, GPU: {gpu}"),
        ("kernels", active()),
        *((("kernels' file", found),) if (found := origin()) else ()),
        ("presets", ", ".join(Hardware.presets())),
        ("cells", ", ".join(CELLS.names())),
        ("encodings", ", ".join(ENCODINGS.names())),
        ("compensation", ", ".join(COMPENSATIONS.names())),
    ):
        table.add_row(key, value)
    Console().print(table)
