"""A query with one more matcher in every selector, so that it reads the series of one namespace alone.

Pure. What `prom-label-proxy` does, done before the query is sent. The selectors are found by our own reader and checked
with the grammar: where the two do not find the same ones, or a matcher is in an unknown form, the query is refused.
Servers read rare strings and comments in different ways, so the result has none: raw strings (backticks) become quoted
ones, and comments become spaces.
"""

import re
from collections.abc import Iterator

import promql_parser

from controller.promql.grammar import in_quotes, parsed, parts_of, shown_words, without_patterns
from controller.promql.matchers import value_of
from controller.promql.structure import unreadable
from controller.promql.syntax import STRING, TOKEN, WITHIN_BRACES, Place, places, quoted
from scaling.errors import InputError
from scaling.limits import shown

ENTRY = re.compile(rf"\s*+(?:([a-zA-Z_][a-zA-Z0-9_]*+|{STRING})\s*+(=~|!~|!=|=))?\s*+({STRING})\s*+(?:,|\Z)", re.ASCII)
"""A matcher within braces, or a metric name in quotes."""

READS_MORE = frozenset(("info",))
"""Functions that read series which no selector names."""


def enforced(query: str, label: str, value: str) -> str:
    """Return the query with `label="value"` in every selector; it and the matchers that are there must both hold.

    Raises InputError, without a field's path, for a query that reads another value of the label, and for one whose
    selectors are not all surely known.
    """
    why = unreadable(query)
    if why is not None:
        raise InputError(why)
    plain = _in_plain_strings(query)
    found = places(plain)
    _selectors_of(plain, len(found))
    parts, end = [], 0
    for place in found:
        parts += [plain[end : place.start], f"{place.name}{{{','.join(_matchers(place, label, value))}}}"]
        end = place.end
    result = "".join(parts) + plain[end:]
    for selector in _selectors_of(result, len(found)):
        if not _carries(selector, label, value):
            raise InputError(f"{shown(str(selector))} cannot carry the matcher {label}={quoted(value)}")
    return result


def _matchers(place: Place, label: str, value: str) -> Iterator[str]:
    """The matchers of a selector with the one that is enforced, once."""
    carries = False
    for name, operator, string in _entries(place):
        if (name, operator) == (label, "="):
            if value_of(string) not in (value, None):
                raise InputError(f"{shown(f'{name}={string}')}: only {label}={quoted(value)} may be read here")
            carries |= value_of(string) == value
        yield f"{name}{operator}{string}"
    if not carries:
        yield f"{label}={quoted(value)}"


def _entries(place: Place) -> Iterator[tuple[str, str, str]]:
    inside, at = place.matchers[1:-1].rstrip(), 0
    while at < len(inside):
        match = ENTRY.match(inside, at)
        if match is None:
            raise InputError(f"{shown(place.selector.text)}: a matcher of a form to which none can be added")
        yield match[1] or "", match[2] or "", match[3]
        at = match.end()


def _in_plain_strings(query: str) -> str:
    """The query with every string in quotes and every comment as a space."""
    return "".join(_plain(match.lastgroup or "", match.group()) for match in TOKEN.finditer(query))


def _plain(kind: str, text: str) -> str:
    if kind == "matchers":
        return "".join(
            in_quotes(match.group()) if match.lastgroup == "string" else _uncommented(match.group())
            for match in WITHIN_BRACES.finditer(text)
        )
    return in_quotes(text) if kind == "string" else _uncommented(text)


def _uncommented(text: str) -> str:
    return " " if text.startswith("#") else text


def _selectors_of(query: str, count: int) -> list[promql_parser.VectorSelector]:
    """The selectors of a query by the grammar; InputError unless they are as many as our own reader found."""
    tree = parsed(without_patterns(query))
    if isinstance(tree, str):
        raise InputError(f"is not valid PromQL, so no namespace can be enforced: {shown_words(tree)}")
    parts = parts_of(tree)
    for part in parts:
        if isinstance(part, promql_parser.Call) and part.func.name in READS_MORE:
            raise InputError(f"{part.func.name}() reads series that no selector names, so no namespace can be enforced")
    found = [part for part in parts if isinstance(part, promql_parser.VectorSelector)]
    if len(found) != count:
        raise InputError(f"not all of its selectors are surely known ({count} or {len(found)})")
    return found


def _carries(selector: promql_parser.VectorSelector, label: str, value: str) -> bool:
    wanted = (promql_parser.MatchOp.Equal, label, value)
    matchers = selector.matchers
    return not matchers.or_matchers and any((one.op, one.name, one.value) == wanted for one in matchers.matchers)
