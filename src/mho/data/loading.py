"""`load`: a data set from a string."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mho.data.animals import animals
from mho.data.cifar10 import cifar10, cifar100
from mho.data.dataset import Dataset
from mho.data.digits import digits
from mho.data.image_folder import image_folder
from mho.data.kws import kws
from mho.data.mnist import fashion_mnist, mnist
from mho.data.npz import npz
from mho.data.tinystories import tinystories, tinystories_self
from mho.data.vww import vww
from mho.data.vww01 import vww01
from mho.errors import BadInput, WrongSetting
from mho.models.spec import Spec, call, find_factory

DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "animals": animals,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "kws": kws,
    "vww": vww,
    "vww01": vww01,
    "tinystories": tinystories,
    "tinystories-self": tinystories_self,
}
"""Data sets by name."""
_FORMS = "give a folder of images, a .npz file, package.module:factory, or one of"


def names() -> tuple[str, ...]:
    """Names that `load` takes."""
    return tuple(DATASETS)


def load(spec: str | Path) -> Dataset:
    """The data set that a string names.

    Args:
        spec: A name of `names`; the path of a folder with a folder of images for each class (`image_folder`) or of a .npz
            file (`npz`); or ``package.module:factory``, which returns what `Dataset.of` takes. Options follow as in
            ``cifar10?prep=imagenet&n=1000&split=test&batch=250``. A folder in the current one that is called like a data set is
            ``./cifar10``.

    Raises:
        WrongSetting: Nothing is called so, or an option or its value is unknown; the message names the valid
            ones.
        BadInput: A file is missing or damaged; the message says how to get it.

    Example:
        >>> len(load("digits?split=test&n=100").labels)
        100
    """
    target, options = Spec.parse(str(spec))
    path = Path(target).expanduser()
    if target in DATASETS:
        return call(DATASETS[target], options, name=target)  # type: ignore[no-any-return]
    if path.suffix == ".npz" and path.is_file():
        return call(partial(npz, path), options, name=target)  # type: ignore[no-any-return]
    if path.is_dir():
        return call(partial(image_folder, path), options, name=target)  # type: ignore[no-any-return]
    if path.suffix == ".npz" or target.startswith((".", "~", "/")) or target.endswith("/"):
        raise BadInput("there is no such file or folder", f"{_FORMS} {', '.join(DATASETS)}", path=target)
    if ":" not in target:
        raise WrongSetting(f"no data set is called '{target}'", f"{_FORMS} {', '.join(DATASETS)}")
    found = call(find_factory(target), options, name=target)
    try:
        return Dataset.of(found, name=None if isinstance(found, Dataset) else target)
    except BadInput as error:
        raise BadInput(
            f"returned a {type(found).__name__}: {error.problem}",
            f"{error.remedy}, or return a mho.data.Dataset",
            path=target,
        ) from error
