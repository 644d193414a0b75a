import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.crd.fields import Field, duration, quantity, read_fields
from scaling.errors import InputError
from scaling.limits import whole_number


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("70", 70.0),
        (70, 70.0),
        ("0.25", 0.25),
        (".5", 0.5),
        ("5.", 5.0),
        ("+3", 3.0),
        ("-3", -3.0),
        ("100m", 0.1),
        ("1500u", 0.0015),
        ("1n", 1e-9),
        ("1k", 1000.0),
        ("1.5M", 1.5e6),
        ("2E", 2e18),
        ("1Ki", 1024.0),
        ("1.5Gi", 1.5 * 2**30),
        ("1e3", 1000.0),
        ("1E3", 1000.0),
        ("12e-1", 1.2),
        (0, 0.0),
        ("1e-400", 0.0),
        (2**63 - 1, float(2**63 - 1)),
    ],
)
def test_quantities_read_as_in_kubernetes(written, value):
    assert quantity(written, "q") == value


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "abc",
            " 5",
            "5 ",
            "1 k",
            "1K",
            "1ki",
            "1kk",
            "1e",
            "1e3k",
            "0x10",
            "1_000",
            "nan",
            "inf",
            "--1",
            "1.2.3",
        ),
        *("٣", "1e99999", "1" * 65, "5\n", "m", ".", None, True, 0.25, math.inf, math.nan, [], {}, b"5"),
    ],
)
def test_what_is_no_quantity_is_refused(written):
    with pytest.raises(InputError, match=r"^q: "):
        quantity(written, "q")


@pytest.mark.parametrize(
    "written", ["1e400", "9.3E", "-1e400", "9223372036854775808", 2**63, pytest.param(10**5000, id="5001-digits")]
)
def test_quantities_end_where_64_bits_end(written):
    with pytest.raises(InputError, match=r"9223372036854775807|64-bit"):
        quantity(written, "q")


def test_a_bare_float_is_refused_with_the_way_out():
    with pytest.raises(InputError, match=r"^q: 0\.5 is a float; write a quantity in quotes"):
        quantity(0.5, "q")


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=3))
def test_plain_decimals_read_as_themselves(number):
    assert quantity(f"{number:f}", "q") == float(number)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("180s", 180), ("3m", 180), ("1h", 3600), ("1h30m", 5400), ("500ms", 0.5), ("0s", 0), ("00060s", 60)],
)
def test_durations_read_as_in_kubernetes(written, seconds):
    assert duration(written, "d") == seconds


@pytest.mark.parametrize(
    "written", ["", "180", 180, "3 m", "-3m", "1.5h", "1d", "3M", "100000s", "1h1h1h1h1h", "5m\n", None, True, "٣s"]
)
def test_what_is_no_duration_is_refused(written):
    with pytest.raises(InputError, match=r"^d: .* is not a duration"):
        duration(written, "d")


FIELDS = {"minReplicas": Field(whole_number, "min_replicas"), "demand": Field(whole_number, "demand", required=True)}


def test_absent_and_null_fields_leave_their_default_to_the_value():
    assert read_fields({"demand": 3, "minReplicas": None}, "spec", FIELDS) == {"demand": 3}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"demnad": 3}, "spec.demnad: unknown field; did you mean demand?"),
        ({"demand": 1, "zzz": 3}, "spec.zzz: unknown field; known are minReplicas, demand"),
        ({"demand": 1, "a\nb": 3}, 'spec."a\\nb": unknown field; known are minReplicas, demand'),
        ({"demand": 1, 7: 3}, "spec.7: unknown field; known are minReplicas, demand"),
        ({"demand": 1, None: 3}, "spec.null: unknown field; known are minReplicas, demand"),
        ({}, "spec.demand is required, but missing"),
        ({"demand": None}, "spec.demand is required, but null"),
        ([], "spec: a list is not an object"),
        ("x", 'spec: "x" is not an object'),
        (None, "spec: null is not an object"),
        ({"demand": "3"}, 'spec.demand: "3" is not a whole number'),
    ],
)
def test_structure_is_refused_with_its_path(body, message):
    with pytest.raises(InputError) as caught:
        read_fields(body, "spec", FIELDS)
    assert str(caught.value) == message
