import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.prometheus.answer import (
    Ages,
    Grid,
    error_words,
    parse_ages,
    parse_history,
    parse_readings,
)
from scaling.decision import Reason
from scaling.observation import Unknown, Value
from tests.controller.prometheus.stub import a_body, a_vector, ages

SECRET = "s3cr3t"


def parse_reading(body):
    """Of a query that is asked alone."""
    return of_row(parse_readings(body))


def of_row(rows, *values):
    return rows if isinstance(rows, Unknown) else rows.of(values)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (a_vector("7"), 7.0),
        (a_vector("0"), 0.0),
        (a_vector("-0.5"), -0.5),
        (a_vector("1.5e+06"), 1.5e6),
        (a_vector("1" + "0" * 308), 1e308),
        (a_vector("0." + "0" * 323 + "5"), 5e-324),
        (a_body("scalar", [1.5, "3"]), 3.0),
        (b'{"data":{"result":[{"value":[1,"2"]}],"resultType":"vector"},"status":"success","later":[1]}', 2.0),
    ],
)
def test_one_number_is_a_value(body, value):
    assert parse_reading(body) == Value(value)


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        pytest.param(a_vector(), Reason.METRIC_EMPTY, "answered nothing", id="empty"),
        pytest.param(a_vector("NaN"), Reason.METRIC_NAN, "NaN", id="nan"),
        pytest.param(a_vector("+Inf"), Reason.METRIC_ERROR, "+Inf", id="inf"),
        pytest.param(a_vector("-Inf"), Reason.METRIC_ERROR, "-Inf", id="minus-inf"),
        pytest.param(a_vector("1", "2", "3"), Reason.METRIC_ERROR, "3 series", id="series"),
        pytest.param(a_body("matrix", []), Reason.METRIC_ERROR, "time range", id="matrix"),
        pytest.param(a_body("string", [1, SECRET]), Reason.METRIC_ERROR, "a string", id="string"),
        pytest.param(a_body(SECRET, []), Reason.METRIC_ERROR, "unknown type", id="kind"),
        pytest.param(a_body("scalar", [1]), Reason.METRIC_ERROR, "not one number", id="scalar-of-one"),
        pytest.param(a_body("scalar", []), Reason.METRIC_ERROR, "not one number", id="empty-scalar"),
        pytest.param(a_body("vector", [SECRET]), Reason.METRIC_ERROR, "not one number", id="not-a-series"),
        pytest.param(a_body("vector", [{}]), Reason.METRIC_ERROR, "not one number", id="no-value"),
        pytest.param(
            a_body("vector", [{"histogram": [1, {}]}]), Reason.METRIC_ERROR, "not one number", id="native-histogram"
        ),
        pytest.param(a_body("vector", [{"value": [1, 7]}]), Reason.METRIC_ERROR, "not one number", id="json-number"),
        pytest.param(a_body("vector", [{"value": ["7"]}]), Reason.METRIC_ERROR, "not one number", id="value-of-one"),
        pytest.param(a_body("vector", {}), Reason.METRIC_ERROR, "not an answer", id="result-object"),
        pytest.param(a_body("vector", None), Reason.METRIC_ERROR, "not an answer", id="result-null"),
        pytest.param(a_body(None, []), Reason.METRIC_ERROR, "not an answer", id="kind-null"),
        pytest.param(b'{"status":"success","data":null}', Reason.METRIC_ERROR, "not an answer", id="data-null"),
        pytest.param(b'{"status":"success"}', Reason.METRIC_ERROR, "not an answer", id="no-data"),
        pytest.param(b'{"status":"s3cr3t","data":{}}', Reason.METRIC_ERROR, "not an answer", id="status"),
        pytest.param(b"[]", Reason.METRIC_ERROR, "not an answer", id="list"),
        pytest.param(b"7", Reason.METRIC_ERROR, "not an answer", id="number"),
        pytest.param(b"", Reason.METRIC_ERROR, "not JSON", id="nothing"),
        pytest.param(b"<html>s3cr3t</html>", Reason.METRIC_ERROR, "not JSON", id="html"),
        pytest.param(a_vector("7")[:-9], Reason.METRIC_ERROR, "not JSON", id="truncated"),
        pytest.param(a_vector("7").replace(b"7", b"\xfc"), Reason.METRIC_ERROR, "not JSON", id="latin-1"),
        pytest.param(a_vector("7").decode().encode("utf-16"), Reason.METRIC_ERROR, "not JSON", id="utf-16"),
        pytest.param(b"[" * 100_000, Reason.METRIC_ERROR, "not JSON", id="nesting"),
        pytest.param(b'{"status":' + b"1" * 5000 + b"}", Reason.METRIC_ERROR, "not JSON", id="long-integer"),
        pytest.param(b'{"status": NaN}', Reason.METRIC_ERROR, "not JSON", id="json-nan"),
    ],
)
def test_anything_else_is_unknown_with_a_reason(body, reason, words):
    reading = parse_reading(body)
    assert isinstance(reading, Unknown)
    assert reading.reason is reason
    assert words in reading.message
    assert SECRET not in reading.message
    in_a_group = of_row(parse_readings(body, ["pod"]), "1" if "series" in words else "0")
    assert in_a_group == Value(2.0) if "series" in words else isinstance(in_a_group, Unknown)
    assert isinstance(in_a_group, Value) or (in_a_group.reason is reason and SECRET not in in_a_group.message)
    assert isinstance(of_row(parse_ages(body, ["pod"])), Unknown | Ages)


ROWS = [("a", "7"), ("b", "NaN"), ("c", "+Inf"), ("d", "1e999"), ("e", "1"), ("e", "2"), ("", "3")]


def a_group(rows=ROWS, **more):
    series = [{"metric": {"app": app} if app else {}, "value": [1.5, value]} for app, value in rows]
    return a_body("vector", series, **more)


def test_each_row_of_a_group_is_a_reading_of_its_own():
    rows = parse_readings(a_group(ROWS[:-1]), ["app"])
    assert of_row(rows, "a") == Value(7.0)
    assert [of_row(rows, app).reason for app in "bcde"] == [Reason.METRIC_NAN] + [Reason.METRIC_ERROR] * 3
    assert "2 series" in of_row(rows, "e").message
    assert of_row(rows, "nobody") == Unknown(Reason.METRIC_EMPTY, "the query answered nothing")


def test_a_group_that_is_partial_has_no_empty_row():
    rows = parse_readings(a_group(ROWS[:1], warnings=["store a is away"]), ["app"])
    assert of_row(rows, "a") == Value(7.0, partial=True)
    assert of_row(rows, "nobody").reason is Reason.METRIC_ERROR


@pytest.mark.parametrize("labels", [{}, {"app": 1}, {"pod": "a"}, None, [], "app"])
def test_a_series_without_the_labels_spoils_the_answer_for_all(labels):
    body = a_body("vector", [{"metric": {"app": "a"}, "value": [1, "7"]}, {"metric": labels, "value": [1, "7"]}])
    assert "without the labels" in of_row(parse_readings(body, ["app"]), "a").message
    assert "without the labels" in of_row(parse_ages(body, ["app"]), "a").message


def test_ages_of_a_group_come_by_row():
    def age(app, place, value):
        return {"metric": {"app": app, "selector": place}, "value": [1.5, value]}

    series = [age("a", "0", "3"), age("a", "1", "4"), age("b", "0", "NaN"), age("c", "0", "1"), age("c", "0", "2")]
    rows = parse_ages(a_body("vector", series), ["app"])
    assert of_row(rows, "a") == Ages({0: 3.0, 1: 4.0}, partial=False)
    assert of_row(rows, "nobody") == Ages({}, partial=False)
    assert isinstance(of_row(rows, "b"), Unknown)
    assert isinstance(of_row(rows, "c"), Unknown)


@pytest.mark.parametrize(
    "text",
    ["1e309", "-1e309", "1e99999", "0x10", " 5", "5 ", "1_0", "٣", "", "nan", "infinity", "1,5", "--1", "9" * 5000],
)
def test_what_go_does_not_write_is_no_number(text):
    reading = parse_reading(a_vector(text))
    assert isinstance(reading, Unknown)
    assert reading.reason is Reason.METRIC_ERROR
    assert "not a number" in reading.message


@pytest.mark.parametrize(
    ("more", "partial"),
    [
        ({"warnings": ["store a is away"]}, True),
        ({"warnings": ["PromQL info: metric might not be a counter"]}, False),
        ({"warnings": ["PromQL info: x", "store a is away"]}, True),
        ({"warnings": ["PromQL warning: bucket label is missing"]}, True),
        ({"warnings": []}, False),
        ({"warnings": None}, False),
        ({"warnings": {"not": "a list"}}, True),
        ({"warnings": [None]}, True),
        ({"infos": ["metric might not be a counter"]}, False),
        ({"isPartial": True}, True),
        ({"isPartial": False}, False),
    ],
)
def test_warnings_make_a_reading_partial_and_remarks_do_not(more, partial):
    assert parse_reading(a_vector("7", **more)) == Value(7.0, partial)


def test_nothing_that_is_partial_is_not_called_empty():
    reading = parse_reading(a_vector(warnings=["store a is away"]))
    assert isinstance(reading, Unknown)
    assert reading.reason is Reason.METRIC_ERROR


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"errorType": "bad_data", "error": 'invalid parameter "query": 1:5: parse error: "\n\u202e'},
            'bad_data: "1:5: parse error: \\"\\n\\u202e"',
        ),
        ({"errorType": "bad_data", "error": "x" * 500}, f'bad_data: "{"x" * 120}"'),
        ({"errorType": "execution", "error": SECRET}, "execution"),
        ({"errorType": SECRET, "error": SECRET}, ""),
        ({"errorType": ["bad_data"], "error": SECRET}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_an_error_is_said_by_its_type_and_a_bad_query_by_its_words(body, words):
    assert error_words(json.dumps(body).encode()) == words


def test_an_error_within_a_good_status_is_an_error():
    reading = parse_reading(b'{"status":"error","errorType":"timeout","error":"s3cr3t"}')
    assert reading == Unknown(Reason.METRIC_ERROR, "Prometheus answered an error: timeout")


GRID = Grid(start_s=1000.0, step_s=15.0, steps=4)


def a_matrix(*series, **more):
    return a_body("matrix", [{"metric": {}, "values": values} for values in series], **more)


def test_a_history_lies_on_its_grid_with_gaps():
    values = parse_history(a_matrix([[1000, "1"], [1030.0, "3.5"], [1045, "NaN"]]), GRID)
    assert str(values) == "[1.0, nan, 3.5, nan]"
    assert GRID.end_s == 1045.0


def test_a_history_that_a_cache_moved_by_less_than_a_step_keeps_its_place():
    assert str(parse_history(a_matrix([[993, "1"], [1008, "2"], [1053.1, "9"]]), GRID)) == "[1.0, 2.0, nan, nan]"


def test_no_history_is_all_gaps():
    assert str(parse_history(a_matrix(), GRID)) == "[nan, nan, nan, nan]"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (a_matrix([[1000, "1"]], [[1000, "2"]]), "2 series"),
        (a_matrix([[1000, "1"]], warnings=["store a is away"]), "partial"),
        (a_matrix([[1000, "1"]], isPartial=True), "partial"),
        (a_vector("1"), "one number where samples over a time range"),
        (a_body("matrix", [7]), "not an answer"),
        (a_body("matrix", [{"values": {}}]), "not an answer"),
        (a_matrix([[1000, 1]]), "not one number"),
        (a_matrix([7]), "not one number"),
        (a_matrix([["1000", "1"]]), "a time"),
        (a_matrix([[True, "1"]]), "a time"),
        (a_matrix([[1e300, "1"]]), "a time"),
        (b'{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1e999,"1"]]}]}}', "a time"),
    ],
)
def test_what_is_no_single_series_is_no_history(body, words):
    history = parse_history(body, GRID)
    assert isinstance(history, Unknown)
    assert words in history.message


def test_ages_come_by_selector():
    assert of_row(parse_ages(ages(3.5, 200))) == Ages({0: 3.5, 1: 200.0}, partial=False)
    assert of_row(parse_ages(ages())) == Ages({}, partial=False)
    assert of_row(parse_ages(ages(1, warnings=["x"]))) == Ages({0: 1.0}, partial=True)


@pytest.mark.parametrize(
    "series",
    [7, {}, {"metric": {"selector": "0"}}, {"metric": {"selector": "-1"}, "value": [1, "2"]}]
    + [{"metric": labels, "value": [1, "2"]} for labels in (None, {}, {"selector": 0}, {"selector": "٣"})]
    + [{"metric": {"selector": "0"}, "value": [1, "NaN"]}],
)
def test_what_is_no_age_is_unknown(series):
    assert isinstance(of_row(parse_ages(a_body("vector", [series]))), Unknown)


LEAVES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8)
LEAVES |= st.sampled_from(["vector", "matrix", "scalar", "success", "error", "NaN", "+Inf", "1e309", "7"])
KEYS = st.sampled_from(["status", "data", "resultType", "result", "value", "values", "metric", "selector", "warnings"])
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
BODIES = (
    st.binary(max_size=60)
    | TREES.map(lambda tree: json.dumps(tree).encode())
    | st.builds(a_body, LEAVES, TREES, warnings=TREES)
    | st.builds(lambda kind, sample: a_body(kind, [sample]), st.sampled_from(["vector", "matrix"]), TREES)
    | st.lists(TREES, max_size=3).map(lambda pair: a_body("vector", [{"metric": {"selector": "1"}, "value": pair}]))
    | st.lists(TREES, max_size=3).map(lambda pair: a_body("matrix", [{"values": [pair]}]))
)


@settings(max_examples=300, deadline=None)
@given(BODIES)
def test_any_body_is_a_finite_number_or_unknown_in_one_line(body):
    reading, found_ages, history = parse_reading(body), of_row(parse_ages(body)), parse_history(body, GRID)
    if isinstance(reading, Value):
        assert math.isfinite(reading.value)
    if isinstance(found_ages, Ages):
        assert all(map(math.isfinite, found_ages.by_selector.values()))
    if isinstance(history, list):
        assert len(history) == GRID.steps
    shared = [of_row(parse(body, ["selector"]), "1") for parse in (parse_readings, parse_ages)]
    for outcome in (reading, found_ages, history, *shared):
        if isinstance(outcome, Unknown):
            assert outcome.message.isascii()
            assert outcome.message.isprintable()
            assert len(outcome.message) < 250
    assert error_words(body).isprintable()
