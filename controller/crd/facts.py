"""What is known of each field of a ScalingPolicy: its place, its range and its default, as the resource spells them.

Owns the way from the tables of `tables.py` to the limits and defaults of `scaling.spec`; nothing is stated here.
Schema and docs are two views of these facts.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

from controller.crd.fields import (
    Build,
    Field,
    Group,
    ListOf,
    OneOf,
    Reader,
    Within,
    duration,
    not_yet,
    percent,
    quantity,
)
from controller.crd.tables import RESOURCE
from scaling.limits import Limit, shown
from scaling.spec import FALLBACK_LIMITS, GUARDRAIL_LIMITS, SPEC_LIMITS, ScalingSpec

LIMITS = {limit.path: limit for limits in (SPEC_LIMITS, GUARDRAIL_LIMITS, FALLBACK_LIMITS) for limit in limits.values()}
"""Ranges that the dataclasses check themselves, by the path that they name."""


@dataclass(frozen=True)
class Place:
    """One field where it stands."""

    path: str
    """From the resource's root; the entries of a list are `[]`."""
    field: Field
    kind: Any = None
    """The dataclass that has the field's keyword."""
    excludes: bool = False
    """It excludes a sibling: nobody may fill in its default beside one that the user gave."""

    @property
    def limit(self) -> Limit | None:
        """The range of its number."""
        return self.field.read.limit if isinstance(self.field.read, Within) else LIMITS.get(self.path)

    @property
    def default(self) -> Any:
        """What the dataclass takes when the field is absent, as the resource would spell it; None without one."""
        return spelled(self.field.read, _default(self.kind, self.field.keyword))

    @property
    def optional_object(self) -> bool:
        """Whether an empty object in this place says the same as none; an empty behavior does not."""
        read = self.field.read
        if isinstance(read, Build):
            return _default(self.kind, self.field.keyword) is not None
        return isinstance(read, Group) and not self.field.required and not read.exactly_one

    def default_text(self) -> str:
        """The default for people, whether or not a value can express it; empty without one."""
        read, default = self.field.read, self.default
        if isinstance(read, Group):
            stated = ((name, spelled(form.read, _default(self.kind, form.keyword))) for name, form in _forms(read))
            default = next((f"{name} {value}" for name, value in stated if value is not None), None)
        return self.field.absent or ("" if default is None else _plain(default))

    def range_sentence(self) -> str:
        """The range for people; empty without one."""
        if self.limit is None:
            return ""
        read = self.field.read.read if isinstance(self.field.read, Within) else self.field.read
        unit = "s" if read is duration else ""
        low, high = shown(self.limit.low) + unit, shown(self.limit.high) + unit
        return f"{low} or more." if high == "inf" else f"{low} to {high}."


def spec_place() -> Place:
    """The place of `spec`, from which all others are reached."""
    return Place("spec", RESOURCE["spec"], ScalingSpec)


def inner(place: Place) -> list[Place]:
    """The fields of the object, or of the list's entries, in a place; those that nothing acts on are left out."""
    read, path = place.field.read, place.path
    if isinstance(read, ListOf):
        read, path = read.read, f"{path}[]"
    if isinstance(read, Build):
        return _places(read.fields, path, read.kind, read.at_most_one)
    if isinstance(read, Group):
        found = _places(read.fields, path, place.kind, read.exactly_one)
        return [replace(form, kind=None) if form.excludes else form for form in found]  # their default is the group's
    return []


def every_place(place: Place) -> Iterator[Place]:
    """All fields inside a place, outer ones before theirs."""
    for found in inner(place):
        yield found
        yield from every_place(found)


def spelled(read: Reader, value: Any) -> Any:
    """A value of ours as the resource spells it; None for what has no spelling of its own, such as an object."""
    match read:
        case OneOf(meaning):
            return next((word for word, meant in meaning.items() if meant == value), None)
        case Within(_, number):
            return spelled(number, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, bool) else None
    return SPELLINGS.get(read, int)(value)


SPELLINGS: Mapping[Reader, Callable[[float], str | int]] = {
    duration: lambda seconds: f"{seconds:g}s",
    quantity: lambda number: shown(float(number)),
    percent: lambda ratio: round(ratio * 100),
}


def _forms(group: Group) -> list[tuple[str, Field]]:
    return [(name, group.fields[name]) for name in group.exactly_one]


def _places(table: Mapping[str, Field], path: str, kind: Any, alternatives: Collection[str]) -> list[Place]:
    return [
        Place(f"{path}.{name}", field, kind, name in alternatives)
        for name, field in table.items()
        if field.read is not not_yet
    ]


def _default(kind: Any, keyword: str | None) -> Any:
    for found in fields(kind) if is_dataclass(kind) else ():
        if found.name == keyword:
            if found.default_factory is not MISSING:
                return found.default_factory()
            return None if found.default is MISSING else found.default
    return None


def _plain(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)
