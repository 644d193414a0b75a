"""A load that is in memory already, as a trace: values on a regular grid, or times with their values."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.errors import InputError
from sim.traces import GRID_TOLERANCE_S, MAX_INTERVAL_S, MAX_ROWS, MAX_VALUE, MIN_INTERVAL_S, Trace


def trace_of_values(values: ArrayLike, interval_s: float, name: str = "array", unit: str = "requests/s") -> Trace:
    """Values, each the mean of its interval of `interval_s` seconds, as a trace.

    Raises InputError naming the index, the value and the limit.
    """
    checked = _checked_values(values)
    if not MIN_INTERVAL_S <= interval_s <= MAX_INTERVAL_S:
        raise InputError(f"trace: values are {interval_s:g} s apart, must be {MIN_INTERVAL_S:g}..{MAX_INTERVAL_S:g} s")
    return Trace(name, "unclassified", unit, float(interval_s), checked)


def trace_of_points(times: ArrayLike, values: ArrayLike, name: str = "array", unit: str = "requests/s") -> Trace:
    """Values with the times at which their intervals begin, in seconds or as numpy's datetime64, as a trace.

    Raises InputError where the times are not on a regular grid, and as `trace_of_values`.
    """
    seconds = _seconds(times)
    checked = _checked_values(values)
    if len(seconds) != len(checked):
        raise InputError(f"trace: {len(seconds)} times and {len(checked)} values, must be as many")
    steps_s = np.diff(seconds)
    usual_s = _usual(steps_s)
    odd = np.flatnonzero(~(np.abs(steps_s - usual_s) <= GRID_TOLERANCE_S) | (steps_s <= 0))
    if odd.size:
        index = int(odd[0])
        raise InputError(
            f"trace: time {index + 1} is {steps_s[index]:g} s after the one before, the usual step is {usual_s:g} s; "
            "times must rise on a regular grid"
        )
    return trace_of_values(checked, usual_s, name, unit)


def _usual(steps_s: NDArray[np.float64]) -> float:
    """The most frequent step forward, to the millisecond; the shortest of several, 0 of none."""
    steps, counts = np.unique(np.round(steps_s[steps_s > 0], 3), return_counts=True)
    return float(steps[np.argmax(counts)]) if steps.size else 0.0


def _seconds(times: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(times)
    if array.dtype.kind == "M":
        array = array.astype("datetime64[ns]").astype(np.int64) / 1e9
    return _numbers(array, "times")


def _checked_values(values: ArrayLike) -> NDArray[np.float64]:
    """A read-only copy, (n,), of at least two values within the limits of a trace."""
    checked = _numbers(values, "values")
    outside = np.flatnonzero(~((checked >= 0) & (checked <= MAX_VALUE)))
    if outside.size:
        index = int(outside[0])
        raise InputError(f"trace: value {index} is {checked[index]}, must be within 0..{MAX_VALUE:g}")
    checked.flags.writeable = False
    return checked


def _numbers(values: ArrayLike, what: str) -> NDArray[np.float64]:
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"trace: {what} are not numbers ({error})") from error
    if numbers.ndim != 1:
        raise InputError(f"trace: {what} have {numbers.ndim} dimensions, must have 1")
    if not 2 <= len(numbers) <= MAX_ROWS:
        raise InputError(f"trace: {len(numbers)} {what}, must be 2..{MAX_ROWS}")
    return numbers
