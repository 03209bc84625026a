"""`mho info`."""

from __future__ import annotations

import platform


def info() -> None:
    """Versions, threads, and which kernels run, from where or why."""
    import torch

    from mho import __version__
    from mho.cli.terminal import Console
    from mho.hardware import CELLS, COMPENSATIONS, ENCODINGS, Hardware
    from mho.kernels import active, origin

    console = Console()
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
        console.print(f"{key:15}{value}", markup=False, highlight=False, soft_wrap=True)
