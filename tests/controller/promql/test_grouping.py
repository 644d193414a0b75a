import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.grouping import MOST_NESTED, literal, shape_of, shared_query
from controller.promql.syntax import selectors


def together(*queries):
    shapes = [shape for query in queries if (shape := shape_of(query))]
    assert len(shapes) == len(queries)
    assert len({shape.key for shape in shapes}) == 1
    return shared_query(shapes)


@pytest.mark.parametrize(
    ("query", "shared"),
    [
        ('sum(rate(x{app="A"}[1m]))', 'sum by (app)(rate(x{app=~"a|b"}[1m]))'),
        ('sum( x {app = "A", } ) # all', 'sum by (app)(x{app=~"a|b"})'),
        ('sum(increase({app="A",le=~"1|2"}[1m]))', 'sum by (app)(increase({app=~"a|b",le=~"1|2"}[1m]))'),
        (
            '1 - sum(rate(x{app="A",code!="500"}[1m])) / sum(rate(x{app="A"}[1m]))',
            '1-sum by (app)(rate(x{app=~"a|b",code!="500"}[1m]))/sum by (app)(rate(x{app=~"a|b"}[1m]))',
        ),
        ('-(2.5 * sum(x{app="A",n=""}) + .5)', '-(2.5*sum by (app)(x{app=~"a|b",n=""})+.5)'),
        ("sum(x{app='A',n=`q\"`})", 'sum by (app)(x{app=~"a|b",n="q\\""})'),
        ('sum(x{app="A",ns="n"}) + sum(y{app="A",ns="m"})', None),
    ],
)
def test_queries_that_differ_in_a_value_are_one_by_that_label(query, shared):
    found = together(query.replace("A", "a"), query.replace("A", "b"))
    assert found.labels == ("app",)
    assert found.rows == (("a",), ("b",))
    assert shared is None or found.text == shared


def test_labels_with_one_value_stay_as_they_are():
    found = together('sum(x{ns="shop",app="a"})', 'sum(x{ns="shop",app="b"})')
    assert found.text == 'sum by (app)(x{ns="shop",app=~"a|b"})'


def test_a_value_that_differs_within_a_query_is_part_of_its_form():
    one, other = (shape_of(f'sum(x{{app="a",s="{s}"}})/sum(x{{app="a",s="2"}})') for s in "13")
    assert one is not None
    assert other is not None
    assert one.labels == ("app",)
    assert one.key != other.key


def test_two_labels_that_differ_tell_rows_apart_together():
    found = together(*(f'sum(x{{ns="{ns}",app="{app}"}})' for ns, app in ("ab", "ba", "aa")))
    assert found.text == 'sum by (ns, app)(x{ns=~"a|b",app=~"b|a"})'
    assert found.rows == (("a", "b"), ("b", "a"), ("a", "a"))


def test_values_match_themselves_alone():
    found = together('sum(x{app="a.b"})', 'sum(x{app="a+\\"b\\\\"})')
    assert found.text == 'sum by (app)(x{app=~"a\\\\.b|a\\\\+\\"b\\\\\\\\"})'
    assert found.rows == (("a.b",), ('a+"b\\',))


@pytest.mark.parametrize(
    "query",
    [
        "sum(x)",
        "sum(x{})",
        "up",
        "1 + 1",
        "",
        'x{a="b"}',
        'rate(x{a="b"}[1m])',
        'avg(x{a="b"})',
        'SUM(x{a="b"})',
        'sum by (a) (x{a="b"})',
        'sum(x{a="b"}) by (a)',
        'sum without (a) (x{a="b"})',
        'max_over_time(sum(x{a="b"})[5m:1m])',
        'sum(max_over_time(x{a="b"}[5m]))',
        'sum(x{a="b"}[5m])',
        'sum(x{a="b"} offset 5m)',
        'sum(x{a="b"} @ end())',
        'sum(rate(x{a="b"}[5m] offset 1d))',
        'sum(x{a="b"} * 2)',
        'sum(x{a="b"}) or vector(0)',
        'sum(x{a="b"}) > 3',
        'sum(x{a="b"}) ^ 2',
        'sum(x{a="b"}) / on() sum(y{a="b"})',
        'sum(x{a="b"}) + y',
        'sum(x{a="b"}) + sum(y)',
        'sum(x{a="b"}) + sum(y{a="c"})',
        'sum(x{a="b"}) + sum(y{a=~"b"})',
        'sum(x{a="b"}) + 1e3',
        'sum(x{a="b"}) + 1 2',
        'sum(x{a="b"}) +',
        'sum(x{a="b"}',
        'sum(x{a="b"}))',
        'sum(x{a=""})',
        'sum(x{a="\\u0062"})',
        'sum(x{a="\\\'"})',
        'sum(x{a="b",a="c"})',
        'sum({__name__="b"})',
        'sum(x{selector="b"})',
        'sum({"a", "b"="c"})',
        'sum(x{a="b" c="d"})',
        'sum(x{,a="b"})',
        "(" * (MOST_NESTED + 1) + 'sum(x{a="b"})' + ")" * (MOST_NESTED + 1),
        "(" * 4000,
    ],
)
def test_whatever_is_not_surely_of_the_form_is_asked_by_itself(query):
    assert shape_of(query) is None


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6)


@given(NAMES)
def test_a_literal_pattern_matches_its_text(text):
    assert re.fullmatch(literal(text), text)


@given(st.lists(NAMES, min_size=2, max_size=4, unique=True))
def test_the_shared_query_reads_the_values_and_no_others(names):
    found = together(*('sum(x{a="' + name.replace("\\", "\\\\").replace('"', '\\"') + '"})' for name in names))
    assert found.rows == tuple((name,) for name in names)
    (selector,) = selectors(found.text)
    written = selector.text.removeprefix('x{a=~"').removesuffix('"}')
    pattern = re.sub(r'\\(["\\])', r"\1", written)
    assert all(re.fullmatch(pattern, name) for name in names)
    assert not re.fullmatch(pattern, "".join(names))


@given(st.text(alphabet="""sum(rate)x{a="b"}[1m]+-*/ 1.,=~!'`\\#\n""", max_size=40))
def test_any_text_has_a_form_or_none(query):
    shape = shape_of(query)
    assert shape is None or shared_query([shape]).labels == ()
