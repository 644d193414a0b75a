import pytest

from controller.promql.emptiness import ends_with_its_samples

ENDS = [
    'sum(rate(x{a=~"b|c"}[5m] offset 10m)) / on (b) group_left (c) sum by (b) (increase(y[1h]))',
    "sum(x) and sum(y) > bool 0",
    "(time() - timestamp(x)) * 2 ^ -1",
    "topk(3, clamp_min(x, 1)) atan2 y",
    "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))",
    "max_over_time(rate(x[1m])[10m:1m] @ end())",
    'label_replace(x, "a", "$1", "b", "(.*)")',
]
MAY_ANSWER = [
    *("x or vector(0)", "x OR y", "x unless y", "absent(x)", "absent_over_time(x[5m])", "1 - absent(x)"),
    *("x default 0", "x ifnot y", "a + fill(0) b", "a + fill_left (0) b", "a + on (b) fill_right (0) c"),
    *("scalar(x) > bool 0", "vector(1)", "x * scalar(y)", "topk(scalar(y), x)", "count_values(scalar(x), y)"),
    *("info(x)", "a_new_function(x)", "x a_new_word 5", "sum(rate(x[1m]) keep_metric_names)", "x smoothed"),
    *("with (a = x) a default 0", "x +", "sum(x", "", '"', "sum(rate(x[1m] anchored))"),
]


@pytest.mark.parametrize("query", ENDS)
def test_known_forms_answer_nothing_once_their_samples_have_ended(query):
    assert ends_with_its_samples(query)


@pytest.mark.parametrize("query", MAY_ANSWER)
def test_any_other_form_may_answer_without_samples(query):
    assert not ends_with_its_samples(query)
