"""Images of one's own: a folder of images for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mho._optional import require
from mho.arguments import one_of
from mho.data.dataset import Dataset, check_count
from mho.data.preparation import GREY, IMAGES
from mho.errors import BadInput, WrongSetting
from mho.rng import Stream

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of the files that are read: those that torchvision's `ImageFolder` reads."""
_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}


def image_folder(
    folder: Path, *, split: str | None = None, prep: str = "unit", size: int | None = None, resize: int | None = None,
    grey: bool = False, n: int | None = None, batch: int = 250,
) -> Dataset:  # fmt: skip
    """Images (N, 3 or 1, H, W) in a fixed random order, so that the first n are of all classes.

    Args:
        folder: Has a folder for each class, or one for each split that has these. Classes are numbered by name.
        split: The split's folder.
        prep: Name of a preparation of `mho.data.preparation.IMAGES` (or `GREY`); "unit" scales bytes to 0 … 1.
        size: Side of the square that is cut out of the middle; without it, all images must have one size.
        resize: What the shorter side is scaled to before; `size` by default.
        grey: One channel instead of three.
        n: Only so many; no others are read.
        batch: Samples in a batch.

    Raises:
        WrongSetting: A value outside its range.
        BadInput: No images there, one that is damaged, or images of different sizes.
    """
    preparations = GREY if grey else IMAGES
    one_of(prep, "prep", preparations, of=str(folder))
    for option, value in (("size", size), ("resize", resize)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise WrongSetting(f"{option} is {value!r}", "give a number of pixels", path=f"{folder}: {option}")
    if size is not None and resize is not None and resize < size:
        raise WrongSetting(f"size={size} of resize={resize} pixels", "cut out no more than there is", path=str(folder))
    files, labels, classes = _listed(folder, split)
    wanted = len(files) if n is None else n
    check_count(wanted, len(files), name=str(folder))
    order = torch.argsort(Stream(("image folder",)).uniform("order", (len(files),)), stable=True)[:wanted].tolist()
    image = require("PIL.Image", extra="vision", for_what=f"the images in '{folder}'")
    pixels: list[Tensor] = []
    for i in order:
        pixels.append(read_image(image, files[i], size, resize, grey))
        if pixels[-1].shape != pixels[0].shape:
            (h, w), (h0, w0) = pixels[-1].shape[-2:], pixels[0].shape[-2:]
            raise BadInput(
                f"is {w} × {h} pixels, others {w0} × {h0}", "give all one size: ?size=224", path=str(files[i])
            )
    name = "/".join(part for part in (folder.name or str(folder), split) if part)
    return Dataset(name, preparations[prep](torch.stack(pixels)), torch.tensor(labels)[order], classes, batch)


def _listed(folder: Path, split: str | None) -> tuple[list[Path], list[int], tuple[str, ...]]:
    inside = _folders(folder)
    if split is not None:
        one_of(split, "split", [path.name for path in inside], of=str(folder))
        folder = folder / split
        inside = _folders(folder)
    elif inside and all(path.name.lower() in _SPLITS for path in inside):
        names = [path.name for path in inside]
        raise BadInput(f"has the splits {', '.join(names)}", f"say which: {folder}?split={names[0]}", path=str(folder))
    files: list[Path] = []
    labels: list[int] = []
    for number, place in enumerate(inside):
        found = sorted(p for p in place.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith("."))
        if not found:
            raise BadInput("has no image", f"remove it, or put {', '.join(ENDINGS)} files there", path=str(place))
        files += found
        labels += [number] * len(found)
    if not files:
        raise BadInput("has no folder of images", "make one folder a class", path=str(folder))
    return files, labels, tuple(place.name for place in inside)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_image(image: Any, file: Path, size: int | None, resize: int | None, grey: bool) -> Tensor:
    """(channels, H, W) bytes, scaled and cut as torchvision's `Resize` and `CenterCrop` do it.

    Args:
        image: The module PIL.Image.
        file: The file.
        size: Side of the square that is cut out; None: the whole image as it is.
        resize: What the shorter side is scaled to before; None: `size`.
        grey: One channel.

    Raises:
        BadInput: It is no image.
    """
    try:
        with image.open(file) as opened:
            picture = opened.convert("L" if grey else "RGB")
    except (OSError, SyntaxError, ValueError, image.DecompressionBombError) as error:
        raise BadInput(f"is no image ({error})", "remove it, or mend it", path=str(file)) from error
    if size is not None:
        width, height = picture.size
        short = resize or size
        scaled = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
        picture = picture.resize(scaled, image.Resampling.BILINEAR)
        left, top = round((scaled[0] - size) / 2), round((scaled[1] - size) / 2)
        picture = picture.crop((left, top, left + size, top + size))
    pixels = torch.from_numpy(np.array(picture))
    return pixels[None] if grey else pixels.permute(2, 0, 1)
