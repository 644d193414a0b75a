"""Reading traces: good files keep their numbers, bad ones are refused by name, and resampling keeps what arrived."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling.errors import InputError
from sim import traces
from sim.resampling import FILLS, Fill
from sim.traces import Trace, list_traces, load_folder, read_load_csv, resample, scale_to_pods, traces_folder

HEADER = "# name: x\n# class: bursty\n# unit: jobs/min\n# interval_s: 60\n# rows: 3\n# source: https://example.org/x\n"
ROWS = "t_seconds,value\n0,1.5\n60,0\n120,4\n"


def a_file(folder: Path, content: str | bytes, name: str = "load.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def a_trace(interval_s: float = 300.0, rows: int = 288, seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)
    values = np.exp(0.5 * rng.standard_normal(rows)) * (rng.random(rows) < 0.9)
    return Trace(name="made", trace_class="noisy", unit="requests/s", interval_s=interval_s, values=values)


@pytest.mark.parametrize("name", ["load.csv", "load.csv.gz"])
def test_a_trace_is_read_with_its_header_plain_or_zipped(tmp_path: Path, name: str) -> None:
    content = (HEADER + ROWS).encode()
    trace = read_load_csv(a_file(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name))
    assert (trace.name, trace.trace_class, trace.unit, trace.interval_s) == ("load", "bursty", "jobs/min", 60.0)
    assert trace.values.tolist() == [1.5, 0.0, 4.0]
    assert trace.origin.source == "https://example.org/x"
    assert trace.resolution == "fine"


@pytest.mark.parametrize(
    "content",
    [
        "t_seconds,value\n100,1\n115,2\n",
        "100,1\n115,2",
        "\ufefft_seconds, value\r\n100, 1\r\n115, 2\r\n",
        "100,1\n\n115,2\n\n",
        "115,2\n100,1\n",
        "t_seconds,value\r100,1\r115,2\r",
        "t_seconds,value\n100,1\n115,2\n".encode("utf-16"),
    ],
    ids=["columns", "bare", "spreadsheet", "blank-lines", "newest-first", "old-Mac", "utf-16"],
)
def test_a_file_of_ones_own_needs_no_header(tmp_path: Path, content: str | bytes) -> None:
    trace = read_load_csv(a_file(tmp_path, content, "mine.csv"))
    assert (trace.name, trace.trace_class, trace.interval_s, trace.start_s) == ("mine", "unclassified", 15.0, 100.0)
    assert trace.values.tolist() == [1.0, 2.0]


def test_values_cannot_be_changed_after_reading(tmp_path: Path) -> None:
    trace = read_load_csv(a_file(tmp_path, ROWS))
    with pytest.raises(ValueError, match="read-only"):
        trace.values[0] = 7.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "0 rows, at least 2 needed"),
        ("t_seconds,value\n", "0 rows, at least 2 needed"),
        ("0,1\n", "1 rows, at least 2 needed"),
        ("0,1\n60,two\n", "line 2: value is 'two', must be a number"),
        ("0,1\n60,\n", "line 2: value is '', no reading; a missing reading is not zero"),
        ("0,1\n60,nan\n", "line 2: value is 'nan', no reading"),
        ("0,1\n60,inf\n", "line 2: value is 'inf', must be finite"),
        ("0,1\nnan,1\n", "line 2: t_seconds is 'nan', no reading"),
        ("0,1\n60,1e999\n", "line 2: value is '1e999', more than a number can hold"),
        ("0,1\n" + "9" * 400 + ",1\n", "...', more than a number can hold"),
        ("t_days,value\n0,1\n1e300,1\n", "line 3: t_days is '1e300', must be within -1e+19..1e+19"),
        ("0,1\n60,1e13\n", "line 2: value is '1e13', must be within 0..1e+12"),
        ("0,1\n60,-0.5\n", "line 2: value is '-0.5', must be within 0..1e+12"),
        ("0,1\n60,1,2\n", "line 2: '60,1,2' has 3 columns, needs 2 as in the first row"),
        ("0 1\n60 2\n", "line 1: '0 1' has 1 column, needs 2"),
        ("0,1\n60,1\n60,1\n", "line 3: '60' is at the time of the row before, must rise"),
        ("0,1\n60,1\n30,1\n", "line 3: '30' is 30 s before the row above, must rise"),
        ("0,1\n60,1\n180,1\n", "line 3: '180' is 120 s after the row before; the usual step of the file is 60 s"),
        ("0,1\n60,1\n180,1\n", "; rows missing: 1; fill them, a missing row is not zero"),
        ("0,1\n61,1\n120,1\n184,1\n", "the rows are no regular grid: export one value for each step"),
        ("0,1\n0.5,1\n", "line 2: rows are 0.5 s apart, must be within 1..86400 s"),
        ("t_seconds,value\n0,1\n1e6,1\n", "line 3: rows are 1000000 s apart, must be within 1..86400 s"),
        ("0,1\n60000,1\n", "line 1: t_seconds is '0' and the next row is 60000 further: seconds or milliseconds?"),
        ("# rows: 4\n0,1\n60,1\n", "header says rows '4', the file has 2"),
        ("# interval_s: 30\n0,1\n60,1\n", "header says interval_s '30', the file has 60"),
        ("# interval_s: often\n0,1\n60,1\n", "header: interval_s is 'often', must be a number"),
        ("0,1\n60," + "9" * 60 + "x\n", "'" + "9" * 37 + "...', a number with the unit 'x'"),
        ("0,1\n60,\x1b[31m\n", r"value is '\x1b[31m', must be a number"),
        (b"0,1\n60,\xff\n", "byte 7 is not UTF-8 text; save it as UTF-8"),
        (b"\x1f\x8bnot gzip", "cannot be read"),
        ('{"status":"success","data":{"resultType":"matrix"}}', "JSON, needs a CSV of times and values"),
        (b"PK\x03\x04\x14\x00\xff", "a workbook or another zip archive, needs a CSV"),
        ("\n<!doctype html>", "HTML or XML, needs a CSV"),
        (gzip.compress(ROWS.encode() * 50, mtime=0)[:-30], "the gzip data"),
    ],
)
def test_bad_files_are_refused_in_one_line_with_the_value_and_the_limit(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    path = a_file(tmp_path, content)
    with pytest.raises(InputError) as refused:
        read_load_csv(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        read_load_csv(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_load_csv(tmp_path)


def test_a_gzip_bomb_stops_at_the_byte_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_BYTES", 100_000)
    bomb = a_file(tmp_path, gzip.compress(b"0" * 10_000_000), "bomb.csv.gz")
    assert bomb.stat().st_size < 20_000
    with pytest.raises(InputError, match="over 100000 bytes of text, the limit"):
        read_load_csv(bomb)


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_ROWS", 5)
    with pytest.raises(InputError, match="line 6: over 5 rows, the limit"):
        read_load_csv(a_file(tmp_path, "".join(f"{15 * row},1\n" for row in range(10))))


@pytest.mark.parametrize(
    ("interval_s", "resolution"), [(1, "fine"), (60, "fine"), (61, "mid"), (600, "mid"), (601, "hourly")]
)
def test_resolution_is_told_by_the_native_interval(interval_s: float, resolution: str) -> None:
    assert a_trace(interval_s).resolution == resolution


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    a_file(tmp_path, ROWS, "b.csv")
    a_file(tmp_path, gzip.compress(ROWS.encode()), "a.csv.gz")
    a_file(tmp_path, "not a trace", "README.md")
    assert [path.name for path in list_traces(tmp_path)] == ["a.csv.gz", "b.csv"]
    assert [trace.name for trace in load_folder(tmp_path)] == ["a", "b"]


def test_a_folder_without_traces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0 files that end in \.csv or \.csv\.gz"):
        list_traces(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        list_traces(tmp_path / "none")


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORESCALE_TRACES", str(tmp_path))
    assert traces_folder() == tmp_path
    monkeypatch.delenv("FORESCALE_TRACES")
    assert traces_folder() == Path("../shared/traces")


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("interval_s", "step_s"), [(300, 15), (3_600, 15), (60, 15), (30, 10), (45, 15)])
def test_every_fill_keeps_the_mean_of_each_native_interval(fill: Fill, interval_s: float, step_s: float) -> None:
    trace = a_trace(interval_s)
    values = resample(trace, step_s, fill)
    assert len(values) == round(288 * interval_s / step_s)
    assert (values >= 0).all()
    assert values.reshape(288, -1).mean(axis=1) == pytest.approx(trace.values, rel=1e-12, abs=0)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("interval_s", "step_s"), [(1, 15), (5, 60), (10, 15), (300, 7), (20, 15)])
def test_finer_and_uneven_grids_keep_the_total(fill: Fill, interval_s: float, step_s: float) -> None:
    trace = a_trace(interval_s, rows=420)  # 420 intervals are whole steps in each of these
    values = resample(trace, step_s, fill)
    assert len(values) == int(420 * interval_s / step_s)
    kept = values.sum() * step_s / (trace.values.sum() * interval_s)
    assert kept == pytest.approx(1.0, rel=1e-12 if fill != "linear" else 0.1)


def test_finer_traces_are_averaged_and_the_same_grid_is_left_alone() -> None:
    trace = a_trace(5, rows=300)
    assert resample(trace, 15) == pytest.approx(trace.values.reshape(-1, 3).mean(axis=1), rel=1e-12)
    assert resample(trace, 5).tolist() == trace.values.tolist()


def test_an_incomplete_last_step_is_dropped() -> None:
    assert len(resample(a_trace(10, rows=10), 15)) == 6


def test_hold_is_flat_and_linear_is_not() -> None:
    trace = a_trace(60, rows=4, seed=3)
    assert np.ptp(resample(trace, 15, "hold").reshape(4, 4), axis=1).max() == pytest.approx(0.0, abs=1e-12)
    assert np.ptp(resample(trace, 15, "linear").reshape(4, 4), axis=1).min() > 0


def test_split_repeats_by_seed_and_differs_by_seed_and_name() -> None:
    trace = a_trace()
    other = Trace("other", trace.trace_class, trace.unit, trace.interval_s, trace.values)
    assert resample(trace, 15).tolist() == resample(trace, 15).tolist()
    assert resample(trace, 15).tolist() != resample(trace, 15, seed=1).tolist()
    assert resample(trace, 15).tolist() != resample(other, 15).tolist()


def test_split_leaves_a_flat_trace_flat_and_zeros_zero() -> None:
    flat = Trace("flat", "", "", 600.0, np.full(50, 3.0))
    silent = Trace("silent", "", "", 600.0, np.zeros(50))
    assert resample(flat, 15) == pytest.approx(np.full(2_000, 3.0), rel=1e-12)
    assert (resample(silent, 15) == 0).all()


def test_straight_lines_hide_the_jumps_and_flatter_a_slope_and_split_does_not() -> None:
    """Load that jumps within a minute, seen at 300 s and filled back."""
    rng = np.random.default_rng(5)
    measured = np.repeat(np.exp(0.6 * rng.standard_normal(4_000)), rng.integers(2, 40, 4_000))
    coarse = Trace("made", "", "", 300.0, measured[: len(measured) // 20 * 20].reshape(-1, 20).mean(axis=1))
    linear, split = resample(coarse, 15, "linear"), resample(coarse, 15, "split")

    missed = [rise_within_two_minutes(filled) - rise_within_two_minutes(measured) for filled in (linear, split)]
    assert missed[0] < -0.5
    assert abs(missed[1]) < abs(missed[0]) / 2
    assert slope_skill(linear) > slope_skill(measured) + 0.5
    assert slope_skill(split) < (slope_skill(measured) + slope_skill(linear)) / 2


def rise_within_two_minutes(values: NDArray[np.float64]) -> float:
    peak = np.lib.stride_tricks.sliding_window_view(values, 9).max(axis=1)
    return float(np.quantile(np.log(peak / values[:-8]), 0.99))


def slope_skill(values: NDArray[np.float64]) -> float:
    """How much less the slope of the last 150 s errs on the load in 120 s than "as now" does."""
    now, past, future = values[10:-8], values[:-18], values[18:]
    return float(1 - np.abs(now + 0.8 * (now - past) - future).mean() / np.abs(now - future).mean())


@pytest.mark.parametrize(
    ("interval_s", "step_s", "fill", "said"),
    [
        (60, 0.0, "hold", "step_s is 0.0, must be within 1..3600"),
        (60, float("nan"), "hold", "step_s is nan"),
        (60, 15.0, "spline", "fill is 'spline', must be one of split, hold, linear"),
        (1, 3_600.0, "hold", "288 s at 3600 s is 0 steps"),
    ],
)
def test_resampling_out_of_limits_is_refused(interval_s: float, step_s: float, fill: Fill, said: str) -> None:
    with pytest.raises(InputError, match=said):
        resample(a_trace(interval_s), step_s, fill)


def test_demand_is_scaled_to_a_mean_of_pods_and_zeros_are_refused() -> None:
    assert scale_to_pods(np.array([1.0, 3.0]), 30.0).tolist() == [15.0, 45.0]
    with pytest.raises(InputError, match="mean 0, must be over 0"):
        scale_to_pods(np.zeros(4), 30.0)


@pytest.mark.skipif(not traces_folder().is_dir(), reason="no folder of real traces")
def test_real_traces_are_read_whole_and_keep_their_means() -> None:
    for path in list_traces(traces_folder())[:6]:
        trace = read_load_csv(path)
        values = resample(trace, 15.0)
        assert trace.origin.source.startswith("https://")
        assert trace.trace_class != "unclassified"
        whole = int(len(values) * 15.0 // trace.interval_s)
        assert values.mean() == pytest.approx(trace.values[:whole].mean(), rel=1e-3)
