"""Queueing of one workload: what is served, waits, is dropped and comes back late within one step.

The model. `ready` pods with `workers` parallel workers each are c = ready x workers servers behind one first-come
first-served queue; arrivals are Poisson within a step, service times exponential (M/M/c). A request joins only if it
would start within `timeout_s`; without a ready pod it is refused at once. One number is kept between steps, the mean of
the waiting requests. From it and the step's load follows how the wait of an arrival is distributed:

- load that has settled: the exact tail of M/M/c, its wait probability by the expanded Erlang C;
- load near or over capacity: `sim.brownian`, a queue that began empty as long ago as the waiting requests say. One step
  at 102 % of 2000 requests/s is then not the disaster that its steady state would be;
- a backlog beyond what the load explains drains at the spare capacity, a straight line.

One central queue is the best that balancing can do; least-connections comes close. Random balancing has heavier tails:
every pod is then a queue of its own, so call with `ready` 1 and one pod's share of arrivals and backlog. `variability`
is (ca^2 + cs^2) / 2 of Allen and Cunneen: it scales the wait, not the service time. docs/simulator.md has the errors.

Source: A.J.E.M. Janssen, J.S.H. van Leeuwaarden, B. Zwart, Refining square-root safety staffing by expanding Erlang C,
Operations Research 59(6), 2011, https://doi.org/10.1287/opre.1110.0991.
"""

import math

from scaling.kernel import kernel
from sim.brownian import GAUSS, ROOT_TWO_PI, growing_late_ratio, scaled_tail

MEAN_RATE = 1.0
"""`variability` where `arrivals_rps` is the mean of a Poisson stream."""
COUNTED = 0.9
"""`variability` where `arrivals_rps` is the number counted in the step: a part of chance is then in the numbers.
Fitted to the discrete-event simulation at steps of 15 s."""

CALMEST = 1e-3
"""Least `variability` of a late share; chosen: a fluid in all but the divisions by it."""
SETTLED = 8.0
"""slack^2 x age / noise from which a queue counts as settled; chosen: its mean wait is about 1 % short of it then."""
LIGHT = 40.0
"""Exponent of the wait's tail at the objective from which its build-up no longer shows; chosen."""
BUILD_UP = 10.0
"""Seconds that a backlog of one second of work took to build up; chosen: 10 % overload. Says how uncertain it is."""
LONGEST_S = 120.0
"""Age beyond which waiting requests are read as an earlier overload, not as chance at this load; chosen."""
SHORT = 0.002
"""Share of a step within which a drained backlog is not looked at; chosen."""


@kernel
def queue_step(
    arrivals_rps: float,
    backlog: float,
    ready: int,
    workers: float,
    service_s: float,
    objective_s: float,
    timeout_s: float,
    variability: float,
    dt_s: float,
) -> tuple[float, float, float, float]:
    """Return (served, backlog, dropped, late_ratio) of one step: `drain` and `late_ratio` at the cost of one.

    `backlog` goes in as it was before the step. `variability` counts as `CALMEST` if lower.
    """
    served, waiting, dropped, slack, noise_s, room, age_s, small_s, large_s = _advance(
        arrivals_rps, backlog, ready, workers, service_s, timeout_s, max(variability, CALMEST), dt_s
    )
    if arrivals_rps <= 0.0:
        return served, waiting, dropped, 0.0
    if ready <= 0:
        return served, waiting, dropped, 1.0
    late = _late(slack, noise_s, room, age_s, small_s, large_s, service_s, objective_s, dt_s)
    return served, waiting, dropped, min(1.0, max(late, dropped / (arrivals_rps * dt_s)))


@kernel
def drain(
    arrivals_rps: float,
    backlog: float,
    ready: int,
    workers: float,
    service_s: float,
    timeout_s: float,
    variability: float,
    dt_s: float,
) -> tuple[float, float, float]:
    """Return (served, backlog, dropped): backlog before + arrivals = served + backlog + dropped.

    Served means taken up by a worker. With `variability` 0 this is the plain fluid: the backlog moves by arrivals minus
    capacity, not below 0 and not above `timeout_s` of work.
    """
    return _advance(arrivals_rps, backlog, ready, workers, service_s, timeout_s, variability, dt_s)[:3]


@kernel
def late_ratio(
    arrivals_rps: float,
    backlog: float,
    ready: int,
    workers: float,
    service_s: float,
    objective_s: float,
    timeout_s: float,
    variability: float,
    dt_s: float,
) -> float:
    """Share of this step's arrivals that come back later than `objective_s` or are dropped; 0 when none arrive.

    `backlog` is the one before the step; `objective_s` is meant to be below `timeout_s`. The share
    exp(-objective_s / service_s) is late at any load: that much service alone takes longer.
    """
    return queue_step(arrivals_rps, backlog, ready, workers, service_s, objective_s, timeout_s, variability, dt_s)[3]


@kernel
def latency_quantile_s(
    quantile: float,
    arrivals_rps: float,
    backlog: float,
    ready: int,
    workers: float,
    service_s: float,
    timeout_s: float,
    variability: float,
    dt_s: float,
) -> float:
    """Time within which `quantile` of this step's arrivals are answered, by bisecting `late_ratio`; for pictures.

    To 1 %, or a thousandth of `service_s` where that is more. At most `timeout_s` + 10 x `service_s`, which is the
    answer where more than 1 - `quantile` are dropped.
    """
    low_s, high_s = 0.0, timeout_s + 10.0 * service_s
    while high_s - low_s > 0.01 * high_s + 0.001 * service_s:
        middle_s = 0.5 * (low_s + high_s)
        late = late_ratio(arrivals_rps, backlog, ready, workers, service_s, middle_s, timeout_s, variability, dt_s)
        if late > 1.0 - quantile:
            low_s = middle_s
        else:
            high_s = middle_s
    return high_s


@kernel
def wait_probability(servers: float, utilization_ratio: float) -> float:
    """Share of an M/M/c's arrivals that find all servers busy, by the expanded Erlang C; 1 from full load on."""
    return 1.0 / (1.0 + max(0.0, 1.0 - utilization_ratio) * _room(servers, utilization_ratio))


@kernel
def steady_wait_s(arrivals_rps: float, ready: int, workers: float, service_s: float, variability: float) -> float:
    """Mean wait before service once settled, by Allen and Cunneen; infinite from full load on."""
    servers = ready * workers
    spare_rps = servers / service_s - arrivals_rps
    if spare_rps <= 0.0:
        return math.inf
    return wait_probability(servers, arrivals_rps * service_s / servers) * variability / spare_rps


@kernel
def steady_late_ratio(
    arrivals_rps: float, ready: int, workers: float, service_s: float, objective_s: float, variability: float
) -> float:
    """Share over `objective_s` once the queue has settled, had the load lasted for ever; 1 from full load on."""
    servers = ready * workers
    spare_rps = servers / service_s - arrivals_rps
    if spare_rps <= 0.0:
        return 1.0
    wait = wait_probability(servers, arrivals_rps * service_s / servers)
    return _steady_late(wait, spare_rps / max(variability, CALMEST), 1.0 / service_s, objective_s)


@kernel
def _advance(
    arrivals_rps: float,
    backlog: float,
    ready: int,
    workers: float,
    service_s: float,
    timeout_s: float,
    variability: float,
    dt_s: float,
) -> tuple[float, float, float, float, float, float, float, float, float]:
    """Return what `drain` does and what `_late` needs: (..., slack, noise_s, room, age_s, small_s, large_s)."""
    offered = backlog + arrivals_rps * dt_s
    if ready <= 0:
        return 0.0, 0.0, offered, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    servers = ready * workers
    capacity_rps = servers / service_s
    slack = 1.0 - arrivals_rps / capacity_rps
    noise_s = variability / capacity_rps
    room = _room(servers, 1.0 - slack)
    busy_rps = max(1e-9 * capacity_rps, min(arrivals_rps, capacity_rps))
    age_s, excess_s = _history(backlog, slack, noise_s, room, busy_rps, capacity_rps)
    small_s, large_s = _spread_s(excess_s, noise_s)

    waiting = busy_rps * _mean_wait_s(_grown_s(age_s + dt_s, slack, noise_s), noise_s, room)
    waiting += capacity_rps * _left_s(small_s, large_s, slack, dt_s)
    waiting = min(offered, max(waiting, offered - capacity_rps * dt_s))
    dropped = max(0.0, waiting - capacity_rps * timeout_s)
    return offered - waiting, waiting - dropped, dropped, slack, noise_s, room, age_s, small_s, large_s


@kernel
def _late(
    slack: float,
    noise_s: float,
    room: float,
    age_s: float,
    small_s: float,
    large_s: float,
    service_s: float,
    objective_s: float,
    dt_s: float,
) -> float:
    """Share of arrivals whose wait + service exceeds the objective, not counting drops."""
    settled = slack > 0.0 and (
        slack * slack * (age_s + GAUSS * dt_s) > SETTLED * noise_s or slack * objective_s > LIGHT * noise_s
    )
    wait = 1.0 / (1.0 + max(0.0, slack) * room)
    if settled and large_s <= SHORT * slack * dt_s:
        return _steady_late(wait, slack / noise_s, 1.0 / service_s, objective_s)
    if settled:
        late = _draining_late(small_s, slack, wait, noise_s, service_s, objective_s, dt_s)
        return 0.5 * (late + _draining_late(large_s, slack, wait, noise_s, service_s, objective_s, dt_s))
    late = growing_late_ratio(age_s, small_s, slack, noise_s, 1.0 / service_s, objective_s, dt_s, room)
    if large_s <= 0.0:
        return late
    return 0.5 * (late + growing_late_ratio(age_s, large_s, slack, noise_s, 1.0 / service_s, objective_s, dt_s, room))


@kernel
def _room(servers: float, utilization_ratio: float) -> float:
    """1 / B - 1 with Erlang's loss probability B: 1 / (1 + slack x room) is the wait probability.

    The expansion of the source, its square root of c corrected as in Stirling's formula to hold down to one server.
    """
    rho = max(utilization_ratio, 1e-9)
    square = max(0.0, -2.0 * servers * (1.0 - rho + math.log(rho)))
    tail = scaled_tail(math.sqrt(square))
    if rho < 1.0:
        tail = math.exp(min(0.5 * square, 300.0)) - tail
    root = math.sqrt(servers)
    return max(0.0, ROOT_TWO_PI * tail * (root + 1.0 / (12.0 * max(root, 1e-3))) - 1.0 / 3.0)


@kernel
def _history(
    backlog: float, slack: float, noise_s: float, room: float, busy_rps: float, capacity_rps: float
) -> tuple[float, float]:
    """For how long a queue that began empty has grown at this load to wait like that, and the work beyond it (s)."""
    if backlog <= 0.0:
        return 0.0, 0.0
    mean_s = backlog / busy_rps
    wait_s = 0.5 * (mean_s + math.sqrt(mean_s * (mean_s + 4.0 * noise_s * room)))
    oldest_s = LONGEST_S + BUILD_UP * mean_s
    grown_s = _grown_s(oldest_s, slack, noise_s)
    if wait_s > grown_s:
        return oldest_s, max(0.0, mean_s - _mean_wait_s(grown_s, noise_s, room)) * busy_rps / capacity_rps
    return min(oldest_s, wait_s * wait_s / max(noise_s - slack * wait_s, 1e-12 * noise_s, 1e-300)), 0.0


@kernel
def _mean_wait_s(wait_s: float, noise_s: float, room: float) -> float:
    """Mean wait of all arrivals, where it is `wait_s` for those that wait: exact once settled.

    The queue has to climb the room below full first, so that a young one holds back more than the wait probability.
    """
    return wait_s * wait_s / max(wait_s + noise_s * room, 1e-300)


@kernel
def _grown_s(age_s: float, slack: float, noise_s: float) -> float:
    """Mean wait, of those that wait, in a queue that began empty `age_s` ago.

    Solves wait = -slack x age + noise x age / wait: exact for old queues, 11 % low for young ones at full load.
    """
    half_s = 0.5 * slack * age_s
    root_s = math.sqrt(half_s * half_s + noise_s * age_s)
    return root_s - half_s if half_s <= 0.0 else noise_s * age_s / (root_s + half_s)


@kernel
def _spread_s(mean_s: float, noise_s: float) -> tuple[float, float]:
    """Work beyond the grown queue: two equally likely values around its mean."""
    if mean_s <= 0.0:
        return 0.0, 0.0
    spread_s = min(mean_s, math.sqrt(2.0 * noise_s * BUILD_UP * mean_s))
    return mean_s - spread_s, mean_s + spread_s


@kernel
def _left_s(small_s: float, large_s: float, slack: float, dt_s: float) -> float:
    """Mean of what is left of the two after a step; nothing drains in overload."""
    drained_s = max(0.0, slack) * dt_s
    return 0.5 * (max(0.0, small_s - drained_s) + max(0.0, large_s - drained_s))


@kernel
def _steady_late(wait: float, wait_rate: float, service_rate: float, objective_s: float) -> float:
    """P(wait + service > objective) of the settled M/M/c; `wait_rate` is the exponent of the wait's tail."""
    service_tail = math.exp(-service_rate * objective_s)
    exponent = (service_rate - wait_rate) * objective_s
    if abs(exponent) < 1e-6:
        return service_tail * (1.0 + wait * service_rate * objective_s)
    wait_tail = math.exp(-wait_rate * objective_s)
    return service_tail + wait * service_rate * objective_s * (wait_tail - service_tail) / exponent


@kernel
def _draining_late(
    excess_s: float, slack: float, wait: float, noise_s: float, service_s: float, objective_s: float, dt_s: float
) -> float:
    """Late share of a step that begins with `excess_s` of work on top of the settled queue.

    Exact for a wait that falls in a straight line to 0: all late above the objective, then the integral, then settled.
    """
    wait_rate, service_rate = slack / noise_s, 1.0 / service_s
    draining_s = min(dt_s, excess_s / slack)
    first_s = min(excess_s, objective_s)
    last_s = min(first_s, excess_s - slack * draining_s)
    late_s = max(0.0, draining_s - (first_s - last_s) / slack)
    late_s += _late_integral(objective_s - first_s, objective_s - last_s, wait, wait_rate, service_rate) / slack
    late_s += (dt_s - draining_s) * _steady_late(wait, wait_rate, service_rate, objective_s)
    return late_s / dt_s


@kernel
def _late_integral(low_s: float, high_s: float, wait: float, wait_rate: float, service_rate: float) -> float:
    """Integral of `_steady_late` over objectives from `low_s` to `high_s`."""
    if abs(service_rate - wait_rate) < 1e-4 * service_rate:
        wait_rate = (1.0 - 1e-4) * service_rate
    service_s = (math.exp(-service_rate * low_s) - math.exp(-service_rate * high_s)) / service_rate
    waiting_s = (math.exp(-wait_rate * low_s) - math.exp(-wait_rate * high_s)) / wait_rate
    return service_s + wait * service_rate / (service_rate - wait_rate) * (waiting_s - service_s)
