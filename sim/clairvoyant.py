"""The cheapest replicas that anyone could have run, had they known the demand: the bill that costs are quoted against.

Exact for a known start-up delay, with queues as they settle at each step's demand: a pod of rank k is needed in the
steps that need k pods, must be paid for from one start-up before each of these, and is kept where such stretches touch.
"""

import math

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError
from scaling.kernel import Record
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
    needed = needed_replicas(demand_rps, params)
    needed = np.clip(needed, min_replicas, max_replicas)
    startup_steps = math.ceil(params["startup_s"] / params["step_s"])
    return _ahead_max(needed, startup_steps)


def needed_replicas(demand_rps: NDArray[np.float64], params: Record) -> NDArray[np.int64]:
    """Fewest ready replicas (n_steps,) that serve each step with at most `BAD_LIMIT` bad requests.

    Raises InputError where the objective is so tight that even an idle pod cannot.
    """
    limits = [0.0]
    while limits[-1] < demand_rps.max(initial=0.0):
        limits.append(_most_demand(len(limits), limits[-1], params))
    return np.searchsorted(np.array(limits), demand_rps).astype(np.int64)


def _most_demand(replicas: int, served_by_one_less: float, params: Record) -> float:
    """The demand (requests/s) at which `replicas` ready pods reach the limit, by bisection to 1e-4 of a pod."""
    pod_rps = params["workers"] / params["service_s"]
    low, high = served_by_one_less, replicas * pod_rps
    while high - low > 1e-4 * pod_rps:
        middle = (low + high) / 2
        if _late_ratio(middle, replicas, params) <= BAD_LIMIT:
            low = middle
        else:
            high = middle
    if low <= served_by_one_less:
        raise InputError(f"objective_s {params['objective_s']}: an idle pod is late for more than {BAD_LIMIT:.0%}")
    return low


def _late_ratio(demand_rps: float, ready: int, params: Record) -> float:
    queue = (params["workers"], params["service_s"], params["objective_s"], params["variability"])
    return float(steady_late_ratio(demand_rps, ready, *queue))


def _ahead_max(values: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Maximum of each value and the `steps` that follow it."""
    padded = np.concatenate([values, np.full(steps, values[-1])])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, steps + 1).max(axis=1))
