"""Whole exports, as dashboards and spreadsheets write them: read, or refused with what to do."""

import random
from pathlib import Path

import pytest

from scaling.errors import InputError
from sim.traces import Trace, read_load_csv

NEW_YEAR_S = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


def a_file(folder: Path, content: str) -> Path:
    path = folder / "load.csv"
    path.write_text(content, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            '"Time","Value"\n"2026-01-01 00:00:00","300.5"\n"2026-01-01 00:01:00","1302.6"\n', id="grafana-one-series"
        ),
        pytest.param('sep=,\r\n"Time","Value"\r\n1767225600000,300.5\r\n1767225660000,1302.6\r\n', id="grafana-excel"),
        pytest.param("Time;Value\n1767225600000;300,5\n1767225660000;1302,6\n", id="decimal-commas"),
        pytest.param("Time;Value\n1767225600000;300,5\n1767225660000;1.302,6\n", id="thousands-with-points"),
        pytest.param("Zeit\tWert\n2026-01-01 00:00:00\t300,5\n2026-01-01 00:01:00\t1302,6\n", id="tabs"),
        pytest.param(
            '\ufeff"Time","rate(x[1m])"\n"2026-01-01T00:00:00Z","300.5"\n"2026-01-01T00:01:00Z","1,302.6"\n',
            id="thousands-with-commas",
        ),
        pytest.param('"Time","{app=""web"", code=""5xx""}"\n1767225600000,300.5\n1767225660000,1302.6\n', id="labels"),
        pytest.param('Time,"95th percentile"\n1767225600000,300.5\n1767225660000,1302.6\n', id="a-name-with-a-digit"),
        pytest.param(",value\n2026-01-01 00:00:00,300.5\n2026-01-01 00:01:00,1302.6\n", id="pandas"),
        pytest.param("value,timestamp\n300.5,1767225600\n1302.6,1767225660\n", id="value-first"),
        pytest.param(
            "Series;Time;Value\nweb;2026-01-01T00:00:00+00:00;300.5\nweb;2026-01-01T00:01:00+00:00;1302.6\n",
            id="grafana-series-as-rows",
        ),
        pytest.param(
            '"Time","Metric","Value"\n"2026-01-01 00:01:00","web","1302.6"\n"2026-01-01 00:00:00","web","300.5"\n',
            id="grafana-series-to-rows",
        ),
    ],
)  # fmt: skip
def test_an_export_of_one_series_is_read_as_it_is(tmp_path: Path, content: str) -> None:
    trace = read_load_csv(a_file(tmp_path, content))
    assert (trace.start_s, trace.interval_s, trace.values.tolist()) == (NEW_YEAR_S, 60.0, [300.5, 1302.6])


JOINED = '"Time","api","web"\n1767225600000,1,10\n1767225660000,2,20\n'
IN_ROWS = "Time,Metric,Value\n" + "".join(
    f"{1767225600000 + 60_000 * (row // 2)},{('api', 'web')[row % 2]},{10 * row}\n" for row in range(6)
)


def test_a_series_of_several_columns_is_chosen_by_its_name(tmp_path: Path) -> None:
    assert read_load_csv(a_file(tmp_path, JOINED), "web").values.tolist() == [10.0, 20.0]
    assert read_load_csv(a_file(tmp_path, JOINED), "api").values.tolist() == [1.0, 2.0]


def test_a_series_of_several_in_rows_is_chosen_by_its_name(tmp_path: Path) -> None:
    assert read_load_csv(a_file(tmp_path, IN_ROWS), "web").values.tolist() == [10.0, 30.0, 50.0]


@pytest.mark.parametrize(
    ("content", "column", "said"),
    [
        (JOINED, None, "line 1: 2 columns of values ('api', 'web'); choose one with --column NAME"),
        (JOINED, "db", "line 1: --column 'db' names 0 of the columns 'api', 'web'; must name 1"),
        (JOINED.replace("api", "web"), "web", "--column 'web' names 2 of the columns"),
        (IN_ROWS, None, "rows of 2 series ('api', 'web'); choose one with --column NAME"),
        (IN_ROWS, "Value", "rows of 2 series ('api', 'web')"),
        (IN_ROWS, "db", "--column 'db': the series are 'api', 'web'"),
        ("0,1\n60,2\n", "web", "no row of names, so there is no column 'web'"),
        ("0,1,5\n60,2,5\n", None, "line 1: 3 columns without a row of names, needs 2"),
        ("Date,Time,Value\n2026-01-01,00:00,1\n", None, "2 columns of times ('Date', 'Time'), needs 1"),
        ("Time|Value\n0|1\n", None, "has 1 column, needs 2: time and value; read between them: tabs"),
        ('Time,Value\n0,"1\n60,2\n', None, "not a row of a CSV"),
        ("Time,Value\n0,1,2\n", None, "line 2: '0,1,2' has 3 columns, needs 2 as in the first row"),
        ("Time,Value\n2026-01-01 00:00,\n2026-01-01 00:01,1\n", None, "line 2: value is '', no reading"),
        ('Time,Value\n0,"1,234"\n60,"2,345"\n', None, "value is '1,234', which can be 1.234 or 1234"),
        ("Time,a,b,c,d,e,f,g,h,i,j,k,l,m,n\n" + ",".join("0" * 15), None, "'l', and 2 more); choose one"),
    ],
)  # fmt: skip
def test_a_file_that_leaves_a_choice_is_refused_with_the_names(
    tmp_path: Path, content: str, column: str | None, said: str
) -> None:
    with pytest.raises(InputError) as refused:
        read_load_csv(a_file(tmp_path, content), column)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


PIECES = [
    *(",", ";", "\t", '"', "\n", "\r", "1,234", "1.2 K", "2026-01-01", "T", "Z", "+25:00", "e400", "-", "nan", "inf"),
    *("#", "sep=;", "0", "\0", "\ufeff", "\u00a0", "Time", "'", "_", ".", "24:00:00", "9" * 400),
]


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_export_is_read_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(150):
        text = chance.choice(
            [JOINED, IN_ROWS, "t,v\n0,1.5\n60,2\n", "Time;Value\n2026-01-01 00:00;1,5\n2026-01-01 00:01;2\n"]
        )
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(PIECES) + text[at + chance.randint(0, 6) :]
        trace = read_or_refuse(a_file(tmp_path, text), chance.choice([None, "web"]))
        if trace is not None:
            assert (trace.values >= 0).all()
            assert 1.0 <= trace.interval_s <= 86_400.0


def read_or_refuse(path: Path, column: str | None) -> Trace | None:
    """None for a file that is refused in one line; any other error is a fault."""
    try:
        return read_load_csv(path, column)
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    return None


def local_rows(*clock: str) -> str:
    return "Time,Value\n" + "".join(f"2026-03-29 {time}:00,1\n" for time in clock)


@pytest.mark.parametrize(
    "clock",
    [("01:57", "01:58", "01:59", "03:00", "03:01"), ("02:58", "02:59", "02:00", "02:01", "02:02")],
    ids=["spring", "autumn"],
)
def test_an_hour_that_local_times_skip_or_repeat_is_told_as_that(tmp_path: Path, clock: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="local times change by an hour in spring and autumn: export UTC"):
        read_load_csv(a_file(tmp_path, local_rows(*clock)))


def test_the_same_hour_missing_from_utc_is_told_as_missing_rows(tmp_path: Path) -> None:
    utc = local_rows("01:57", "01:58", "01:59", "03:00").replace(":00,", ":00Z,")
    with pytest.raises(InputError, match="rows missing: 60"):
        read_load_csv(a_file(tmp_path, utc))


def test_the_unit_of_a_dashboards_counts_is_kept(tmp_path: Path) -> None:
    trace = read_load_csv(a_file(tmp_path, "Time,Value\n0,70 req/s\n60,1.20K req/s\n"))
    assert (trace.unit, trace.values.tolist()) == ("req/s", [70.0, 1200.0])
