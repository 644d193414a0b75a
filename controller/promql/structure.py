"""Whether the text of a query can be read at all: its strings and brackets are closed, and it is not too large.

Pure. The bounds hold for PromQL and MetricsQL alike, before anything else reads the query: with them reading takes a
few milliseconds, whatever the text says. The event loop of the operator waits meanwhile.
"""

from collections.abc import Iterable, Mapping, Sequence

from controller.promql.syntax import Token, strings_within, tokens_of
from scaling.limits import shown

MOST_TOKENS = 600
"""Names, numbers, signs and brackets outside braces. Chosen: 20 selectors, the most that are read, take some 300."""

MOST_OPERATORS = 100
"""Operators, modifiers and ranges. Chosen: `promql-parser` takes time by the square of these, a millisecond for 100."""

MOST_NESTED = 50
"""Parentheses within each other. Chosen: more than people write, and no parser runs out of stack."""

MOST_MATCHERS = 200
"""Strings within braces. Chosen: ten for each of 20 selectors."""

MOST = {"names, numbers and signs": MOST_TOKENS, "operators": MOST_OPERATORS, "label matchers": MOST_MATCHERS}
MOST_TOGETHER = {"names, numbers and signs": 1200, "operators": 200, "label matchers": 300, "characters": 16_384}
"""What all queries of a policy, up to 12, may have together, as they are read at once (chosen)."""

CLOSING = {")": "(", "}": "{", "]": "["}
OPERATOR_SIGNS = frozenset("+-*/%^<>=!@~")
OPERATOR_WORDS = frozenset({"and", "or", "unless", "atan2", "offset", "default", "if", "ifnot"})


def unreadable(query: str) -> str | None:
    """Say in one line why a query cannot be read, with the place in it; None if it can."""
    tokens = tokens_of(query)[2:-2]
    if not tokens:
        return "holds no query" + (", but a comment; in a folded block (>) it has no end" if "#" in query else "")
    return _open(query, tokens) or _too_large(_size(tokens), MOST)


def unreadable_together(queries: Sequence[str]) -> str | None:
    """Say why queries, of which each can be read, are too large to be read at once; None if they are not."""
    size = _size([token for query in queries for token in tokens_of(query)[2:-2]])
    return _too_large({**size, "characters": sum(map(len, queries))}, MOST_TOGETHER)


def place_of(query: str, token: Token) -> str:
    """Say where a token of a query stands."""
    line = query.count("\n", 0, token.start) + 1
    column = token.start - query.rfind("\n", 0, token.start)
    return f"line {line}, character {column}" if "\n" in query else f"character {column}"


def _open(query: str, tokens: Iterable[Token]) -> str | None:
    opened: list[Token] = []
    for token in tokens:
        if token.kind == "unclosed" or (token.kind == "sign" and token.text in CLOSING and not opened):
            return _says(query, token)
        if token.text == "(":
            opened.append(token)
        elif token.kind == "sign" and token.text in CLOSING and CLOSING[token.text] != opened.pop().text:
            return _says(query, token)
        if len(opened) > MOST_NESTED:
            return f"more than {MOST_NESTED} parentheses within each other, {place_of(query, token)}"
    return f"{place_of(query, opened[-1])}: ( is not closed" if opened else None


def _says(query: str, token: Token) -> str:
    if token.text in CLOSING:
        return f"{place_of(query, token)}: {token.text} closes nothing"
    what = "a string" if token.text[0] in "\"'`" else token.text[0]
    return f"{place_of(query, token)}: {what} is not closed: {shown(token.text)}"


def _too_large(size: Mapping[str, int], limits: Mapping[str, int]) -> str | None:
    for what, count in size.items():
        if count > limits[what]:
            return f"{count} {what}, limit {limits[what]}: record a part of it as a series"
    return None


def _size(tokens: Sequence[Token]) -> dict[str, int]:
    matchers = sum(strings_within(token.text) for token in tokens if token.kind == "matchers")
    return dict(zip(MOST, (len(tokens), sum(map(_operates, tokens)), matchers), strict=True))


def _operates(token: Token) -> bool:
    if token.kind == "sign":
        return token.text in OPERATOR_SIGNS
    return token.kind in ("range", "subquery") or (token.kind == "word" and token.text.lower() in OPERATOR_WORDS)
