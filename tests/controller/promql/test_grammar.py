import time

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.grammar import as_known, parts_of, refusal
from controller.promql.structure import MOST_MATCHERS, MOST_NESTED, MOST_OPERATORS
from controller.promql.syntax import places, selectors

VALID = [
    'sum by (a) (rate(x{b=~"c|d",e!~"f"}[5m] offset 10m)) / on (a) group_left y @ end()',
    'max_over_time((x + {"a metric", b="c"})[1h:5m] @ 1609746000 offset -5m) > bool 0x1F',
    "x # a comment\n + y",
    "histogram_quantile(0.9, sum without (a) (rate(x[5m])))",
    'x{a=~"[[]a]", b=~"\\\\w{500}{500}", c=~#\n"()", d=~"\\\\Q(("}',  # whether all are patterns, Prometheus says
    'x{a!~""} + on () y',
    "x{a=`\\`} + label_replace(y, `a\\`, 'b', 'c', 'd')",
]
NEWER = [
    *(
        "a + fill(0) b",
        "rate(x[5m] anchored)",
        "x smoothed",
        "increase(x{a='b'}[1h:1m] smoothed)",
        "anchored + smoothed",
    ),
    *("rate(x[1m + 1m])", "rate(x[1m:(2m + step())])", "x offset step()", "x offset (1m + 2m) + y", "x offset -(5m)"),
    *("holt_winters(x[5m], 0.1, 0.2)", "double_exponential_smoothing(x[5m], 0.1, 0.2)", "ts_of_max_over_time(x[5m])"),
    *('histogram_quantiles(x, "a", 0.5)', "limitk(2, x)", "mad_over_time(x[5m])", "max_of(1, 2) + x"),
]
REFUSED = [
    ("sum(rate(x))", "is not valid PromQL: expected type matrix in call to function 'rate', got vector"),
    ("rate(x[$range])", "is not valid PromQL: unexpected character inside brackets: '$'"),
    ("x or", "is not valid PromQL: invalid promql query"),
    ("{}", "is not valid PromQL: vector selector must contain at least one non-empty matcher"),
    ("sum(x", "character 4: ( is not closed"),
    ('x{a=~"["}', 'is not valid PromQL: =~"\\"[\\"" is no pattern: [ is not closed'),
    ("x{b=~'c', a!~`(d`}", 'is not valid PromQL: !~"`(d`" is no pattern: ( is not closed'),
]
METRICSQL = [
    "x default 0",
    "sum(rate(a[1m]) keep_metric_names)",
    "x ifnot y",
    "rollup_rate(x[5m])",
    "median(x) limit 5",
]


@pytest.mark.parametrize("query", VALID)
def test_valid_promql_is_taken(query):
    assert refusal(query) is None


@pytest.mark.parametrize("query", NEWER)
def test_what_newer_servers_have_is_taken(query):
    assert refusal(query) is None


@pytest.mark.parametrize(("query", "message"), REFUSED)
def test_an_invalid_query_is_refused_in_the_words_of_the_parser(query, message):
    assert refusal(query) == message


@pytest.mark.parametrize("query", METRICSQL)
def test_metricsql_is_refused_with_the_option_that_takes_it(query):
    assert str(refusal(query)).endswith("--query-language metricsql")


def test_the_word_of_metricsql_is_told_with_its_place():
    words = "is not valid PromQL: invalid promql query; line 2, character 2: default is of MetricsQL"
    assert str(refusal("x\n default 0")).startswith(words)


HOSTILE = [
    *("(" * MOST_NESTED + "x" + ")" * MOST_NESTED, "-" * MOST_OPERATORS + "x", "x" + "+x" * MOST_OPERATORS),
    *("abs(" * MOST_NESTED + "x" + ")" * MOST_NESTED, "x" + " or x" * MOST_OPERATORS, "(" * 8192, "-" * 8191 + "x"),
    *("sum(" * 2000 + "x" + ")" * 2000, "x[" * 4000, '("' * 4000, "x{" + "a=~'x'," * MOST_MATCHERS + "}"),
    *(
        "x{a=~'" + "\\\\w{500}" * 1000 + "'}",
        "x{a=~'" + "(" * 8000 + "'}",
        "max_over_time(" * 500 + "x" + "[1m:])" * 500,
    ),
    *("x offset (" * 800, "x offset -" * 800, "x[1m:1m]" * 90, "sum(x)" + " by (a)" * 200, "1" * 8192, "{{" * 4000),
]


@pytest.mark.parametrize("query", HOSTILE)
def test_the_parser_is_neither_stalled_nor_out_of_stack(query):
    plain = cpu_s(" + ".join(f'sum(rate(x{place}{{a="b"}}[5m]))' for place in range(20)))
    assert cpu_s(query) < 20 * plain + 0.01


@given(st.text(alphabet="x1(){}[]\"'`\\#\n,=~+-@:.smh", max_size=40))
def test_any_text_is_taken_or_refused_on_one_line(query):
    assert (refusal(query) or "x").isprintable()


# Queries as trees, for which our own reader and the parser must find the same

NAMES = st.sampled_from(["x", "job:y:rate5m", "sum", "offset", "default", "limit", "by", "and"])
STRINGS = st.sampled_from(['"b"', "'}'", "`\\`", '"\\""', '"#"', "'('"])
MATCHER = st.builds("{}{}{}".format, st.sampled_from("abc"), st.sampled_from(["=", "!="]), STRINGS)
BRACES = st.lists(MATCHER, max_size=3).map(lambda found: "{" + ",".join(['d="e"', *found]) + "}")
SPACE = st.sampled_from(["", " ", "\n", ' # ("\n'])
VECTOR = st.one_of(st.builds("{}{}{}".format, NAMES, SPACE, BRACES), BRACES, st.sampled_from(["x", "y:z", "metric"]))
DURATION = st.sampled_from(["5m", "1h30m", "90s"])
OFFSET = st.one_of(st.just(""), st.builds(" offset {}{}".format, st.sampled_from(["", "-"]), DURATION))
INSTANT = st.builds("{}{}{}".format, VECTOR, SPACE, OFFSET)
RANGE = st.builds("{}[{}]{}".format, VECTOR, DURATION, OFFSET)


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", " and ", " or on (a) ", " / ignoring (b) group_left (c) ", " > bool ", "^"])
    return st.one_of(
        st.builds("sum by (a) ({})".format, inner),
        st.builds("topk(3, {}) without (b, c)".format, inner),
        st.builds("({}){}({})".format, inner, operators, inner),
        st.builds("{}{}{}".format, VECTOR, operators, inner),
        st.builds("max_over_time(({})[{}:1m]{})".format, inner, DURATION, OFFSET),
        st.builds('label_replace({}, "a", "x", "b", "{{c=\'d\'}}")'.format, inner),
    )


QUERY = st.recursive(st.one_of(INSTANT, RANGE.map("rate({})".format)), _wider, max_leaves=6)


@given(QUERY)
def test_our_reader_finds_the_selectors_that_the_grammar_finds(query):
    tree = promql_parser.parse(as_known(query))
    found: list[promql_parser.VectorSelector] = []
    promql_parser.walk(
        tree, lambda part: found.append(part) if isinstance(part, promql_parser.VectorSelector) else None
    )
    assert list(map(str, found)) == [
        str(one) for one in parts_of(tree) if isinstance(one, promql_parser.VectorSelector)
    ]
    ours = places(query)
    assert [str(promql_parser.parse(as_known(query[one.start : one.end]))) for one in ours] == [
        str(one).partition(" offset ")[0] for one in found
    ]
    assert refusal(query) is None


@given(QUERY)
def test_the_selector_that_is_asked_for_its_age_reads_the_same_series(query):
    for selector in selectors(query):
        promql_parser.parse(as_known(f"timestamp({selector.text}\n{selector.moment.modifiers})"))


def cpu_s(query: str) -> float:
    """The least of three times in seconds of CPU."""

    def once() -> float:
        began_s = time.process_time()
        refusal(query)
        return time.process_time() - began_s

    return min(once() for _ in range(3))
