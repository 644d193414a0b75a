"""The cheapest replicas that anyone could have run, had they known the demand: the bill that costs are quoted against.

Exact for a known start-up delay, with queues as they settle at each step's demand: a pod of rank k is needed in the
steps that need k pods, must be paid for from one start-up before each of these, and is kept where such stretches touch.
"""

import math

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError
from scaling.hpa_kernels import MAX_REPLICAS
from scaling.kernel import Record
from sim.cluster import capacity_rps
from sim.latency import steady_late_ratio

BAD_LIMIT = 0.01
"""No step may have a larger share of bad requests."""
CERTAIN = {
    "startup_sigma": 0.0,
    "node_provision_s": 0.0,
    "crash_per_pod_hour": 0.0,
    "unready_per_pod_hour": 0.0,
}
"""What a cluster is like where the clairvoyant runs: start-ups take as long as it expects."""


def clairvoyant_replicas(
    demand_rps: NDArray[np.float64], params: Record, min_replicas: int = 1, max_replicas: int | None = None
) -> NDArray[np.int64]:
    """Replicas (n_steps,) to pay for in each step of `demand_rps` (n_steps,), within the user's bounds."""
    needed = needed_replicas(demand_rps, params, max_replicas)
    needed = np.maximum(needed, min_replicas)
    startup_steps = math.ceil(params["startup_s"] / params["step_s"])
    return _ahead_max(needed, startup_steps)


def needed_replicas(
    demand_rps: NDArray[np.float64], params: Record, max_replicas: int | None = None
) -> NDArray[np.int64]:
    """Fewest ready replicas (n_steps,) that serve each step with at most `BAD_LIMIT` bad requests.

    A step that needs more than `max_replicas` gets `max_replicas`, so that the work is bounded by the replicas that
    may run and by the number of steps, however large the demand is.
    Raises InputError where the objective is so tight that even an idle pod cannot serve it.
    """
    if not demand_rps.any():
        return np.zeros(len(demand_rps), np.int64)
    if _late_ratio(0.0, 1, params) > BAD_LIMIT:
        raise InputError(f"objective_s {params['objective_s']}: an idle pod is late for more than {BAD_LIMIT:.0%}")
    most = MAX_REPLICAS if max_replicas is None else max_replicas
    levels_rps, place = np.unique(demand_rps, return_inverse=True)
    return _needed_at(levels_rps, params, most)[place]


def _needed_at(levels_rps: NDArray[np.float64], params: Record, most: int) -> NDArray[np.int64]:
    """The same for rising levels. What lies between two levels that need equally many is not computed."""
    needed = np.empty(len(levels_rps), np.int64)
    for end in (0, -1):
        needed[end] = _fewest(levels_rps[end], params, most)
    open_ranges = [(0, len(levels_rps) - 1)]
    while open_ranges:
        low, high = open_ranges.pop()
        if needed[low] == needed[high]:
            needed[low:high] = needed[high]
        elif high - low > 1:
            middle = (low + high) // 2
            needed[middle] = np.clip(_fewest(levels_rps[middle], params, most), needed[low], needed[high])
            open_ranges += [(low, middle), (middle, high)]
    return needed


def _fewest(demand_rps: float, params: Record, most: int) -> int:
    """Fewest of at most `most` replicas: doubling steps up from full load, then bisection of the last step."""
    if demand_rps <= 0:
        return 0
    too_few = min(int(demand_rps / capacity_rps(params)), most)
    enough = too_few + 1
    while enough < most and not _serves(demand_rps, enough, params):
        too_few, enough = enough, enough + 2 * (enough - too_few)
    enough = min(enough, most)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if _serves(demand_rps, middle, params):
            enough = middle
        else:
            too_few = middle
    return enough


def _serves(demand_rps: float, ready: int, params: Record) -> bool:
    return _late_ratio(demand_rps, ready, params) <= BAD_LIMIT


def _late_ratio(demand_rps: float, ready: int, params: Record) -> float:
    queue = (params["workers"], params["service_s"], params["objective_s"], params["variability"])
    return float(steady_late_ratio(demand_rps, ready, *queue))


def _ahead_max(values: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Maximum of each value and the `steps` that follow it."""
    padded = np.concatenate([values, np.full(steps, values[-1])])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, steps + 1).max(axis=1))
