"""Visual Wake Words: is a person there? Read from COCO's images by the lists that `mho data vww` builds."""

from __future__ import annotations

import torch

from mho._optional import require
from mho.arguments import one_of, whole
from mho.data.coco_people import SPLITS, listed
from mho.data.dataset import Dataset, check_count
from mho.data.image_folder import read_image
from mho.data.preparation import IMAGES
from mho.errors import BadInput
from mho.models.root import data_file
from mho.rng import Stream

CLASSES = ("no person", "person")
_BYTES = "bytes"
_BY_HAND = "unpack COCO's images and annotations of one year into a folder: mho data vww --coco FOLDER"


def vww(
    *, split: str = "val", prep: str = "imagenet", size: int = 224, n: int | None = None, batch: int = 32
) -> Dataset:
    """Photographs (N, 3, size, size) in a fixed random order, the middle of each, scaled so that the shorter side is 8/7 of it.

    Args:
        split: ``"val"`` or ``"train"``.
        prep: Name of a preparation; ``"bytes"`` leaves bytes, a quarter of the memory: all of COCO 2014 is 17 GB at 224.
        size: Side.
        n: Only so many; no others are read.
        batch: Samples in a batch.

    Raises:
        BadInput: The lists have not been built, or an image is missing or damaged.
    """
    one_of(split, "split", SPLITS, of="vww")
    one_of(prep, "prep", (*IMAGES, _BYTES), of="vww")
    size = whole(size, "size")
    table = data_file("vww", f"{split}.csv", name="vww", by_hand=_BY_HAND)
    coco, rows = listed(table.parent, split)
    wanted = len(rows) if n is None else n
    check_count(wanted, len(rows), name="vww")
    order = torch.argsort(Stream(("vww",)).uniform("order", (len(rows),)), stable=True)[:wanted].tolist()
    image = require("PIL.Image", extra="vision", for_what="the images of COCO")
    pixels = torch.empty(wanted, 3, size, size, dtype=torch.uint8)
    for place, i in enumerate(order):
        file = coco / rows[i][1]
        if not file.is_file():
            raise BadInput("there is no such image", "unpack COCO again, or build the lists anew", path=str(file))
        pixels[place] = read_image(image, file, size, round(size * 8 / 7), False)
    inputs = pixels if prep == _BYTES else IMAGES[prep](pixels)
    return Dataset(f"vww/{split}", inputs, torch.tensor([rows[i][2] for i in order]), CLASSES, batch)
