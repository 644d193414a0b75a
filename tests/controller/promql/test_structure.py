import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.structure import MOST_MATCHERS, MOST_NESTED, MOST_OPERATORS, MOST_TOKENS, unreadable


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('x{a="b', 'character 2: { is not closed: "{a=\\"b"'),
        ('sum(x{a="b}) + y', 'character 6: { is not closed: "{a=\\"b}) + y"'),
        ("x\n  + 'b", 'line 2, character 5: a string is not closed: "\'b"'),
        ('"a\nb"', 'line 1, character 1: a string is not closed: "\\"a\\nb\\""'),
        ("`a", 'character 1: a string is not closed: "`a"'),
        ("rate(x[5m)", 'character 7: [ is not closed: "[5m)"'),
        ("sum(\n  rate(x[1m]\n)", "line 1, character 4: ( is not closed"),
        ("sum(x))", "character 7: ) closes nothing"),
        ("x]", "character 2: ] closes nothing"),
        ("(x}", "character 3: } closes nothing"),
        ("", "holds no query"),
        ("# sum(x)", "holds no query, but a comment; in a folded block (>) it has no end"),
    ],
)
def test_what_is_not_closed_is_told_with_its_place(query, message):
    assert unreadable(query) == message


@pytest.mark.parametrize(
    "query",
    ['x{a="}"}', "x # (\n + y", "'(' + `{`", 'x{a="\\""}', "with (a = x) a[5m:1m] default 0", 'x{# "\na="b"}'],
)
def test_strings_and_comments_open_nothing(query):
    assert unreadable(query) is None


@pytest.mark.parametrize(
    ("query", "most"),
    [
        (lambda count: "a " * count, MOST_TOKENS),
        (lambda count: "-" * count + "x", MOST_OPERATORS),
        (lambda count: "x" + " or x" * count, MOST_OPERATORS),
        (lambda count: "x" + " offset 1m" * count, MOST_OPERATORS),
        (lambda count: "(" * count + "x" + ")" * count, MOST_NESTED),
        (lambda count: 'x{a="b"}' * count, MOST_MATCHERS),
        (lambda count: "x{" + "a='b'," * count + "}", MOST_MATCHERS),
    ],
)
def test_a_query_may_be_as_large_as_a_limit_and_no_larger(query, most):
    assert unreadable(query(most)) is None
    assert f"{most}" in str(unreadable(query(most + 1)))


def test_a_comment_with_quotes_is_read_at_once():
    plain, hostile = "x{" + "a='b'," * 1000 + "}", "x{#" + "\\\"'\\'\"" * 1000 + "\n}"
    assert cpu_s(hostile) < 20 * cpu_s(plain) + 0.01


@given(st.text(alphabet="ab1 (){}[]\"'`\\#\n,=~+", max_size=60))
def test_any_text_is_readable_or_told_why_not_on_one_line(query):
    assert (unreadable(query) or "x").isprintable()


def cpu_s(query: str) -> float:
    began_s = time.process_time()
    unreadable(query)
    return time.process_time() - began_s
