from controller.promql.matchers import Finder, Matcher
from controller.promql.sums import CLOSING, OPENING, sums_of


def test_a_query_is_read_in_parts_of_which_a_shared_one_keeps_the_text():
    sums = sums_of('1 - sum(rate(x{app="web",code!="500"}[1m])) # good')
    assert sums is not None
    app = Matcher("app", 'app="web"', Finder("app"), "web")
    text = ["1", "-", "sum", OPENING, "rate", "(", "x", "{", app, ",", 'code!="500"', "}", "[1m]", ")", CLOSING]
    assert sums.parts == text
    assert sums.selectors == [{Finder("app"): "web"}]


def test_a_selector_has_no_name_by_a_label_that_two_matchers_are_on():
    sums = sums_of('sum(x{app="web",pod=~"web-[0-9]+",pod!="web-0"})')
    assert sums is not None
    assert sums.selectors == [{Finder("app"): "web"}]


def test_another_query_is_not_read():
    assert sums_of('sum(x{app="web"}) > 3') is None
