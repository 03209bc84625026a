"""`mho weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def weights(
    file: Annotated[Path, typer.Argument(help="Of torch.save(analog_model.state_dict(), FILE) in AIHWKit.")],
    model: Annotated[
        str, typer.Option("--model", help="The digital network: package.module:factory, or a name of mho.models.")
    ],
    out: Annotated[Path, typer.Option("--out", help="A .safetensors file, for --weights.")] = Path(
        "weights.safetensors"
    ),
) -> None:
    """A checkpoint of AIHWKit as the weights of the digital network; no code of the file is run."""
    from safetensors.torch import save_file

    from mho.cli.terminal import Console
    from mho.exchange import import_weights
    from mho.models import resolve
    from mho.store.files import replaced, writable_file

    path = writable_file(out, "--out")
    found = import_weights(file, resolve(model))
    with replaced(path) as part:
        save_file({name: value.contiguous() for name, value in found.items()}, part)
    Console().print(f"{len(found)} tensors: {path}", markup=False, highlight=False, soft_wrap=True)
