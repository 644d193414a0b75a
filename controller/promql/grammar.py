"""Whether a query is valid PromQL, by Prometheus' own grammar as `promql-parser` has it.

Pure. That parser is older than some servers, so what newer versions added is replaced by something that it knows. It
runs out of stack on deep nesting and takes minutes for some regular expressions: `structure.py` bounds the text first,
and patterns, whose dialect (RE2) is another than the parser's, are read by `patterns.py` in its place.
Source: https://github.com/messense/promql-parser-py/tree/v0.12.0
"""

import itertools
import re
from collections.abc import Iterator, Sequence

import promql_parser

from controller.promql.matchers import value_of
from controller.promql.patterns import fault_of
from controller.promql.structure import place_of, unreadable
from controller.promql.syntax import BETWEEN, KEYWORDS, METRICSQL, PROMETHEUS_3, WITHIN_BRACES, Token, quoted, tokens_of
from scaling.limits import shown

MESSAGE_CHARACTERS = 160
"""How much of the parser's words a message repeats."""

METRICSQL_OPTION = "--query-language metricsql"
UNKNOWN = "unknown function"


def refusal(query: str) -> str | None:
    """Say in one line why a query is not valid PromQL, in the parser's words; None if it is."""
    why = unreadable(query)
    if why is not None:
        return why
    found = parsed(as_known(query))
    if not isinstance(found, str):
        return _fault_of_patterns(query)
    words, foreign = f"is not valid PromQL: {shown_words(found)}", _metricsql_word(query)
    if foreign is not None:
        return f"{words}; {place_of(query, foreign)}: {foreign.text} is of MetricsQL, taken with {METRICSQL_OPTION}"
    return (
        f"{words}; those of MetricsQL and of newer servers are taken with {METRICSQL_OPTION}"
        if UNKNOWN in found
        else words
    )


def parsed(query: str) -> promql_parser.Expr | str:
    """Return the tree of a query, or the parser's words of why there is none. Only for a text within the bounds of
    `structure.py`."""
    try:
        return promql_parser.parse(query)
    except Exception as error:  # ValueError as a rule, OverflowError of a time out of range
        return str(error)


def parts_of(tree: promql_parser.Expr) -> list[promql_parser.Expr]:
    """Return every expression of a tree, each before those within it, in the order of the text.

    `promql_parser.walk` would copy what is within an expression once more at each level.
    """
    found, waiting = [], [tree]
    while waiting:
        part = waiting.pop()
        found.append(part)
        waiting += reversed(_within(part))
    return found


def as_known(query: str) -> str:
    """The query with what the parser does not know, or only slowly, in other words of the same type."""
    tokens = tokens_of(query)[1:-1]
    parts, end, skipped = [], 0, 0
    for place in range(1, len(tokens) - 1):
        before, token, after = tokens[place - 1 : place + 2]
        if token.start < skipped:
            continue
        parts += [query[end : token.start], _known(before, token, after)]
        end = token.end
        if token.text.lower() == "offset" and _ends_operand(before):
            skipped = _end_of_expression(tokens, place + 1)
            parts += [" 1m"] if skipped else []
            end = max(end, skipped)
    return "".join(parts) + query[end:]


def without_patterns(query: str) -> str:
    """The query with all regular expressions and raw strings in other words, and nothing else."""
    parts, end = [], 0
    for token in tokens_of(query)[2:-2]:
        if token.kind in ("matchers", "string"):
            text = _braces_without_patterns(token.text) if token.kind == "matchers" else in_quotes(token.text)
            parts += [query[end : token.start], text]
            end = token.end
    return "".join(parts) + query[end:]


def in_quotes(string: str) -> str:
    """A string without backticks, in which the parser takes a backslash for the beginning of an escape."""
    return quoted(string[1:-1]) if string[0] == "`" else string


def shown_words(text: str) -> str:
    """The parser's words on one printable line."""
    line = " ".join(text.split())[:MESSAGE_CHARACTERS]
    return line if line.isprintable() else shown(line)


def _within(part: promql_parser.Expr) -> list[promql_parser.Expr]:
    match part:
        case promql_parser.BinaryExpr():
            return [part.lhs, part.rhs]
        case promql_parser.AggregateExpr():
            return [part.expr] if part.param is None else [part.param, part.expr]
        case promql_parser.Call():
            return list(part.args)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            return [part.expr]
        case promql_parser.MatrixSelector():
            return [part.vector_selector]
    return []


DURATION_EXPRESSION = re.compile(r"[\s0-9a-z_.+*/%^(),-]*+", re.ASCII)
OLD_NAMES = {"holt_winters": "double_exponential_smoothing"}


def _known(before: Token, token: Token, after: Token) -> str:
    word = token.text.lower()
    if token.kind == "matchers":
        return _braces_without_patterns(token.text)
    if token.kind in ("range", "subquery"):
        return _plain_range(token)
    if token.kind == "string":
        return in_quotes(token.text)
    if token.kind != "word":
        return token.text
    if word in PROMETHEUS_3:
        return " " if _ends_operand(before) else f"_{word}"
    return OLD_NAMES.get(word, token.text) if after.text == "(" else token.text


def _end_of_expression(tokens: Sequence[Token], place: int) -> int:
    """Where a duration ends that is an expression, such as (5m + 1m) or step(), as Prometheus 3 allows; 0 if none."""
    place += tokens[place].text in ("+", "-")
    place += tokens[place].kind == "word"
    if tokens[place].text != "(":
        return 0
    nested = 0
    for token in tokens[place:]:
        nested += {"(": 1, ")": -1}.get(token.text, 0)
        if nested == 0:
            return token.end
    return 0


def _braces_without_patterns(braces: str) -> str:
    """The matchers with a pattern that is read at once in place of each; one that matches nothing stays so."""
    return "".join(
        {"=~": '"x"', "!~": '""'}.get(operator) or in_quotes(text) if is_string else text
        for is_string, operator, text in _pieces(braces)
    )


def _pieces(braces: str) -> Iterator[tuple[bool, str, str]]:
    """Each piece within braces: whether it is a string, the two characters before it without comments, and its text."""
    before = ""
    for match in WITHIN_BRACES.finditer(braces):
        text = match.group()
        if match.lastgroup == "string":
            operator, before = before[-2:], ""
            yield True, operator, text
        else:
            before += "" if text.startswith("#") else text.rstrip()
            yield False, "", text


def _fault_of_patterns(query: str) -> str | None:
    for token in tokens_of(query):
        for _, operator, text in _pieces(token.text) if token.kind == "matchers" else ():
            pattern = value_of(text) if operator in ("=~", "!~") else None
            fault = fault_of(pattern) if pattern is not None else None
            if fault is not None:
                return f"is not valid PromQL: {operator}{shown(text)} is no pattern: {fault}"
    return None


def _plain_range(token: Token) -> str:
    """A range that is written as an expression, as Prometheus 3 allows, as a plain one."""
    inside = token.text[1:-1]
    is_expression = any(sign in inside for sign in "+-*/%^(") and DURATION_EXPRESSION.fullmatch(inside.replace(":", ""))
    if not is_expression:
        return token.text
    return "[1m:1m]" if token.kind == "subquery" else "[1m]"


def _ends_operand(token: Token) -> bool:
    is_word = token.kind == "word" and token.text.lower() not in KEYWORDS | BETWEEN
    return is_word or token.kind in ("range", "subquery", "matchers") or token.text == ")"


def _metricsql_word(query: str) -> Token | None:
    tokens = tokens_of(query)[1:]
    for before, token in itertools.pairwise(tokens):
        if token.kind == "word" and token.text.lower() in METRICSQL and _ends_operand(before):
            return token
    return None
