"""Synthetic runs for the tests of what people look at: a noisy day, an HPA that lags, a policy that looks ahead."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from controller.frame import Frame
from scaling.decision import Band, Decision, Reason
from scaling.envelope import Envelope
from sim.measures import PolicyRun, Run, measure

CAPACITY_RPS = 100.0
OBJECTIVE_S = 0.25


@cache  # runs are values, so that tests can share them
def a_run(
    n_steps: int = 2000, step_s: float = 15.0, title: str = "shop/web on a generated day", seed: int = 1
) -> tuple[Run, list[Decision]]:
    """A run and its decisions; the arithmetic is made up, the shapes are those of a real one."""
    demand_rps = _demand(n_steps, step_s, seed)
    decisions = _decisions(demand_rps, step_s)
    ours = np.array([decision.final_replicas for decision in decisions], float)
    late_by = max(1, round(180 / step_s))
    hpa = _hold_down(np.ceil(np.concatenate((np.full(late_by, demand_rps[0]), demand_rps))[:n_steps] / 70), 20)
    ideal = _hold_down(np.ceil(_ahead(demand_rps, late_by) / CAPACITY_RPS / 0.97), 8)
    policies = (("forescale", ours), ("hpa", hpa), ("clairvoyant", ideal), ("static peak", np.full(n_steps, hpa.max())))
    runs = tuple(_policy_run(name, replicas, demand_rps, step_s) for name, replicas in policies)
    return Run(title, step_s, OBJECTIVE_S, CAPACITY_RPS, demand_rps, runs), decisions


def frames(run: Run, decisions: list[Decision]) -> list[Frame]:
    """The run again, step by step, as the dry-run reports it while it runs."""
    hours = {policy.name: np.cumsum(policy.replicas) * run.step_s / 3600 for policy in run.policies}
    ours, hpa = run.policy("forescale"), run.policy("hpa")
    hour = max(1, round(3600 / run.step_s))
    return [
        Frame(
            time_s=k * run.step_s,
            demand_rps=float(run.demand_rps[k]),
            decision=decision,
            ready=int(ours.ready[k]),
            latency_p95_s=float(ours.latency_p95_s[k]),
            bad_ratio=_last_hour(ours, k, max(1, round(60 / run.step_s))),
            bad_ratio_last_hour=_last_hour(ours, k, hour),
            hpa_replicas=int(hpa.replicas[k]),
            replica_hours=float(hours["forescale"][k]),
            hpa_replica_hours=float(hours["hpa"][k]),
            clairvoyant_replica_hours=float(hours["clairvoyant"][k]),
            envelope=Envelope(1, 60),
        )
        for k, decision in enumerate(decisions)
    ]


def replica_hours(run: Run, name: str) -> float:
    """What a policy of the run used."""
    return measure(run.policy(name), run.step_s, 1.0).replica_hours


def _demand(n_steps: int, step_s: float, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    hours = np.arange(n_steps) * step_s / 3600
    level = 900 - 650 * np.cos(2 * np.pi * (hours - 3) / 24) + 180 * np.sin(2 * np.pi * hours / 5.3)
    burst = 1500 * np.exp(-(((hours % 24 - 19.5) / 0.12) ** 2)) + 900 * ((hours % 24 > 11) & (hours % 24 < 11.4))
    noise = np.convolve(rng.normal(0, 1, n_steps + 20), np.ones(20) / 20, "valid")[:n_steps]
    return np.asarray(np.maximum(level + burst, 40) * (1 + 0.25 * noise) + rng.normal(0, 18, n_steps)).clip(0)


def _decisions(demand_rps: NDArray[np.float64], step_s: float) -> list[Decision]:
    decisions, current, quiet = [], int(np.ceil(demand_rps[0] / 75)), 0
    for k, demand in enumerate(demand_rps):
        ahead = demand_rps[k : k + max(1, round(240 / step_s))]
        band = Band(int(np.ceil(ahead.max() / 92)), int(np.ceil(ahead.max() / 74)) + 1)
        proposed = min(max(current, band.lo), band.hi)
        final, reasons, quiet = _envelope(k, current, proposed, quiet)
        shown = None if Reason.METRIC_STALE in reasons else band
        reference = int(np.ceil(demand / 70))
        decisions.append(
            Decision(k * step_s, float(demand), current, reference, shown, proposed, final, reasons, "default")
        )
        current = final
    return decisions


def _envelope(k: int, current: int, proposed: int, quiet: int) -> tuple[int, tuple[Reason, ...], int]:
    if k % 1500 > 1480:
        return current, (Reason.METRIC_STALE, Reason.FALLBACK_REFERENCE), quiet
    if proposed > current:
        step = min(proposed, current + 4)
        return step, (Reason.BELOW_BAND, *((Reason.SCALE_UP_LIMIT,) if step < proposed else ())), 0
    if proposed < current:
        if quiet < 12:
            return current, (Reason.ABOVE_BAND, Reason.SCALE_DOWN_STABILIZED), quiet + 1
        return max(proposed, 3), (Reason.ABOVE_BAND, *((Reason.TOO_FEW_REPLICAS,) if proposed < 3 else ())), 0
    return current, (Reason.WITHIN_BAND,), quiet + 1


def _ahead(demand_rps: NDArray[np.float64], n_steps: int) -> NDArray[np.float64]:
    return np.array([demand_rps[k : k + n_steps].max() for k in range(len(demand_rps))])


def _hold_down(replicas: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    return np.array([replicas[max(0, k - window) : k + 1].max() for k in range(len(replicas))]).clip(2)


def _policy_run(name: str, replicas: NDArray[np.float64], demand_rps: NDArray[np.float64], step_s: float) -> PolicyRun:
    delay = max(1, round(60 / step_s))
    ready = np.array([replicas[max(0, k - delay) : k + 1].min() for k in range(len(replicas))])
    load = demand_rps / np.maximum(ready, 1) / CAPACITY_RPS
    latency_s = 0.06 + 0.03 / np.maximum(1.04 - load, 0.02) + 2.0 * np.maximum(load - 1.0, 0)
    requests = demand_rps * step_s
    late = requests * np.clip((load - 0.97) * 1.5, 0, 1)
    actions = int((np.diff(replicas) != 0).sum())
    return PolicyRun(name, replicas, ready, requests, late, latency_s, actions)


def _last_hour(policy: PolicyRun, k: int, hour: int) -> float:
    window = slice(max(0, k + 1 - hour), k + 1)
    requests = float(policy.requests[window].sum())
    return float(policy.late[window].sum()) / requests if requests > 0 else 0.0
