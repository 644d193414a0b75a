"""A cluster made of arithmetic: pods, nodes, queueing and the metrics pipeline of one workload, one step at a time.

`transition` is the whole dynamics. It is a kernel: the same source runs in plain Python on dicts and, compiled, on the
rows of a fleet. Chance comes in as a row of `DRAWS` numbers, so that the same draws give the same run everywhere.

One step of `step_s` seconds, in order: pods that finished starting begin to serve; pods crash; the change of the
desired replicas that was made since the last step takes effect; requests arrive, queue and are served; metrics are
scraped.
"""

import math
from typing import Any

import numpy as np

from scaling.errors import InputError
from scaling.kernel import Record, kernel, push
from scaling.limits import Limit, shown
from scaling.workload import record_to_dict
from sim.latency import COUNTED, queue_step

STARTING_STEPS = 64
METRIC_STEPS = 20

CLUSTER = np.dtype(
    [
        ("desired", np.int64),  # replicas asked for
        ("ready", np.int64),  # pods that serve
        ("starting", np.int32, STARTING_STEPS),  # pods that begin to serve in 1, 2, ... steps
        ("nodes", np.float64),  # nodes that are up or coming up
        ("node_due_steps", np.int64),  # steps until the newest of them take pods
        ("idle_steps", np.int64),  # steps for which fewer nodes would have done
        ("backlog", np.float64),  # requests waiting
        ("rates_rps", np.float64, METRIC_STEPS),  # arrival rates of the last steps, newest last
        ("late_rps", np.float64, METRIC_STEPS),  # rates of bad requests in the last steps, newest last
        ("gap_steps", np.int64),  # steps that the metric stays away
        ("metric_rps", np.float64),  # what a query answers now
        ("metric_bad_ratio", np.float64),  # what the bad-share query answers now
        ("metric_missing", np.int64),  # 1: the query answers nothing now
        ("missed_steps", np.int64),  # steps since the last reading that was taken in (`sim.row`)
        ("replicas", np.int64),  # pods that exist and are paid for
        ("arrived", np.float64),  # requests of this step, and what became of them
        ("served", np.float64),
        ("dropped", np.float64),
        ("late", np.float64),  # requests of this step over the latency objective or dropped
    ],
    align=True,
)
"""State of one workload's cluster after a step."""

PARAMS = np.dtype(
    [
        ("step_s", np.float64),
        ("workers", np.float64),
        ("service_s", np.float64),
        ("objective_s", np.float64),
        ("timeout_s", np.float64),
        ("variability", np.float64),
        ("startup_s", np.float64),
        ("startup_sigma", np.float64),
        ("pods_per_node", np.float64),
        ("node_provision_s", np.float64),
        ("node_idle_s", np.float64),
        ("crash_per_pod_hour", np.float64),
        ("restart_s", np.float64),
        ("unready_per_pod_hour", np.float64),
        ("unready_s", np.float64),
        ("rate_window_s", np.float64),
        ("metric_lag_s", np.float64),
        ("metric_noise", np.float64),
        ("gap_per_hour", np.float64),
        ("gap_s", np.float64),
    ],
    align=True,
)
"""What a cluster is like; `DEFAULTS` says where the values come from."""

DEFAULTS: dict[str, float] = {
    "step_s": 15.0,  # the HPA's sync period
    "workers": 8.0,  # parallel requests of a pod (chosen: a small thread pool)
    "service_s": 0.05,  # mean service time of a request (chosen); a pod saturates at 160 requests/s
    "objective_s": 0.5,  # latency objective (chosen: ten service times, so that an idle pod is never late)
    "timeout_s": 10.0,  # a request that would wait longer is dropped (chosen: a common client time-out)
    "variability": COUNTED,  # Poisson arrivals and exponential service, where demand is counted per step
    "startup_s": 45.0,  # from the decision until the pod serves (chosen: image on the node, slow application)
    "startup_sigma": 0.2,  # of the log of a pod's start-up over startup_s (chosen)
    "pods_per_node": 16.0,  # (chosen: a mid-size node)
    "node_provision_s": 90.0,  # until a new node takes pods (chosen: typical of public clouds)
    "node_idle_s": 600.0,  # cluster-autoscaler --scale-down-unneeded-time, default 10 min
    "crash_per_pod_hour": 0.002,  # (chosen: a pod in three weeks)
    "restart_s": 30.0,  # until a crashed pod serves again (chosen)
    "unready_per_pod_hour": 0.0,  # failed readiness probes, the pod lives on (chosen: off, it differs between services)
    "unready_s": 20.0,  # until the probe passes again (chosen: two probe periods of 10 s)
    "rate_window_s": 60.0,  # rate(x[1m]), the window users write most
    "metric_lag_s": 15.0,  # scrape interval and rule evaluation (Prometheus' usual 15 s)
    "metric_noise": 0.01,  # relative, of scrape jitter (chosen)
    "gap_per_hour": 0.02,  # (chosen: a lost target every two days)
    "gap_s": 90.0,  # mean length of a gap (chosen)
}

LEAST = {"step_s": 1.0, "workers": 1.0, "service_s": 1e-4, "objective_s": 1e-4, "timeout_s": 1e-3, "pods_per_node": 1.0}
"""Least values; for all others it is 0."""

NORMALS = 5
UNIFORMS = 3
DRAWS = NORMALS + UNIFORMS
"""Chance of one step: 4 start-ups and the metric's noise (standard normal), then crash, gap, gap length (uniform)."""


def new_params(**changes: float) -> dict[str, float]:
    """Parameters of a cluster: `DEFAULTS` with changes.

    Raises KeyError for a name that is none, InputError for a value that cannot be simulated.
    """
    unknown = changes.keys() - DEFAULTS.keys()
    if unknown:
        raise KeyError(f"no such cluster parameter: {', '.join(sorted(unknown))}")
    params = DEFAULTS | changes
    for name, value in params.items():
        Limit(f"cluster {name}", LEAST.get(name, 0.0), math.inf).check(value)
    _require_steps(params, ("startup_s", "node_provision_s"), STARTING_STEPS)
    _require_steps(params, ("restart_s",), STARTING_STEPS)
    _require_steps(params, ("unready_s",), STARTING_STEPS)
    _require_steps(params, ("metric_lag_s", "rate_window_s"), METRIC_STEPS)
    return params


def _require_steps(params: dict[str, float], names: tuple[str, ...], steps: int) -> None:
    """Refuse delays that add up to more steps than a cluster remembers."""
    delay_s, limit_s = sum(params[name] for name in names), steps * params["step_s"]
    if delay_s > limit_s:
        step_s = shown(params["step_s"])
        raise InputError(f"cluster {' + '.join(names)}: {shown(delay_s)} s is over {steps} steps of {step_s} s")


def params_rows(rows: list[dict[str, float]]) -> np.ndarray[Any, np.dtype[np.void]]:
    """Parameters of a fleet, (len(rows),) of `PARAMS`."""
    return np.array([tuple(row[name] for name in PARAMS.names or ()) for row in rows], PARAMS)


def new_cluster() -> dict[str, Any]:
    """An empty cluster as a dict for plain Python; `begin_cluster` gives it pods."""
    return record_to_dict(np.zeros(1, CLUSTER)[0])


def capacity_rps(params: Record) -> float:
    """What one ready replica can serve (requests/s)."""
    return float(params["workers"] / params["service_s"])


def draw(rng: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The chance of one step for `count` clusters: (count, DRAWS)."""
    draws = np.empty((count, DRAWS))
    draws[:, :NORMALS] = rng.standard_normal((count, NORMALS))
    draws[:, NORMALS:] = rng.random((count, UNIFORMS))
    return draws


@kernel
def begin_cluster(c: Record, replicas: int, params: Record) -> None:
    """Begin with `replicas` ready pods, just enough nodes, no backlog and no demand yet."""
    c["desired"] = c["ready"] = c["replicas"] = replicas
    c["starting"][:] = 0
    c["nodes"] = float(math.ceil(replicas / params["pods_per_node"]))
    c["node_due_steps"] = c["idle_steps"] = 0
    c["gap_steps"] = c["metric_missing"] = c["missed_steps"] = 0
    c["backlog"] = c["metric_rps"] = c["metric_bad_ratio"] = 0.0
    c["rates_rps"][:] = 0.0
    c["late_rps"][:] = 0.0


@kernel
def begin_metrics(c: Record, demand_rps: float) -> None:
    """Let the queries answer as after a while of steady demand without a bad request."""
    c["metric_rps"] = demand_rps
    c["rates_rps"][:] = demand_rps


@kernel
def transition(c: Record, target_replicas: int, demand_rps: float, params: Record, draws: Any) -> None:
    """Advance a cluster by one step, in place.

    `target_replicas`: what the autoscaler asks for from now on; `demand_rps`: mean arrival rate of the step;
    `draws`: (DRAWS,) of this step.
    """
    starting = c["starting"]
    c["ready"] += int(starting[0])
    push(starting, 0)
    _fail(c, params, draws[NORMALS])
    _follow(c, target_replicas, params, draws)
    _serve(c, float(demand_rps), params)
    _measure(c, demand_rps, params, draws)


@kernel
def _fail(c: Record, params: Record, chance: float) -> None:
    """Let a pod crash or fail its readiness probe, at most one a step: rates worth simulating are far below that."""
    pod_hours = c["ready"] * params["step_s"] / 3600.0
    crash = pod_hours * params["crash_per_pod_hour"]
    if chance < crash:
        _leave_service(c, params["restart_s"], params["step_s"])
    elif chance < crash + pod_hours * params["unready_per_pod_hour"]:
        _leave_service(c, params["unready_s"], params["step_s"])


@kernel
def _leave_service(c: Record, absence_s: float, step_s: float) -> None:
    c["ready"] -= 1
    c["starting"][_steps(absence_s, step_s) - 1] += 1


@kernel
def _follow(c: Record, target_replicas: int, params: Record, draws: Any) -> None:
    change = target_replicas - c["desired"]
    c["desired"] = target_replicas
    if change > 0:
        _add(c, change, params, draws)
    elif change < 0:
        _remove(c, -change)
    c["replicas"] = target_replicas
    _release_nodes(c, params)


@kernel
def _add(c: Record, count: int, params: Record, draws: Any) -> None:
    """Start pods: four draws of the start-up delay share them; those past the nodes' room wait for a new node too.

    Room is taken to be on the newest nodes, which are the last to fill: pods that go there wait until these are up.
    """
    room = max(0, int(c["nodes"] * params["pods_per_node"]) - (c["desired"] - count))
    wait_s = c["node_due_steps"] * params["step_s"]
    starting = c["starting"]
    for part in range(4):
        share = (count * (part + 1)) // 4 - (count * part) // 4
        if share == 0:
            continue
        delay_s = params["startup_s"] * math.exp(params["startup_sigma"] * draws[part])
        on_nodes = min(share, room)
        room -= on_nodes
        starting[_steps(delay_s + wait_s, params["step_s"]) - 1] += on_nodes
        starting[_steps(delay_s + params["node_provision_s"], params["step_s"]) - 1] += share - on_nodes


@kernel
def _remove(c: Record, count: int) -> None:
    """Pods that do not serve yet go first, those furthest from it first of all, then serving ones.

    Source: a ReplicaSet's order of deletion, `ActivePodsWithRanks` in
    https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/controller_utils.go
    """
    starting = c["starting"]
    for step in range(STARTING_STEPS - 1, -1, -1):
        taken = min(count, int(starting[step]))
        starting[step] -= taken
        count -= taken
        if count == 0:
            return
    c["ready"] -= count


@kernel
def _release_nodes(c: Record, params: Record) -> None:
    """Order nodes with the pods at once (`_add` knows when they are up), release them after `node_idle_s`."""
    needed = float(math.ceil(c["replicas"] / params["pods_per_node"]))
    c["node_due_steps"] = max(0, c["node_due_steps"] - 1)
    if needed >= c["nodes"]:
        if needed > c["nodes"]:
            c["node_due_steps"] = max(0, math.ceil(params["node_provision_s"] / params["step_s"]) - 1)
        c["nodes"] = needed
        c["idle_steps"] = 0
        return
    c["idle_steps"] += 1
    if c["idle_steps"] * params["step_s"] >= params["node_idle_s"]:
        c["nodes"] = needed
        c["idle_steps"] = 0


@kernel
def _serve(c: Record, demand_rps: float, params: Record) -> None:
    served, backlog, dropped, late_ratio = queue_step(
        demand_rps,
        c["backlog"],
        c["ready"],
        params["workers"],
        params["service_s"],
        params["objective_s"],
        params["timeout_s"],
        params["variability"],
        params["step_s"],
    )
    c["arrived"] = demand_rps * params["step_s"]
    c["served"] = served
    c["dropped"] = dropped
    c["backlog"] = backlog
    c["late"] = c["arrived"] * late_ratio


@kernel
def _measure(c: Record, demand_rps: float, params: Record, draws: Any) -> None:
    """What the queries answer: rates over a window that ends `metric_lag_s` ago, with noise, or nothing in a gap."""
    rates, late = c["rates_rps"], c["late_rps"]
    push(rates, demand_rps)
    push(late, c["late"] / params["step_s"])
    if c["gap_steps"] > 0:
        c["gap_steps"] -= 1
    elif draws[NORMALS + 1] < params["gap_per_hour"] * params["step_s"] / 3600.0:
        c["gap_steps"] = int(-math.log(1.0 - draws[NORMALS + 2]) * params["gap_s"] / params["step_s"] + 0.5)
    c["metric_missing"] = 1 if c["gap_steps"] > 0 else 0
    end = METRIC_STEPS - int(params["metric_lag_s"] / params["step_s"])
    start = end - max(1, int(params["rate_window_s"] / params["step_s"]))
    if start < 0:
        start = 0
    arrived = float(rates[start:end].sum())
    noise = max(0.0, 1.0 + params["metric_noise"] * draws[NORMALS - 1])
    c["metric_rps"] = float(arrived / (end - start) * noise)
    c["metric_bad_ratio"] = float(late[start:end].sum()) / arrived if arrived > 0.0 else 0.0


@kernel
def _steps(delay_s: float, step_s: float) -> int:
    """A delay as whole steps, at least one and at most what `starting` can hold."""
    return min(STARTING_STEPS, max(1, math.ceil(delay_s / step_s)))
