"""What a number may be, and the one line that refuses it.

Owns ranges and the wording of refusals. Which field has which range is left to the module that owns the field.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from scaling.errors import CombinedInputError, InputError, problems_of

SHOWN_CHARACTERS = 60
"""How much of a user's text a message repeats: enough to recognise it, too little to fill a log."""


@dataclass(frozen=True)
class Limit:
    """The range of one field, both ends included, in the spelling and unit of the resource."""

    path: str
    low: float
    high: float
    whole: bool = False
    optional: bool = False
    """None is allowed and means "not stated"."""
    factor: float = 1
    """Resource units per unit kept here: 100 where the resource says per cent and we keep a ratio."""

    def check(self, value: object) -> None:
        """Raise InputError unless the value is a number of the right kind within the range."""
        if value is None and self.optional:
            return
        number = whole_number(value, self.path) if self.whole else finite_number(value, self.path)
        stated = number if self.factor == 1 else number * self.factor
        if not self.low <= stated <= self.high:
            raise InputError(f"{self.path}: {shown(stated)} is outside {shown(self.low)}..{shown(self.high)}")


def check_limits(values: object, limits: Mapping[str, Limit]) -> None:
    """Check each named attribute against its limit. Raises CombinedInputError with a line for each that breaks it."""
    problems: list[str] = []
    for name, limit in limits.items():
        try:
            limit.check(getattr(values, name))
        except InputError as error:
            problems += problems_of(error)
    if problems:
        raise CombinedInputError(problems)


def whole_number(value: object, path: str) -> int:
    """Return an integer of at most 64 bits as it is; refuse everything else: booleans, 3.0 and "3" too."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{path}: {shown(value)} is not a whole number")
    if value.bit_length() > 63:
        raise InputError(f"{path}: {shown(value)} is outside the range of 64-bit integers")
    return value


def finite_number(value: object, path: str) -> float:
    """Return an integer or a finite float as it is; refuse everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{path}: {shown(value)} is not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{path}: {shown(value)} is not a finite number")
    return value


def shown(value: object) -> str:
    """Say a value in a message: always one short printable line, whatever it holds."""
    match value:
        case None | bool():
            return json.dumps(value)
        case int() if value.bit_length() > 128:  # far beyond that Python itself refuses to print it
            return f"an integer of {value.bit_length()} bits"
        case int():
            return str(value)
        case float():
            return f"{value:.12g}"  # 12 digits hide the dust of a changed unit: 0.07 * 100
        case str():
            return _quoted(value)
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
    return f"a value of type {type(value).__name__}"


def _quoted(text: str) -> str:
    """JSON's quoting is ASCII only: no control character and no terminal code survives."""
    return json.dumps(text) if len(text) <= SHOWN_CHARACTERS else json.dumps(text[:SHOWN_CHARACTERS]) + "..."
