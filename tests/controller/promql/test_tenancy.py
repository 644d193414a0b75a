"""Queries that are made to read one namespace; `promql_parser` finds the selectors independently."""

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.grammar import parts_of, without_patterns
from controller.promql.grouping import shape_of, shared_query
from controller.promql.syntax import selectors
from controller.promql.tenancy import enforced
from scaling.errors import InputError
from tests.controller.promql.test_grammar import QUERY, VALID

ENFORCED = [
    ('sum(rate(x{a="b"}[5m]))', 'sum(rate(x{a="b",namespace="shop"}[5m]))'),
    ("up", 'up{namespace="shop"}'),
    ("x{}", 'x{namespace="shop"}'),
    ('{__name__=~".+"}', '{__name__=~".+",namespace="shop"}'),
    ('{"a metric", b="c",}', '{"a metric",b="c",namespace="shop"}'),
    ('x{"a.b" != "c"}', 'x{"a.b"!="c",namespace="shop"}'),
    ('x{namespace="shop"} + y', 'x{namespace="shop"} + y{namespace="shop"}'),
    ('x{namespace=~".*"}', 'x{namespace=~".*",namespace="shop"}'),  # both must hold
    ('x{namespace!="shop"}', 'x{namespace!="shop",namespace="shop"}'),
    ('x{"namespace"="other"}', 'x{"namespace"="other",namespace="shop"}'),
    ('x{namespace="\\x6fther"}', 'x{namespace="\\x6fther",namespace="shop"}'),
    ("x{exported_namespace='other'}", "x{exported_namespace='other',namespace=\"shop\"}"),
    ("max_over_time((a + b)[1h:5m] @ end()) > bool 0",
     'max_over_time((a{namespace="shop"} + b{namespace="shop"})[1h:5m] @ end()) > bool 0'),
    ('x{# a "comment\n a="b"} # y', 'x{a="b",namespace="shop"}  '),
    ("label_replace(x, `\\`, 'b', ` {__name__=\"secret\"} `, 'd')",
     'label_replace(x{namespace="shop"}, "\\\\", \'b\', " {__name__=\\"secret\\"} ", \'d\')'),
    ("vector(1)", "vector(1)"),
    ("count by (count) (sum_total)", 'count by (count) (sum_total{namespace="shop"})'),
]  # fmt: skip
REFUSED = [
    ('x{namespace="other"}', 'only namespace="shop" may be read here'),
    ('x + y{namespace="other",namespace="shop"}', 'only namespace="shop" may be read here'),
    ("x{namespace=`other`}", 'only namespace="shop" may be read here'),
    ('x{a="b" or c="d"}', "a matcher of a form to which none can be added"),
    ("info(x)", "info() reads series that no selector names"),
    ('info(x, {a="b"})', "info() reads series that no selector names"),
    ("count + sum", "not all of its selectors are surely known"),
    ("offset", "not all of its selectors are surely known"),
    *(
        (query, "is not valid PromQL, so no namespace can be enforced")
        for query in [
            *("x default 0", "with (a = x) a", "x ifnot y", "sum(rate(x[1m]) keep_metric_names)", "x offset (secret)"),
            *("x[1m + secret]", "rate(x[5m] anchored)", "x\\-y", "größe", "median(x)", "x a_new_word y", "{}", "x or"),
            *("x{a='b'}{c='d'}", "x{a=b}", 'x{a=""b""}', "x @ (secret)", "x if y"),
        ]
    ),
    ("x{", "character 2: { is not closed"),
    ("-" * 200 + "x", "operators, limit"),
]


@pytest.mark.parametrize(("query", "result"), ENFORCED)
def test_every_selector_gets_the_matcher(query, result):
    assert enforced(query, "namespace", "shop") == result
    check(result, "shop")


@pytest.mark.parametrize(("query", "message"), REFUSED)
def test_a_query_that_cannot_surely_carry_the_matcher_is_refused(query, message):
    with pytest.raises(InputError) as caught:
        enforced(query, "namespace", "shop")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.one_of(QUERY, st.sampled_from(VALID), st.text(alphabet="xy{}()[]\"'`\\#\n,=~ or", max_size=30)))
def test_whatever_is_taken_reads_one_namespace_alone_and_again_the_same(query):
    try:
        result = enforced(query, "namespace", "shop")
    except InputError:
        return
    check(result, "shop")
    assert enforced(result, "namespace", "shop") == result
    with pytest.raises(InputError) if selectors(result) else _nothing_raised():
        enforced(result, "namespace", "blog")


class _nothing_raised:  # noqa: N801 - reads as pytest.raises does
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_ages_are_asked_for_the_same_namespace():
    for selector in selectors(enforced('sum(rate(x{a="b"}[5m])) + y offset 5m', "namespace", "shop")):
        assert selector.text.endswith('namespace="shop"}')


def test_policies_of_several_namespaces_share_a_query_and_each_has_its_own_row():
    shapes = [shape_of(enforced('sum(rate(x{app="web"}[1m]))', "namespace", name)) for name in ("shop", "blog")]
    shared = shared_query([shape for shape in shapes if shape is not None])
    assert shared.text == 'sum by (namespace)(rate(x{app="web",namespace=~"shop|blog"}[1m]))'
    assert (shared.split.labels, shared.rows) == (("namespace",), (("shop",), ("blog",)))


def test_a_pattern_beside_the_matcher_keeps_a_query_to_itself():
    """What a pattern finds of several namespaces no label of a row could tell apart."""
    query = 'sum(x{namespace=~".*",a="b"})'
    keys = [shape.key for name in ("shop", "blog") if (shape := shape_of(enforced(query, "namespace", name)))]
    assert len(set(keys)) == 2


def check(query: str, namespace: str) -> None:
    for part in parts_of(promql_parser.parse(without_patterns(query))):
        if isinstance(part, promql_parser.VectorSelector):
            found = [(str(one.op), one.name, one.value) for one in part.matchers.matchers]
            assert (str(promql_parser.MatchOp.Equal), "namespace", namespace) in found
            assert part.matchers.or_matchers == []
