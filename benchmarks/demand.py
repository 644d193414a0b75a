"""Generated demand beside real traces, and what each fill makes of a coarsened trace: `python -m benchmarks.demand`.

Columns: p/m is peak to mean over 10-minute means; ac1d the autocorrelation at a lag of one day (10-minute means);
jump60 and jump600 the 99.9 % quantile of the log ratio between neighbouring means over 60 and 600 s; rise120 the 99 %
quantile of the log ratio by which demand rises within 120 s. 2 % of the mean is added first, so that zeros count.
"""

import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError
from sim.demand import KINDS, generate, generate_fleet, sample_kind, sample_scenario
from sim.resampling import FILLS, fill_grid
from sim.traces import Trace, list_traces, read_load_csv, traces_folder

Series = NDArray[np.float64]

DAYS = 14
SERIES_PER_KIND = 12
SERIES_OF_MIXTURE = 60
COARSE_S = (300, 600, 3_600)
NAN = float("nan")


class Statistics(NamedTuple):
    peak_to_mean: float
    autocorrelation_1d: float
    jump_60s: float
    jump_600s: float
    rise_120s: float


HEAD = f"{'':30}{'s':>6}{'p/m':>21}{'ac1d':>21}{'jump60':>21}{'jump600':>21}{'rise120':>21}"


def main() -> None:
    print(f"Generated: {SERIES_PER_KIND} series a kind, {DAYS} days at 60 s; median (10..90 % of the series)\n{HEAD}")
    rng = np.random.default_rng(0)
    for kind in KINDS:
        scenarios = [sample_kind(kind, rng) for _ in range(SERIES_PER_KIND)]
        print_spread(kind, [statistics(generate(s, DAYS * 1_440, 60.0, rng), 60.0) for s in scenarios])
    mixture = [sample_scenario(rng) for _ in range(SERIES_OF_MIXTURE)]
    print_spread("the mixture", [statistics(generate(s, DAYS * 1_440, 60.0, rng), 60.0) for s in mixture])

    traces = real_traces()
    print_real(traces)
    print_fills([trace for trace in traces if trace.interval_s in (30, 60)])
    print_speed()


def statistics(values: Series, interval_s: float) -> Statistics:
    """The table's row of one series; NaN where it is too coarse or too short."""
    values = values / values.mean()
    tens = means(values, 600, interval_s)
    return Statistics(
        float(tens.max()) if tens.size else float(values.max()),
        autocorrelation(tens, 144) if tens.size else autocorrelation(values, round(86_400 / interval_s)),
        jump(means(values, 60, interval_s)),
        jump(tens),
        rise(values, interval_s, 0.99) if interval_s <= 60 else NAN,
    )


def means(values: Series, width_s: float, interval_s: float) -> Series:
    """Means over `width_s`; empty where the series is coarser."""
    width = int(width_s // interval_s)
    if width == 0:
        return np.empty(0)
    pooled: Series = values[: len(values) // width * width].reshape(-1, width).mean(axis=1)
    return pooled


def autocorrelation(values: Series, lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1]) if len(values) > 2 * lag else NAN


def jump(values: Series) -> float:
    return float(np.quantile(np.abs(np.diff(np.log(values + 0.02))), 0.999)) if len(values) > 100 else NAN


def rise(values: Series, interval_s: float, quantile: float) -> float:
    steps = max(1, int(120 // interval_s))
    peak = np.lib.stride_tricks.sliding_window_view(values, steps + 1).max(axis=1)
    return float(np.quantile(np.log((peak + 0.02) / (values[:-steps] + 0.02)), quantile))


def slope_skill(values: Series, interval_s: float) -> float:
    """How much nearer the slope of the last 150 s comes to the demand in 120 s than "as now"; below 0 it is worse."""
    ahead, back = max(1, int(120 // interval_s)), max(1, int(150 // interval_s))
    now, past, future = values[back:-ahead], values[: -back - ahead], values[back + ahead :]
    error = np.abs(now + (now - past) * ahead / back - future).mean()
    return float(1.0 - error / np.abs(now - future).mean())


def real_traces() -> list[Trace]:
    try:
        return [read_load_csv(path) for path in list_traces(traces_folder())]
    except InputError as error:
        print(f"\nReal traces left out: {error}")
        return []


def print_real(traces: list[Trace]) -> None:
    if not traces:
        return
    print(f"\nReal traces\n{HEAD}")
    rows = [(trace, statistics(trace.values, trace.interval_s)) for trace in traces]
    for trace, row in sorted(rows, key=lambda pair: (pair[0].trace_class, pair[0].name)):
        cells = "".join(f"{number(value):>21}" for value in row)
        print(f"{trace.trace_class[:9] + ' ' + trace.name[:19]:30}{trace.interval_s:6.0f}{cells}")
    print_spread("fine, over an hour", [row for trace, row in rows if trace.interval_s in (30, 60)])
    print_spread("all", [row for _, row in rows])


def print_spread(name: str, rows: list[Statistics]) -> None:
    cells = []
    for column in zip(*rows, strict=True):
        known = np.array(column)[~np.isnan(column)]
        low, middle, high = np.quantile(known, (0.1, 0.5, 0.9))
        cells.append(f"{number(middle)} ({number(low)}..{number(high)})")
    print(f"{name:30}{'':6}" + "".join(f"{cell:>21}" for cell in cells))


def print_fills(traces: list[Trace]) -> None:
    """Mean over the traces of filled minus measured."""
    if not traces:
        return
    print(
        f"\nFills: {len(traces)} fine traces coarsened and filled back, mean of filled minus measured (mean distance)"
    )
    print(f"{'':30}{'rise120 90 %':>21}{'99 %':>21}{'99.9 %':>21}{'slope skill':>21}")
    measured = np.array([fidelity(trace.values, trace.interval_s) for trace in traces])
    print(f"{'measured':30}" + "".join(f"{number(value):>21}" for value in measured.mean(axis=0)))
    for coarse_s in COARSE_S:
        for fill in FILLS:
            filled = np.array([refilled(trace, coarse_s, fill) for trace in traces])
            print(f"{f'{fill} from {coarse_s} s':30}" + "".join(differences(filled - measured)))


def refilled(trace: Trace, coarse_s: float, fill: str) -> list[float]:
    coarse = means(trace.values, coarse_s, trace.interval_s)
    values = fill_grid(coarse, coarse_s, trace.interval_s, fill, np.random.default_rng(0))  # type: ignore[arg-type]
    return fidelity(values, trace.interval_s)


def fidelity(values: Series, interval_s: float) -> list[float]:
    values = values / values.mean()
    return [*(rise(values, interval_s, q) for q in (0.9, 0.99, 0.999)), slope_skill(values, interval_s)]


def differences(of: Series) -> Iterable[str]:
    return (f"{f'{mean:+.2f} ({far:.2f})':>21}" for mean, far in zip(of.mean(0), np.abs(of).mean(0), strict=True))


def print_speed() -> None:
    begin_s = time.perf_counter()
    fleet = generate_fleet(np.random.default_rng(0), 1_024, 5_760, 15.0)
    print(
        f"\ngenerate_fleet: {fleet.shape[0]} series x {fleet.shape[1]} steps in {time.perf_counter() - begin_s:.1f} s"
    )


def number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


if __name__ == "__main__":
    main()
