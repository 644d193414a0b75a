"""What a schema cannot say by itself, as CEL for the API server: forms and ranges of texts, rules between fields.

Each of these is checked again when the resource is read. An API server takes a rule only if it can bound its cost:
`string()` of a plain text or integer it cannot, whatever their limits; `format` it can.
"""

import math
from collections.abc import Container
from typing import Any

from controller.crd.fields import DURATION, QUANTITY, Build, Group, Rule
from scaling.limits import Limit, shown

Schema = dict[str, Any]

NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"  # the most that every dialect of regular expressions can say
PRINTABLE = r"^( |[^\pC\pZ])*$"  # the API server's dialect

NO_CONTROL_BUT_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
PRINTABLE_LINES = r"^([ \t\n\r]|[^\pC\pZ])*$"

NUMBER = "string(self)"  # of an integer or a string


def between_fields(read: object, known: Container[str]) -> Schema:
    """The rules of an object; of alternatives only the known ones can be named."""
    if not isinstance(read, Group | Build):
        return {}
    rules = [_rule(rule) for rule in read.rules]
    if isinstance(read, Group) and read.exactly_one:
        names = [name for name in read.exactly_one if name in known]
        rules.append(_says(f"{_given(names)}.exists_one(x, x)", f"give exactly one of {', '.join(names)}"))
    if isinstance(read, Build) and read.at_most_one:
        names = [name for name in read.at_most_one if name in known]
        rules.append(_says(f"{_given(names)}.filter(x, x).size() <= 1", f"give only one of {', '.join(names)}"))
    return _checked(*rules)


def patterned(pattern: str, advice: str, *rules: Schema, text: str = "self") -> Schema:
    """A pattern for tools without CEL, and the same as a rule, since the server's own words on a pattern say little."""
    return {"pattern": pattern} | _checked(_says(f"{text}.matches(r'{pattern}')", advice), *rules)


def one_line() -> Schema:
    """The form of printable text; the pattern says as much of it as every tool understands."""
    advice = "holds a line break or a control character; write it on one line"
    return {"pattern": NO_CONTROL} | _checked(_says(f"self.matches(r'{PRINTABLE}')", advice))


def several_lines() -> Schema:
    """The form of a query: printable text, line breaks and tabs."""
    advice = "holds a control character, or a space that is none to PromQL"
    return {"pattern": NO_CONTROL_BUT_LINES} | _checked(_says(f"self.matches(r'{PRINTABLE_LINES}')", advice))


def a_quantity(limit: Limit | None) -> Schema:
    """Form and range of a quantity; the range says nothing of what is no quantity at all."""
    rules = []
    if limit is not None:
        ends = [f"quantity({NUMBER}).compareTo(quantity('{shown(limit.low)}')) >= 0"]
        if limit.high < math.inf:
            ends.append(f"quantity({NUMBER}).compareTo(quantity('{shown(limit.high)}')) <= 0")
        rules.append(_says(f"!isQuantity({NUMBER}) || ({' && '.join(ends)})", _outside(limit)))
    return patterned(f"^{QUANTITY.pattern}$", 'not a quantity such as "70", "100m" or "1.5k"', *rules, text=NUMBER)


def a_duration(limit: Limit | None) -> Schema:
    """Form and range of a duration."""
    pattern, rules = f"^{DURATION}$", []
    if limit is not None:
        inside = f"duration(self) >= duration('{limit.low:g}s') && duration(self) <= duration('{limit.high:g}s')"
        rules.append(_says(f"!self.matches(r'{pattern}') || ({inside})", f"{_outside(limit)} seconds"))
    return patterned(pattern, 'not a duration such as "180s", "3m" or "1h"', *rules)


def _rule(rule: Rule) -> Schema:
    schema = _says(rule.cel, rule.message) | {"fieldPath": f".{rule.field}"}
    if rule.message_cel:
        schema["messageExpression"] = rule.message_cel
    return schema | ({"reason": "FieldValueRequired"} if rule.missing else {})


def _given(names: list[str]) -> str:
    return f"[{', '.join(f'has(self.{name})' for name in names)}]"


def _outside(limit: Limit) -> str:
    return f"outside {shown(limit.low)}..{shown(limit.high)}" if limit.high < math.inf else f"below {shown(limit.low)}"


def _says(rule: str, message: str) -> Schema:
    return {"rule": rule, "message": message}


def _checked(*rules: Schema) -> Schema:
    return {"x-kubernetes-validations": list(rules)} if rules else {}
