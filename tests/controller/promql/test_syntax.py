import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.syntax import duration_s, has_alternative, selectors

SELECTORS = [
    ('sum(rate(http_requests_total{namespace="shop",app="web"}[1m]))',
     {'http_requests_total{namespace="shop",app="web"}': 60}),
    ("up", {"up": 300}),
    ("up > bool 0 and on() (vector(1))", {"up": 300}),
    ("job:requests:rate5m", {"job:requests:rate5m": 300}),
    ('{__name__=~"a|b", x!="}"}', {'{__name__=~"a|b", x!="}"}': 300}),
    ("sum by (pod, instance) (x) / ignoring(a) group_left(b) max without (c) (y{})", {"x": 300, "y{}": 300}),
    ("sum (x) by (pod)", {"x": 300}),
    ("SUM BY (pod) (x) OR Vector(0)", {"x": 300}),
    ("rate(x[90s]) + rate(x[5m]) + x", {"x": 300}),
    ("rate(x[90s]) + rate(x[30s])", {"x": 90}),
    ("rate(x[1h30m] offset 1w) - x @ 1609746000 + x @ start()", {"x": 5400}),
    ("max_over_time(rate(x[1m])[10m:1m])", {"x": 660}),
    ("max_over_time(x[10m:])", {"x": 900}),
    ("max_over_time(x [10m])", {"x": 600}),
    ("x # y\n + z", {"x": 300, "z": 300}),
    ("""label_replace(x, "a", 'y{z="1"}', "b", `c[1m]`)""", {"x": 300}),
    ('count_values("v", x) + quantile(0.9, y) + 0x1F + 1e3 + .5 + Inf + NaN', {"x": 300, "y": 300}),
    ('count{a="b"} + sum', {'count{a="b"}': 300}),
    ('x {\n a = "b" # "quoted" }\n}', {'x{\n a = "b" # "quoted" }\n}': 300}),
    ('x{a="\\"}"}', {'x{a="\\"}"}': 300}),
    ('{"a metric", b="c"}', {'{"a metric", b="c"}': 300}),
    ("vector(1) + time() * pi()", {}),
    ("scalar(x) ^ -2 atan2 y", {"x": 300, "y": 300}),
    ("rate(x[$range])", {"x": 300}),
    ("", {}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "found"), SELECTORS, ids=[query for query, _ in SELECTORS])
def test_selectors_are_found_with_their_reach(query, found):
    reaches: dict[str, float] = {}
    for selector in selectors(query):
        reaches[selector.text] = max(selector.reach_s, reaches.get(selector.text, 0))
    assert reaches == found


@pytest.mark.parametrize(
    ("query", "readers"),
    [
        ("sum(rate(x[1m])) + x", [("rate", "[1m]"), (None, None)]),
        ("rate(x[1m]) + rate(x[1m])", [("rate", "[1m]")]),
        ("rate(x[1m]) + increase( x [5m] )", [("rate", "[1m]"), ("increase", "[5m]")]),
        ("rate(x[1m] offset 5m)", [(None, "[1m]")]),
        ("quantile_over_time(0.9, x[1m])", [(None, "[1m]")]),
        ("max_over_time(x[1m:5s])", [(None, None)]),  # a subquery stands between them
        ("(x) + sum(y) + abs(z)", [(None, None), (None, None), ("abs", None)]),
    ],
)
def test_who_reads_a_selector_alone_is_known(query, readers):
    found = [(selector.function, selector.range_text) for selector in selectors(query)]
    assert found == readers


@pytest.mark.parametrize(
    ("query", "alternative"),
    [
        ("sum(rate(x[1m]))", False),
        ("sum(x) / sum(y)", False),
        ('x{a="or"} # or', False),
        ("x OR vector(0)", True),
        ("x unless y", True),
        ("absent(x)", True),
    ],
)
def test_a_query_that_answers_although_a_selector_is_empty_is_known(query, alternative):
    assert has_alternative(query) == alternative


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("[1h30m]", 5400), ("[5m:15s]", 300), ("[500ms]", 0.5), ("[1w]", 604_800), ("[90]", 90), ("[1m + 1m]", 300)],
)
def test_ranges_are_read_in_seconds(text, seconds):
    assert duration_s(text) == seconds


@given(st.text(alphabet="""ab1:(){}[],"'`\\#\n by""", max_size=40))
def test_any_text_is_read_without_an_error(query):
    for selector in selectors(query):
        assert selector.text.split("{")[0] in query
        assert selector.reach_s >= 0


@pytest.mark.parametrize("piece", ["{", '{"', "{#", "{#a", "#a", "'", "[", "by(", 'x{a="', "{a" + "#b" * 3])
def test_the_longest_query_is_read_at_once(piece):
    began = time.process_time()
    selectors((piece * 8192)[:8192])
    assert time.process_time() - began < 1.0
