"""A small declarative reader: a table says which fields an object has, what each means and how it is read.

Owns the structure: unknown, missing and mistyped fields, and the Kubernetes spellings of quantities, durations and
names. Which fields a ScalingPolicy has is in `tables.py`; what their numbers may be is in `scaling.spec`. Readers
with parameters are values, not closures, so that `schema.py` can say as a schema what they read.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from itertools import islice
from typing import Any

from controller.promql.structure import unreadable
from scaling.errors import CombinedInputError, InputError, problems_of
from scaling.limits import Limit, shown, whole_number

RELEASE = "forescale 0.1"
"""Who says "not supported yet"."""

Reader = Callable[[object, str], Any]
"""Turns what stands at a path of the resource into our value, or raises InputError naming the path."""


@dataclass(frozen=True)
class Field:
    """How one field is read, and the keyword its value goes by; without a keyword it adds a whole dict of them."""

    read: Reader
    keyword: str | None = None
    required: bool = False

    about: str = ""
    """What it means, in sentences for whoever writes the resource. Range and default are not repeated here: schema and
    docs add them from where they are defined."""

    absent: str = ""
    """What holds without the field, where its default is no value of its own."""


@dataclass(frozen=True)
class Rule:
    """What must hold between the fields of an object, in CEL for the API server; our own code refuses the same."""

    cel: str
    message: str
    """What is wrong, where it is not said by `message_cel`."""
    field: str
    """The field it is about."""
    message_cel: str = ""
    """The message as CEL, to repeat the numbers."""
    missing: bool = False
    """The field is required, rather than invalid."""


def read_fields(value: object, path: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Read an object by its table and return keywords.

    An absent or null field leaves no keyword, so that every default is stated once, where the value is defined.
    Raises CombinedInputError with a line for each field that cannot be used.
    """
    found = an_object(value, path)
    problems = [*_unknown(found, path, fields), *_missing(found, path, fields)]
    keywords: dict[str, Any] = {}
    for name, field in fields.items():
        if found.get(name) is None:
            continue
        try:
            read = field.read(found[name], at(path, name))
        except InputError as error:
            problems += problems_of(error)
        else:
            keywords |= read if field.keyword is None else {field.keyword: read}
    if problems:
        raise CombinedInputError(problems)
    return keywords


def at(path: str, name: object) -> str:
    """Path of a field; a name that is no plain word is quoted."""
    word = name if isinstance(name, str) and re.fullmatch(r"[A-Za-z][\w-]{0,62}", name, re.ASCII) else shown(name)
    return f"{path}.{word}" if path else word


def an_object(value: object, path: str) -> Mapping[Any, Any]:
    """Return a mapping as it is."""
    if not isinstance(value, Mapping):
        raise InputError(f"{path or 'ScalingPolicy'}: {shown(value)} is not an object")
    return value


# Readers of one value


def unread(value: object, path: str) -> dict[str, Any]:
    """Skip a field that belongs to the cluster; it adds no keyword."""
    return {}


def not_yet(value: object, path: str) -> dict[str, Any]:
    """Refuse a field that nothing acts on yet; an empty one asks for nothing and passes."""
    if isinstance(value, Mapping | list) and not value:
        return {}
    raise InputError(f"{path} is not supported yet by {RELEASE}")


def as_it_is(value: object, path: str) -> object:
    """Leave the check to the value's own limits in `scaling.spec`."""
    return value


def boolean(value: object, path: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise InputError(f"{path}: {shown(value)} is not true or false")
    return value


def percent(value: object, path: str) -> float:
    """Read whole per cent as a ratio."""
    return whole_number(value, path) / 100


def quantity(value: object, path: str) -> float:
    """Read a Kubernetes quantity: an integer or a string such as "70", "0.25", "100m", "1.5k", "1Ki" or "1e3".

    A bare 0.25 is refused: a CustomResourceDefinition can allow "integer or string", but not a float beside them.
    Source: https://github.com/kubernetes/kubernetes/blob/v1.34.0/staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go
    """
    if isinstance(value, float):
        raise InputError(f'{path}: {shown(value)} is a float; write a quantity in quotes, such as "0.25"')
    number = _parse_quantity(value, path) if isinstance(value, str) else Decimal(whole_number(value, path))
    if abs(number) > QUANTITY_LIMIT:
        raise InputError(f"{path}: {shown(value)} is above {QUANTITY_LIMIT}, the largest quantity")
    return float(number)


def duration(value: object, path: str) -> float:
    """Read a duration such as "180s", "3m" or "1h30m" as seconds.

    Source: https://gateway-api.sigs.k8s.io/geps/gep-2257/ (Kubernetes' strict subset of Go's durations)
    """
    if not isinstance(value, str) or not re.fullmatch(DURATION, value):
        raise InputError(f'{path}: {shown(value)} is not a duration such as "180s", "3m" or "1h"')
    return sum(int(count) * SECONDS[unit] for count, unit in re.findall(r"([0-9]+)(ms|h|m|s)", value)) / 1000


# Readers with parameters


@dataclass(frozen=True)
class Group:
    """Reads an object whose fields join those of the object around it."""

    fields: Mapping[str, Field]
    rules: tuple[Rule, ...] = ()
    exactly_one: tuple[str, ...] = ()
    """Fields of which one must be given, and only one."""

    def __call__(self, value: object, path: str) -> dict[str, Any]:
        given = [name for name in self.exactly_one if an_object(value, path).get(name) is not None]
        keywords = read_fields(value, path, self.fields)
        if self.exactly_one and len(given) != 1:
            names = ", ".join(self.exactly_one)
            raise InputError(f"{path}: give exactly one of {names}, not {' and '.join(given) or 'none'}")
        return keywords


def as_they_are(keywords: dict[str, Any], path: str) -> dict[str, Any]:
    """Leave what was read as it is."""
    return keywords


@dataclass(frozen=True)
class Build:
    """Reads an object into a dataclass."""

    kind: Callable[..., object]
    fields: Mapping[str, Field]
    rules: tuple[Rule, ...] = ()
    at_most_one: tuple[str, ...] = ()
    """Fields that exclude each other; `arrange` refuses them together."""
    arrange: Callable[[dict[str, Any], str], dict[str, Any]] = as_they_are
    """Last word on the keywords before the dataclass takes them."""

    def __call__(self, value: object, path: str) -> object:
        return self.kind(**self.arrange(read_fields(value, path, self.fields), path))


@dataclass(frozen=True)
class OneOf:
    """Reads one word of a closed set as what it stands for; words of `later` are known, but not supported yet."""

    meaning: Mapping[str, Any]
    later: tuple[str, ...] = ()

    def __call__(self, value: object, path: str) -> Any:
        if isinstance(value, str) and value in self.meaning:
            return self.meaning[value]
        if value in self.later:
            raise InputError(f"{path}: {value} is not supported yet by {RELEASE}")
        raise InputError(f"{path}: {shown(value)} is not {' or '.join(self.meaning)}")


def words(*allowed: str) -> OneOf:
    """Words that stand for themselves."""
    return OneOf({word: word for word in allowed})


def choice(members: Iterable[StrEnum], later: Iterable[str] = ()) -> OneOf:
    """Words of these members of an enum."""
    return OneOf({member.value: member for member in members}, tuple(later))


@dataclass(frozen=True)
class Within:
    """Reads a number that keeps a limit; a refusal names the path where it stands."""

    limit: Limit
    read: Reader = as_it_is

    def __call__(self, value: object, path: str) -> Any:
        number = self.read(value, path)
        replace(self.limit, path=path).check(number)
        return number


@dataclass(frozen=True)
class Text:
    """Reads a line of printable text."""

    most_characters: int

    def __call__(self, value: object, path: str) -> str:
        if not isinstance(value, str) or not value:
            raise InputError(f"{path}: {shown(value)} is not a text of 1..{self.most_characters} characters")
        if len(value) > self.most_characters:
            raise InputError(f"{path}: {len(value)} characters, limit {self.most_characters}")
        if not value.isprintable():
            raise InputError(f"{path}: {shown(value)} holds a line break or a control character; write it on one line")
        return value


@dataclass(frozen=True)
class Query:
    """Reads a query, on one line or several: line breaks and tabs are white space in it. What surrounds it is dropped,
    such as the line break at the end of a YAML block."""

    most_characters: int

    def __call__(self, value: object, path: str) -> str:
        if not isinstance(value, str) or not value:
            raise InputError(f"{path}: {shown(value)} is not a query of 1..{self.most_characters} characters")
        if len(value) > self.most_characters:
            raise InputError(f"{path}: {len(value)} characters, limit {self.most_characters}")
        if not value.translate(WHITE_SPACE).isprintable():
            raise InputError(f"{path}: {shown(value)} holds a control character, or a space that is none to PromQL")
        why = unreadable(value)
        if why is not None:
            raise InputError(f"{path}: {why}")
        return value.strip()


UNQUOTED = "; YAML reads yes, no, on and off as true and false, unless they are in quotes"


@dataclass(frozen=True)
class Named:
    """Reads a name of a fixed form."""

    pattern: str
    most_characters: int
    meaning: str

    def __call__(self, value: object, path: str) -> str:
        if isinstance(value, str) and len(value) <= self.most_characters and re.fullmatch(self.pattern, value):
            return value
        hint = UNQUOTED if isinstance(value, bool) else ""
        limit = f"of at most {self.most_characters} characters"
        raise InputError(f"{path}: {shown(value)} is not {self.meaning} {limit}{hint}")


@dataclass(frozen=True)
class Known:
    """Reads a name of a fixed form that must mean something, too, which no schema can tell."""

    form: Named
    look_up: Callable[[str], object]
    """Raises ValueError with the rest of the sentence: why the name means nothing."""

    def __call__(self, value: object, path: str) -> str:
        name = self.form(value, path)
        try:
            self.look_up(name)
        except ValueError as error:
            raise InputError(f"{path}: {shown(name)} {error}") from error
        return name


@dataclass(frozen=True)
class ListOf:
    """Reads a list of `least` to `most` entries as a tuple."""

    read: Reader
    most: int
    least: int = 1

    def __call__(self, value: object, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise InputError(f"{path}: {shown(value)} is not a list")
        if not self.least <= len(value) <= self.most:
            raise InputError(f"{path}: {len(value)} entries are outside {self.least}..{self.most}")
        return tuple(self.read(entry, f"{path}[{index}]") for index, entry in enumerate(value))


WHITE_SPACE = dict.fromkeys(map(ord, "\t\n\r"), " ")
"""What stands between the words of a query beside spaces."""

QUANTITY_LIMIT = 2**63 - 1
QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,4})|([KMGTPE]i|[numkMGTPE]))?")
QUANTITY_CHARACTERS = 64
DURATION = r"([0-9]{1,5}(h|m|s|ms)){1,4}"
DURATION_CHARACTERS = 4 * len("99999ms")
SCALE = {suffix: Decimal(1000) ** power for power, suffix in enumerate(("n", "u", "m", "", "k", *"MGTPE"), start=-3)}
SCALE |= {f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)}
SECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def _parse_quantity(value: str, path: str) -> Decimal:
    match = QUANTITY.fullmatch(value) if len(value) <= QUANTITY_CHARACTERS else None
    if match is None:
        raise InputError(f'{path}: {shown(value)} is not a quantity such as "70", "100m" or "1.5k"')
    number, exponent, suffix = match.groups(default="")
    return Decimal(number + exponent) if exponent else Decimal(number) * SCALE[suffix]


MOST_UNKNOWN = 10
"""Unknown fields of one object that are told. Chosen: more make no list that people read."""


def _unknown(found: Mapping[Any, Any], path: str, fields: Mapping[str, Field]) -> Iterator[str]:
    for name in islice((name for name in found if name not in fields), MOST_UNKNOWN):
        near = get_close_matches(str(name), fields, n=1) if isinstance(name, str) and len(name) < 64 else []
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(fields)}"
        yield f"{at(path, name)}: unknown field; {hint}"


def _missing(found: Mapping[Any, Any], path: str, fields: Mapping[str, Field]) -> Iterator[str]:
    for name, field in fields.items():
        if field.required and found.get(name) is None:
            yield f"{at(path, name)} is required, but {'null' if name in found else 'missing'}"
