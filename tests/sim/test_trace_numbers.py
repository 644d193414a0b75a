"""Numbers of any locale: read where one way fits the column, refused where two do."""

import pytest

from scaling.errors import InputError
from sim.trace_numbers import read_numbers


def read(*cells: str, point_is_usual: bool = True) -> list[float]:
    return list(read_numbers(cells, "value", lambda index: f"line {index + 1}", point_is_usual).numbers)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (("300", "1e3", ".5", "-1.25E-2"), [300.0, 1000.0, 0.5, -0.0125]),
        (("1.234", "5.678"), [1.234, 5.678]),
        (("300,5", "302,25"), [300.5, 302.25]),
        (("0,123", "1,234"), [0.123, 1.234]),
        (("1,234.5", "1,234"), [1234.5, 1234.0]),
        (("1.234,5", "1.234"), [1234.5, 1234.0]),
        (("1,234,567", "1,234"), [1_234_567.0, 1234.0]),
        (("12345,678", "1,234"), [12345.678, 1.234]),
        (("1 234,5", "1 234"), [1234.5, 1234.0]),
        (("1\N{NO-BREAK SPACE}234.5", "1\N{NARROW NO-BREAK SPACE}234"), [1234.5, 1234.0]),
        (("1'234.5", "1\N{RIGHT SINGLE QUOTATION MARK}234"), [1234.5, 1234.0]),
        (("1_000", "2"), [1000.0, 2.0]),
    ],
)
def test_one_way_of_writing_is_found_for_the_whole_column(cells, numbers):
    assert read(*cells) == numbers


def test_another_row_settles_what_a_point_means_where_commas_are_usual():
    assert read("1.234", "0.5", point_is_usual=False) == [1.234, 0.5]
    assert read("1.234", "0,5", point_is_usual=False) == [1234.0, 0.5]
    assert read("1.234", "12", "1.500.000", point_is_usual=False) == [1234.0, 12.0, 1_500_000.0]


@pytest.mark.parametrize(("cells", "point_is_usual"), [(("1,234", "12"), True), (("1.234", "12"), False)])
def test_a_mark_that_can_be_either_is_refused(cells, point_is_usual):
    with pytest.raises(InputError, match=r"line 1: value is '1.234', which can be 1\.234 or 1234, and no other row"):
        read(*cells, point_is_usual=point_is_usual)


@pytest.mark.parametrize(
    ("cells", "numbers", "unit"),
    [
        (("950", "1.20 K", "3.4 Mil", "1.1 Bil"), [950.0, 1200.0, 3.4e6, 1.1e9], ""),
        (("70 req/s", "1.20K req/s", "2.5M req/s", "1B req/s"), [70.0, 1200.0, 2.5e6, 1e9], "req/s"),
        (("70,5 req/s", "1,20 K req/s"), [70.5, 1200.0], "req/s"),
        (("1.5 ops/s", "2 ops/s"), [1.5, 2.0], "ops/s"),
    ],
)
def test_counts_are_read_as_a_dashboard_formats_them(cells, numbers, unit):
    column = read_numbers(cells, "value", str)
    assert list(column.numbers) == pytest.approx(numbers)
    assert column.unit == unit


@pytest.mark.parametrize("text", ["250 ms", "1.2 MB/s", "3 KiB", "12 %", "12%", "1.2 B", "5 req/m", "1 min", "2 m"])
def test_another_unit_is_refused_by_its_name(text):
    with pytest.raises(InputError, match=r"a number with the unit '.+'; write plain numbers"):
        read(text, text)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("70 req/s", "80"), "line 2: value is '80', but has 'req/s' in the rows before; use one unit"),
        (("1", "null"), "line 2: value is 'null', no reading; a missing reading is not zero"),
        (("1", ""), "line 2: value is '', no reading"),
        (("1", "NaN"), "line 2: value is 'NaN', no reading"),
        (("1", "+Inf"), "line 2: value is '+Inf', must be finite"),
        (("1", "x"), "line 2: value is 'x', must be a number"),
        (("1", "1.2.3"), "line 2: value is '1.2.3', must be a number"),
        (("1", "1,23,456"), "line 2: value is '1,23,456', must be a number"),
        (("1", "\N{ARABIC-INDIC DIGIT THREE}"), "must be a number"),
        (("1,5", "1.5"), "line 2: value is '1.5', but the rows before have the other decimal mark"),
    ],
)
def test_what_is_no_number_is_refused_with_its_line(cells, said):
    with pytest.raises(InputError) as refused:
        read(*cells)
    assert said in str(refused.value)
