"""Times in every form that exports have: read, or refused by the form's name."""

import numpy as np
import pytest

from scaling.errors import InputError
from sim.trace_times import read_times, unit_in

NEW_YEAR_S = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


def seconds(*cells: str, name: str | None = None) -> list[float]:
    found = read_times(cells, name, lambda index: f"line {index + 1}").seconds
    return [float(value) for value in found]


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(("1767225600", "1767225660"), id="epoch-s"),
        pytest.param(("1767225600.000", "1767225660.000"), id="epoch-s-with-fraction"),
        pytest.param(("1767225600000", "1767225660000"), id="epoch-ms"),
        pytest.param(("1767225600000000", "1767225660000000"), id="epoch-us"),
        pytest.param(("1767225600000000000", "1767225660000000000"), id="epoch-ns"),
        pytest.param(("1,767,225,600,000", "1,767,225,660,000"), id="epoch-ms-in-groups"),
        pytest.param(("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"), id="iso"),
        pytest.param(("2026-01-01t00:00:00z", "2026-01-01t00:01:00z"), id="iso-in-lower-case"),
        pytest.param(("2026-01-01T00:00Z", "2026-01-01T00:01Z"), id="iso-without-seconds"),
        pytest.param(("2026-01-01T01:00:00+01:00", "2026-01-01T01:01:00+01:00"), id="iso-with-an-offset"),
        pytest.param(("2025-12-31T19:00:00.000-0500", "2025-12-31T19:01:00.000-0500"), id="iso-west-of-Greenwich"),
        pytest.param(("2026-01-01 00:00:00 +0000 UTC", "2026-01-01 00:01:00 +0000 UTC"), id="as-Go-prints-it"),
        pytest.param(("2026-01-01 00:00:00", "2026-01-01 00:01:00"), id="local-with-a-space"),
        pytest.param(("2026-01-01 00:00:00,000", "2026-01-01 00:01:00,000"), id="local-with-a-decimal-comma"),
        pytest.param(("2026-01-01T00:00:00.000000000", "2026-01-01T00:01:00.000000000"), id="local-with-nanoseconds"),
        pytest.param(("2026/1/1 0:00", "2026/1/1 0:01"), id="year-first-with-slashes"),
    ],
)
def test_these_forms_are_one_and_the_same_minute(cells):
    assert seconds(*cells) == [NEW_YEAR_S, NEW_YEAR_S + 60.0]


def test_fractions_of_a_second_are_kept():
    assert seconds("2026-01-01T00:00:00.250Z", "1970-01-01T00:00:00.5Z") == [NEW_YEAR_S + 0.25, 0.5]
    assert seconds("1767225600250", "1767225660250") == [NEW_YEAR_S + 0.25, NEW_YEAR_S + 60.25]


def test_an_offset_that_changes_with_summer_time_is_no_gap():
    assert np.diff(seconds("2026-03-29T01:59:00+01:00", "2026-03-29T03:00:00+02:00")).tolist() == [60.0]


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("t_seconds", "s"), ("Time (ms)", "ms"), ("timestamp_ns", "ns"), ("time [µs]", "us"), ("t_minutes", "min"),
        ("elapsed hours", "h"), ("Time", None), ("t", None), ("items", None), ("", None),
    ],
)  # fmt: skip
def test_a_column_may_name_the_unit_of_its_numbers(name, unit):
    assert unit_in(name) == unit


def test_a_named_unit_counts_at_any_size():
    assert seconds("0", "60000", name="t_ms") == [0.0, 60.0]
    assert seconds("0", "86400", name="t_seconds") == [0.0, 86_400.0]
    assert seconds("1", "2", name="Time (h)") == [3_600.0, 7_200.0]
    assert seconds("1", "2", name="day") == [86_400.0, 172_800.0]
    assert seconds("1767225600000", "1767225660000", name="timestamp_ms") == [NEW_YEAR_S, NEW_YEAR_S + 60.0]


def test_bare_numbers_from_the_start_of_the_file_are_seconds():
    assert seconds("0", "15") == [0.0, 15.0]
    assert seconds("-3600", "0") == [-3_600.0, 0.0]
    assert seconds("0", "60", name="Time") == [0.0, 60.0]


@pytest.mark.parametrize(
    ("cells", "name", "said"),
    [
        (("01/02/2026 00:00", "01/02/2026 00:01"), "Time", "day and month can be taken for each other"),
        (("31.12.2026 00:00", "31.12.2026 00:01"), "Zeit", "day and month can be taken for each other"),
        (("12/31/2026, 11:59:00 PM", "1/1/2027, 12:00:00 AM"), None, "day and month can be taken for each other"),
        (("00:00:00", "00:01:00"), None, "a time of day without its date"),
        (("12:00 AM", "12:01 AM"), None, "a time of day without its date"),
        (("Thu Jan 01 2026", "Thu Jan 01 2026"), None, "a date in words"),
        (("1 Jan 2026 00:00", "1 Jan 2026 00:01"), None, "a date in words"),
        (("20260101", "20260102"), "date", "a date without hyphens"),
        (("202601010000", "202601010001"), None, "a date without hyphens"),
        (("20260101T000000Z", "20260101T000100Z"), None, "a date without hyphens"),
        (("1.76723E+12", "1.76723E+12"), None, "last digits a spreadsheet has cut"),
        (("46023.0000", "46023.000694"), None, "a spreadsheet's count of days"),
        (("0", "1000"), None, "seconds or milliseconds? Name the column t_seconds or t_ms"),
        (("1", "2"), "month", "holds counts and no times"),
        (("0", "60000"), "Time", "seconds or milliseconds? Name the column t_seconds or t_ms"),
        (("17672256000", "17672256060"), None, "no epoch of the years 2000 to 2099"),
        (("0", "1"), "index", "holds counts and no times"),
        (("0", "1"), "", "holds counts and no times"),
        (("?", "?"), None, "no form of a time that is read"),
        (("2026-02-30 00:00", "2026-02-30 00:01"), None, "no date and time"),
    ],
)  # fmt: skip
def test_a_form_that_could_mislead_is_refused_by_its_name(cells, name, said):
    with pytest.raises(InputError) as refused:
        seconds(*cells, name=name)
    assert said in str(refused.value)
    assert cells[0] in str(refused.value) or "column" in str(refused.value)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("2026-01-01T00:00:00Z", "1767225660"), "line 2: '1767225660' is not a date and time as in the rows before"),
        (("2026-01-01T00:00:00Z", "2026-01-01T00:01:00"), "line 2: '2026-01-01T00:01:00' has no zone, unlike"),
        (("1767225600", "2026-01-01T00:01:00Z"), "line 2: t_seconds is '2026-01-01T00:01:00Z'"),
        (("0", ""), "line 2: t_seconds is '', no reading"),
    ],
)
def test_one_form_holds_for_all_rows(cells, said):
    with pytest.raises(InputError) as refused:
        seconds(*cells)
    assert said in str(refused.value)


def test_clock_times_without_a_zone_are_told_apart():
    assert read_times(("2026-01-01 00:00",), None, str).local
    assert not read_times(("2026-01-01 00:00Z",), None, str).local
