"""The words in which `mho` refuses: what is wrong, where, and the way out.

The class says what a user can do about it: nothing (`NeverPossible`), wait or contribute (`NotYet`), use another
thing that exists (`UseInstead`), or mend what was given (`WrongSetting`, `BadInput`, `BadResults`).
Every message has two parts: what is wrong, with the module's path and the values that were found, and the remedy.
"""

from __future__ import annotations


class MhoError(ValueError):
    """Base of all errors that `mho` raises on purpose.

    Args:
        problem: What is wrong, with the values that were found.
        remedy: What to do about it.
        path: Dotted path of the module, key of the setting, or file concerned.
    """

    def __init__(self, problem: str, remedy: str, *, path: str | None = None) -> None:
        self.problem, self.remedy, self.path = problem, remedy, path
        where = f"{path}: " if path else ""
        super().__init__(f"{where}{problem} -> {remedy}")

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _rebuild, (type(self), self.problem, self.remedy, self.path)


def _rebuild(cls: type[MhoError], problem: str, remedy: str, path: str | None) -> MhoError:
    return cls(problem, remedy, path=path)


class NeverPossible(MhoError):
    """The physics or the mathematics forbids it."""


class NotYet(MhoError):
    """It could be done, but `mho` does not do it yet."""


class UseInstead(MhoError):
    """Another thing does what was asked."""


class WrongSetting(MhoError):
    """A setting has an unknown name, a value outside its range, or contradicts another setting."""


class BadInput(MhoError):
    """Weights, data or a file given by the user cannot be used."""


class NotFinite(BadInput):
    """Numbers ran away: a loss, weights or answers are not finite."""


class BadResults(MhoError):
    """Stored results are damaged or belong to another run."""


class MissingExtra(MhoError, ImportError):
    """An optional dependency is not installed."""
