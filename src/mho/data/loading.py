"""`load`: a data set from a string."""

from __future__ import annotations

from collections.abc import Callable

from mho.data.cifar10 import cifar10, cifar100
from mho.data.dataset import Dataset
from mho.data.digits import digits
from mho.data.kws import kws
from mho.data.mnist import fashion_mnist, mnist
from mho.data.tinystories import tinystories, tinystories_self
from mho.errors import BadInput, WrongSetting
from mho.models.spec import Spec, call, find_factory

DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "kws": kws,
    "tinystories": tinystories,
    "tinystories-self": tinystories_self,
}
"""Data sets by name."""


def names() -> tuple[str, ...]:
    """Names that `load` takes."""
    return tuple(DATASETS)


def load(spec: str) -> Dataset:
    """The data set that a string names.

    Args:
        spec: A name of `names` or ``package.module:factory``, with options as in
            ``cifar10?prep=imagenet&n=1000&split=test&batch=250``.

    Raises:
        WrongSetting: Nothing is called so, or an option or its value is unknown; the message names the valid
            ones.
        BadInput: `MHO_DATA` is not set, or a file is missing or damaged.

    Example:
        >>> len(load("digits?split=test&n=100").labels)
        100
    """
    target, options = Spec.parse(spec)
    if ":" in target:
        factory = find_factory(target)
    elif target in DATASETS:
        factory = DATASETS[target]
    else:
        raise WrongSetting(
            f"no data set is called '{target}'",
            f"give package.module:factory, or one of {', '.join(DATASETS)}",
        )
    data = call(factory, options, name=target)
    if not isinstance(data, Dataset):
        raise BadInput(f"returned a {type(data).__name__}", "return a mho.data.Dataset", path=target)
    return data
