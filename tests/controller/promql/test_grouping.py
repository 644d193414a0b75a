import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.grouping import shape_of, shared_query
from controller.promql.matchers import literal
from controller.promql.structure import MOST_NESTED
from controller.promql.syntax import quoted, selectors


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
    assert found.split.labels == ("app",)
    assert found.rows == (("a",), ("b",))
    assert shared is None or found.text == shared


def test_labels_with_one_value_stay_as_they_are():
    found = together('sum(x{ns="shop",app="a"})', 'sum(x{ns="shop",app="b"})')
    assert found.text == 'sum by (app)(x{ns="shop",app=~"a|b"})'


def test_a_value_that_differs_within_a_query_is_part_of_its_form():
    one, other = (shape_of(f'sum(x{{app="a",s="{s}"}})/sum(x{{app="a",s="2"}})') for s in "13")
    assert one is not None
    assert other is not None
    assert [finder.label for finder in one.finders] == ["app"]
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
        'sum(x{a=~"b-.*"})',
        'sum(x{a=~"b-.+"})',
        'sum(x{a=~"b-[0-9]+|c-[0-9]+"})',
        'sum(x{a=~"b-[0-9]+.*"})',
        'sum(x{a=~"b-[0-9]+c"})',
        'sum(x{a=~"b-([0-9]+)"})',
        'sum(x{a=~"b-[0-9]+?"})',
        'sum(x{a=~"b-[0-9-]+"})',
        'sum(x{a=~"b-[-0-9]+"})',
        'sum(x{a=~"b-[!-9]+"})',
        'sum(x{a=~"b-[^0-9]+"})',
        'sum(x{a=~"b-[]0-9]+"})',
        'sum(x{a=~"b-[[:alpha:]]+"})',
        'sum(x{a=~"b-[0-9](-[0-9])?"})',
        'sum(x{a=~"b[0-9]+"})',
        'sum(x{a=~"b.c-[0-9]+"})',
        'sum(x{a=~"(?i)b-[0-9]+"})',
        'sum(x{a=~"(b|c)-[0-9]+"})',
        'sum(x{a=~"-[0-9]+"})',
        'sum(x{a!~"b-[0-9]+"})',
        'sum(x{a=~"b-[0-9]+",a!="b-0"})',
        'sum(x{a=~"b-[0-9]+"}) + sum(y{a=~"c-[0-9]+"})',
        'sum(x{a=~"b-[0-9]+"}) + sum(y{a=~"b-[a-z]+"})',
        'sum(x{a=~"b-[0-9]+"}) + sum(y{a="b-[0-9]+"})',
        'sum({__name__=~"b-[0-9]+"})',
        'sum(x{selector=~"b-[0-9]+"})',
        'sum(x{forescale_a="b"})',
        'sum(x{forescale_a=~"b-[0-9]+"})',
        "(" * (MOST_NESTED + 1) + 'sum(x{a="b"})' + ")" * (MOST_NESTED + 1),
        "(" * 4000,
    ],
)
def test_whatever_is_not_surely_of_the_form_is_asked_by_itself(query):
    assert shape_of(query) is None


HASH = "[bcdfghjklmnpqrstvwxz2456789]"
ENDINGS = ["-[0-9]+", f"-{HASH}{{1,10}}-{HASH}{{5}}", "-[a-c]{1,2}-[0-9]", "-[^-]+", "-[a-z0-9]*-[0-9]{01}-[a-f]?"]


def of_pods(name, ending="-[0-9]+"):
    return f'sum(rate(x{{ns="shop",pod=~{quoted(literal(name) + ending)}}}[1m]))'


def test_names_that_an_ending_follows_tell_rows_apart_by_a_label_of_ours():
    found = together(of_pods("web"), of_pods("db.eu"), of_pods("web-agent"))
    assert found.text == (
        'sum by (forescale_pod)(label_replace(rate(x{ns="shop",pod=~"(?:web|db\\\\.eu|web-agent)-[0-9]+"}[1m])'
        ', "forescale_pod", "$1", "pod", "(.+)-[0-9]+"))'
    )
    assert found.rows == (("web",), ("db.eu",), ("web-agent",))


def test_a_share_of_pods_that_a_pattern_finds_is_split_in_both_its_sums():
    ratio = '1 - sum(good{pod=~"NAME-[0-9]+"}) / sum(rate(all{pod=~"NAME-[0-9]+"}[1m]))'
    found = together(ratio.replace("NAME", "a"), ratio.replace("NAME", "b"))
    naming = ', "forescale_pod", "$1", "pod", "(.+)-[0-9]+")'
    assert found.text == (
        f'1-sum by (forescale_pod)(label_replace(good{{pod=~"(?:a|b)-[0-9]+"}}{naming})'
        f'/sum by (forescale_pod)(label_replace(rate(all{{pod=~"(?:a|b)-[0-9]+"}}[1m]){naming})'
    )
    assert [(one.function, one.range_text) for one in selectors(found.text)] == [(None, None), ("rate", "[1m]")]


def test_names_of_both_kinds_and_of_two_patterns_tell_rows_apart_together():
    found = together(*(f'sum(x{{ns="{n}",pod=~"{n}-[0-9]",node=~"{m}-[a-f]"}})' for n, m in ("ab", "ba", "aa")))
    assert found.text == (
        "sum by (ns, forescale_pod, forescale_node)(label_replace(label_replace("
        'x{ns=~"a|b",pod=~"(?:a|b)-[0-9]",node=~"(?:b|a)-[a-f]"}'
        ', "forescale_pod", "$1", "pod", "(.+)-[0-9]"), "forescale_node", "$1", "node", "(.+)-[a-f]"))'
    )
    assert found.rows == (("a", "a", "b"), ("b", "b", "a"), ("a", "a", "a"))


def test_a_pattern_of_one_name_stays_as_it_is():
    one = 'sum(x{app="NAME",pod=~"web-[0-9]+"})'
    found = together(one.replace("NAME", "a"), one.replace("NAME", "b"))
    assert found.text == 'sum by (app)(x{app=~"a|b",pod=~"web-[0-9]+"})'


def test_endings_that_differ_are_asked_apart():
    keys = [shape.key for ending in ENDINGS if (shape := shape_of(of_pods("web", ending)))]
    plain = shape_of('sum(rate(x{ns="shop",pod="web"}[1m]))')
    assert plain is not None
    assert len({*keys, plain.key}) == len(ENDINGS) + 1


def test_no_matcher_that_is_written_can_be_taken_for_the_form_of_a_name():
    written, named = (shape_of(f'sum(x{{app="a",pod=~"{name}-[0-9]+"}})') for name in ("?", "web"))
    assert written is not None
    assert named is not None
    assert written.key != named.key


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6)


@given(st.lists(NAMES, min_size=2, max_size=4, unique=True))
def test_the_shared_query_reads_the_values_and_no_others(names):
    found = together(*('sum(x{a="' + name.replace("\\", "\\\\").replace('"', '\\"') + '"})' for name in names))
    assert found.rows == tuple((name,) for name in names)
    (selector,) = selectors(found.text)
    written = selector.text.removeprefix('x{a=~"').removesuffix('"}')
    pattern = re.sub(r'\\(["\\])', r"\1", written)
    assert all(re.fullmatch(pattern, name) for name in names)
    assert not re.fullmatch(pattern, "".join(names))


PODS = st.text("ab.-05", min_size=1, max_size=12)
BEGINNINGS = st.from_regex(r"[ab05]([ab05.-]{0,5}[ab05])?", fullmatch=True)


@given(st.lists(BEGINNINGS, min_size=2, max_size=4, unique=True), st.sampled_from(ENDINGS), st.lists(PODS))
def test_a_pod_is_in_the_row_of_whoever_finds_it_alone(names, ending, others):
    pods = [name + tail for name in names for tail in ("-0", "-b5-b5b5b", "-b-0", "-a5b-0-a", "-0-a-0")]
    found = together(*(of_pods(name, ending) for name in names))
    (shared,) = re.findall(r'pod=~"(.*)"}', found.text)
    (naming,) = re.findall(r'"pod", "(.*)"\)\)', found.text)
    for pod in pods + others:
        alone = [(name,) for name in names if re.fullmatch(literal(name) + ending, pod)]
        found_by = re.fullmatch(shared.replace(r"\\", "\\"), pod) and re.fullmatch(naming, pod)
        assert alone == ([(found_by[1],)] if found_by else [])


@given(st.text(alphabet="""sum(rate)x{a="b-[0]"}[1m]+-*/ 1.,=~!'`\\#\n""", max_size=40))
def test_any_text_has_a_form_or_none(query):
    shape = shape_of(query)
    assert shape is None or shared_query([shape]).split.labels == ()
