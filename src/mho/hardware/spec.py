"""Base of every description: frozen, validated, refusing unknown keys, readable from and writable to YAML."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from mho.errors import BadInput, MhoError, WrongSetting

S = TypeVar("S", bound="Spec")


class Spec(BaseModel):
    """A frozen piece of a hardware description; equal fields mean equal hardware."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise explain(error, type(self)) from None

    @classmethod
    def parse(cls: type[S], data: object, *, where: str | None = None) -> S:
        """Validate a mapping; all mistakes are reported at once, each with its key.

        Raises:
            WrongSetting: Unknown key, wrong type, or a value outside its range.
        """
        if isinstance(data, cls):
            return data
        if not isinstance(data, dict):
            raise WrongSetting(
                f"a {cls.__name__} is described by a mapping of keys to values, got {type(data).__name__}",
                f"write e.g. '{next(iter(cls.model_fields))}: ...'",
                path=where,
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise explain(error, cls, where) from None

    remedy: ClassVar[str] = "'mho hardware show pcm' prints every key with its meaning"
    """The way out that errors name."""
    later: ClassVar[tuple[str, ...]] = ()
    """Fields that came when results were stored already: `digest` leaves them out while they have their default."""

    def as_dict(self, *, lasting: bool = False) -> dict[str, Any]:
        """Plain values, as they would stand in YAML; `lasting`: without the `later` fields that have their default."""
        return self.model_dump(mode="json", serialize_as_any=True, context={"lasting": lasting})

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        if info.context and info.context.get("lasting"):
            for name in self.later:
                if getattr(self, name) == type(self).model_fields[name].get_default(call_default_factory=True):
                    data.pop(name, None)
        return data

    def __deepcopy__(self: S, memo: Any = None) -> S:
        """Itself: it cannot change."""
        return self

    def digest(self) -> str:
        """Twelve hex digits that name this description."""
        text = json.dumps(self.as_dict(lasting=True), sort_keys=True)
        for name, part in self:  # a part of somebody's own class is another part, even where it says the same of itself
            if isinstance(part, Spec) and type(part).__module__.partition(".")[0] != "mho":
                text += f"{name} {type(part).__module__}.{type(part).__qualname__}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The description as YAML text, written to `path` if one is given."""
        text = yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True, width=110)
        if path is not None:
            try:
                Path(path).write_text(text, encoding="utf-8")
            except OSError as error:
                reason = error.strerror or error
                raise BadInput(f"cannot be written: {reason}", "give another path", path=str(path)) from error
        return text

    def replace(self: S, **changes: Any) -> S:
        """A copy with some fields changed; ``__`` or a dotted key reaches inside, a number (or nothing, where it has one
        element) into a list.

        Example:
            >>> from mho.hardware import Hardware
            >>> Hardware.preset("pcm").replace(adc__bits=6).adc.bits
            6
        """
        data = self.as_dict()
        # Another kind first: what it is changed to has settings of its own, and those of the old one go.
        for dotted, value in sorted(changes.items(), key=lambda change: not _names_kind(change[0])):
            *parents, last = dotted.replace("__", ".").split(".")
            node: Any = data
            for part in parents:
                node, part = _in_list(node, part)
                if isinstance(node, dict) and node.get(part, "") is None:
                    node[part] = {}
                try:
                    inner = node[part]
                except (LookupError, TypeError):
                    inner = None
                if not isinstance(inner, (dict, list)):
                    raise WrongSetting(f"there is no setting '{dotted}'", _valid(node, part), path=dotted)
                node = inner
            node, last = _in_list(node, last)
            if isinstance(node, list) and not (isinstance(last, int) and last < len(node)):
                raise WrongSetting(f"there is no setting '{dotted}'", f"it has {len(node)} elements", path=dotted)
            if last == "kind" and node.get("kind") != value:
                node.clear()
            node[last] = copy.deepcopy(value) if isinstance(value, dict) else value  # later keys may reach inside
        return self._with_own_parts(
            type(self).parse(data), {dotted.replace("__", "."): v for dotted, v in changes.items()}
        )

    def _with_own_parts(self: S, changed: S, changes: dict[str, Any]) -> S:
        """Parts of classes that are not found again by what is written of them: carried over where nothing of them changes."""
        lost = {
            name: part
            for name, part in self
            if isinstance(part, Spec)
            and type(getattr(changed, name)) is not type(part)
            and changes.get(f"{name}.kind", _kind(part)) == _kind(part)  # else another kind is what is asked for
        }
        for name, part in lost.items():
            if any(key.startswith(f"{name}.") and not key.endswith(".kind") for key in changes):
                raise WrongSetting(
                    f"{type(part).__name__} is not found again by what is written of it",
                    f"give a whole new {name}, or register the class under a kind of its own", path=name,
                )  # fmt: skip
        kept = {name: part for name, part in lost.items() if name not in changes}
        return changed.model_copy(update=kept) if kept else changed


class _Once(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: of the two the last would silently count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See yaml."""
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _valid(node: Any, part: Any) -> str:
    """What could stand in the place of a key that is not there."""
    if isinstance(node, dict):
        return f"'{part}' must be one of {', '.join(node)}"
    return f"'{part}' must be a number below {len(node)}" if node else "that list is empty: give it an element first"


def _in_list(node: Any, key: str) -> tuple[Any, Any]:
    """Where a key leads: as a number into a list, as a name into the only element of one."""
    if not isinstance(node, list):
        return node, key
    if key.isdecimal():
        return node, int(key)
    return (node[0], key) if len(node) == 1 and isinstance(node[0], dict) else (node, key)


def _kind(part: Spec) -> object:
    return getattr(part, "kind", None)


def _names_kind(dotted: str) -> bool:
    return dotted.replace("__", ".").endswith(".kind")


def load_yaml(source: str | Path, remedy: str = "compare with 'mho hardware show pcm'") -> dict[str, Any]:
    """Read a YAML file that must hold one mapping; `remedy` is what helps where it does not.

    Raises:
        BadInput: The file cannot be read, is not YAML, or gives a key twice.
    """
    if not isinstance(source, (str, Path)):
        raise WrongSetting(f"{source!r} is no path", "give the path of a YAML file")
    path = Path(source)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Once)
    except OSError as error:
        raise BadInput(f"cannot read it ({error.strerror})", "give the path of a YAML file", path=str(path)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).replace('in "<unicode string>", ', "").split())
        raise BadInput(f"not valid YAML ({found})", remedy, path=str(path)) from None
    if not isinstance(data, dict):
        raise BadInput("holds no mapping", remedy, path=str(path))
    return data


def explain(error: ValidationError, cls: type[BaseModel], where: str | None = None) -> WrongSetting:
    """Turn pydantic's report into one error that names every key and what is valid there."""
    lines, keys, own = [], [], getattr(cls, "remedy", Spec.remedy)
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        inner = item.get("ctx", {}).get("error")
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key '{key}'; known here: {', '.join(_fields_at(cls, item['loc'][:-1]))}")
        elif isinstance(inner, MhoError):
            # A nested description already explained itself: put its place in front of what it said.
            key = ".".join(part for part in (key, inner.path) if part)
            remedy = "" if inner.remedy in (Spec.remedy, own) else f" ({inner.remedy})"
            lines.append(f"{item['loc'][-1]}: {inner.problem}{remedy}" if item["loc"] else inner.problem + remedy)
        elif item["type"] == "missing":
            lines.append(f"'{key}' is missing")
        else:
            lines.append(f"'{key}': {item['msg'].removeprefix('Value error, ')}, got {item['input']!r}")
        keys.append(key)
    path = ": ".join(part for part in (where, keys[0] if len(keys) == 1 else None) if part)
    return WrongSetting("; ".join(lines), own, path=path or None)


def _fields_at(cls: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    for part in loc:
        field = cls.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        cls = inner
    return list(cls.model_fields)
