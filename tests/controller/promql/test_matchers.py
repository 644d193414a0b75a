import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.matchers import Finder, Matcher, literal, matchers_of


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=6))
def test_a_literal_pattern_matches_its_text(text):
    assert re.fullmatch(literal(text), text)


@pytest.mark.parametrize(
    ("text", "finder", "name"),
    [
        ('app="web"', Finder("app"), "web"),
        ('pod=~"web-[0-9]+"', Finder("pod", "-[0-9]+"), "web"),
        ('pod=~"web-[0-9]-[a-f]{5}"', Finder("pod", "-[0-9]-[a-f]{5}"), "web"),
        (r'pod=~"db\\.eu-1-[^-]*"', Finder("pod", "-[^-]*"), "db.eu-1"),
        (r"pod=~`db\.eu-[0-9]+`", Finder("pod", "-[0-9]+"), "db.eu"),
        ('pod=~"web-.*"', None, ""),
        ('pod!="web"', None, ""),
    ],
)
def test_a_matcher_finds_by_a_name_where_it_surely_does(text, finder, name):
    assert matchers_of(f" {text} ,") == [Matcher(text.split("=")[0].strip("!~"), text, finder, name)]


def test_braces_that_cannot_be_read_have_no_matchers():
    assert matchers_of('"up", a="b"') is None


@pytest.mark.parametrize(
    ("finder", "names", "matcher"),
    [
        (Finder("app"), ["a.b", "a.b"], 'app="a.b"'),
        (Finder("app"), ["a.b", "c"], 'app=~"a\\\\.b|c"'),
        (Finder("pod", "-[0-9]"), ["a.b", "a.b"], 'pod=~"a\\\\.b-[0-9]"'),
        (Finder("pod", "-[0-9]"), ["a.b", "c"], 'pod=~"(?:a\\\\.b|c)-[0-9]"'),
    ],
)
def test_one_matcher_finds_what_several_names_find(finder, names, matcher):
    assert finder.matcher(names) == matcher
