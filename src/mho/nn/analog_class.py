"""`analog_class`: the analog version of a module's class, for classes that are nobody's but the user's."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

from mho.nn.layer import AnalogLayer

M = TypeVar("M", bound="OfUsersClass")


class OfUsersClass(AnalogLayer):
    """A layer whose class `analog_class` makes: no module holds that class, so copies and pickles make it again."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _empty, (type(self).__bases__[0], self.digital_class), self.__getstate__()


_made: dict[tuple[type[nn.Module], type[nn.Module]], Any] = {}


def analog_class(mixin: type[M], cls: type[nn.Module]) -> type[M]:
    """The subclass of a mixin and a user's class; the same one each time.

    Args:
        mixin: How it comes to its arrays.
        cls: The module's class.
    """
    if (mixin, cls) not in _made:
        members = {"__module__": mixin.__module__, "__doc__": cls.__doc__}
        _made[mixin, cls] = type(f"Analog{cls.__name__}", (mixin, cls), members)
    return _made[mixin, cls]  # type: ignore[no-any-return]


def _empty(mixin: type[M], cls: type[nn.Module]) -> M:
    analog = analog_class(mixin, cls)
    return analog.__new__(analog)
