import time
from collections.abc import Callable

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.syntax import Moment, duration_s, selectors

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
        ("rate(x[1m] offset 5m)", [("rate", "[1m]")]),
        ("rate(x[1m] anchored)", [(None, "[1m]")]),
        ("quantile_over_time(0.9, x[1m])", [(None, "[1m]")]),
        ("max_over_time(x[1m:5s])", [(None, None)]),  # a subquery stands between them
        ("(x) + sum(y) + abs(z)", [(None, None), (None, None), ("abs", None)]),
    ],
)
def test_who_reads_a_selector_alone_is_known(query, readers):
    found = [(selector.function, selector.range_text) for selector in selectors(query)]
    assert found == readers


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("x default 0", ["x"]),
        ("x default y", ["x", "y"]),
        ('x default {a="b"}', ["x", '{a="b"}']),
        ("default{} + limit", ["default{}", "limit"]),  # metrics of these names
        ("sum(rate(x[1m]) keep_metric_names)", ["x"]),
        ("x ifnot absent(up)", ["x", "up"]),
        ("x keep_metric_names if y", ["x", "y"]),
        ("sum(x) by (a) limit 5", ["x"]),
        ("x + fill(0) y", ["x", "y"]),
        ("x + on (a) fill_left (0) y", ["x", "y"]),
        ("rate(x[5m] anchored) + y smoothed", ["x", "y"]),
        ("x and {a='b'}", ["x", "{a='b'}"]),
        ("x > bool y", ["x", "y"]),
        ("x futureword 5", ["x", "futureword"]),  # it may be one
    ],
)
def test_words_between_operands_are_no_metrics(query, texts):
    assert [selector.text for selector in selectors(query)] == texts


@pytest.mark.parametrize(
    ("query", "moments"),
    [
        ("x", [Moment()]),
        ("x offset 10m", [Moment(offset_s=600)]),
        ("x{} OFFSET -1h30m", [Moment(offset_s=-5400)]),
        ("rate(x[5m] offset 10m)", [Moment(offset_s=600)]),
        ("x @ 1609746000 offset 1m + y", [Moment("1609746000", 60), Moment()]),
        ("x offset 1m @ -5.5", [Moment("-5.5", 60)]),
        ("x @ end() + y @ start()", [Moment("end()"), Moment("end()")]),
        ("max_over_time(rate(x[1m] offset 1m)[10m:1m] offset 10m) + y", [Moment(offset_s=660), Moment()]),
        ("max_over_time((x + y)[1h:] offset 1h)", [Moment(offset_s=3600)] * 2),
        ("sum(x) by (a)[1h:] offset 1h", [Moment(offset_s=3600)]),
        ("max_over_time(x @ 5 [1h:] offset 1h)", [Moment("5")]),  # nothing further out moves it
        ("max_over_time(x offset 1m [1h:] @ 5)", [Moment("5", 60)]),
        ("x offset 1i", [Moment()]),  # of MetricsQL, and not known how long
        ("x offset (1m + 2m)", [Moment()]),
    ],
)
def test_offset_and_at_are_told_of_each_selector(query, moments):
    assert [selector.moment for selector in selectors(query)] == moments


@pytest.mark.parametrize(
    ("moment", "modifiers", "time_expression"),
    [
        (Moment(), "", "time()"),
        (Moment(offset_s=600), " offset 600s", "time() - 600"),
        (Moment("1609746000", -1.5), " @ 1609746000 offset -1500ms", "1609746000 - -1.5"),
        (Moment("end()", 60), " @ end() offset 60s", "time() - 60"),
    ],
)
def test_a_moment_is_written_as_promql(moment, modifiers, time_expression):
    assert (moment.modifiers, moment.time) == (modifiers, time_expression)
    promql_parser.parse(f"{moment.time} - timestamp(x{moment.modifiers})")


def test_a_subquery_lengthens_the_reach_of_what_it_encloses_alone():
    found = {
        selector.text: (selector.reach_s, selector.subquery_s) for selector in selectors("max_over_time(x[1h:1m]) + y")
    }
    assert found == {"x": (3900, 3600), "y": (300, 0)}


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


PIECES = [
    *('"', "'", "`", "{", "[", "(", '("', '{"', '{"\\"', '\\"{', "\\'{(", '\\"{\\\'', "{#", "#a", "by(", 'x{a="'),
    *("{#'\"", "{a" + "#b" * 3, "x[", "x[1m:", "[1m:1m]", "x offset ", "x @ ", "-", "x default ", "sum by ", "a "),
    *(" ", "\n", "1", "1.", "\\", "\u00e9", 'x{a="b"}[5m] offset 5m+', "x or ", 'a="b",', "(x)", ")", "}", "]", "0x"),
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_reading_takes_time_by_the_length_of_a_text_alone(piece):
    """A reader that goes over the rest of the text at each place takes hundreds of times as long as for plain text."""
    plain = cpu_s(lambda: selectors(("xy + " * 8192)[:8192]))
    assert cpu_s(lambda: selectors((piece * 8192)[:8192])) < 20 * plain + 0.01


def cpu_s(read: Callable[[], object]) -> float:
    """The least of three times in seconds of CPU."""

    def once() -> float:
        began_s = time.process_time()
        read()
        return time.process_time() - began_s

    return min(once() for _ in range(3))
