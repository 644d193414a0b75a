"""The replica curves of a recording beside each other: the real HPA's, the exact algorithm's, the simulator's HPA's.

Owns what is computed from a recording, and the table that says it. All curves have a number for each second.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from controller.crd.resource import parse_policy
from controller.dryrun.simulated import SimulatedWorkload, TwinHpa, params_for
from scaling.hpa import HpaSettings, HpaSpec, HpaState, Metric, MetricKind, Workload, reconcile
from scaling.spec import ScalingSpec
from sim.cluster import begin_metrics, capacity_rps, draw
from tests.cluster.closed_loop import CAPACITY_RPS, HPA, OURS, TARGET_RPS, Recording, Setting

Series = NDArray[np.float64]

MOST_LAG_S = 60
"""Seconds by which one curve may be behind another (chosen: four syncs)."""


@dataclass(frozen=True)
class Difference:
    """How one curve of replicas differs from another."""

    mean: float
    """Replicas, without sign."""
    equal_ratio: float
    """Share of the time in which they are the same."""
    within_one_ratio: float
    hours_ratio: float
    """Its replica-hours over the other's."""
    lag_s: int
    """Moved by so much, it would differ least; negative where it is ahead."""

    @classmethod
    def of(cls, curve: Series, other: Series) -> "Difference":
        """Of a curve from another one."""
        gap, most_s = np.abs(curve - other), min(MOST_LAG_S, len(curve) // 4)
        return cls(
            mean=float(gap.mean()),
            equal_ratio=float((gap == 0).mean()),
            within_one_ratio=float((gap <= 1).mean()),
            hours_ratio=float(curve.sum() / other.sum()),
            lag_s=min(range(-most_s, most_s + 1), key=lambda lag_s: (_gap(curve, other, lag_s), abs(lag_s))),
        )


def real(recording: Recording, name: str) -> Series:
    """spec.replicas of one of the two Deployments."""
    return np.array(recording.courses[name].replicas, float)


def ready(recording: Recording, name: str) -> Series:
    """Ready replicas of one of the two Deployments."""
    return np.array(recording.courses[name].ready, float)


def replayed(recording: Recording, setting: Setting) -> Series:
    """The algorithm of `scaling.hpa`, synced when the real HPA was, on the answers that this one was given."""
    spec, wanted = _spec(setting), int(real(recording, HPA)[0])
    state, curve = HpaState(), real(recording, HPA).copy()
    for at_s, answer in recording.syncs:
        metric = Metric(MetricKind.EXTERNAL_AVERAGE_VALUE, TARGET_RPS * 1000, (round(answer * 1000),))
        asked = HpaSpec(spec.max_replicas, (metric,), spec.min_replicas, spec.behavior)
        sync = reconcile(asked, Workload(wanted, wanted, "app=web"), state, HpaSettings(), at_s)
        state, wanted = sync.state, wanted if sync.desired_replicas is None else sync.desired_replicas
        curve[int(np.ceil(max(0.0, at_s))) :] = wanted
    return curve


def simulated(recording: Recording, setting: Setting, phase_s: float, **changes: float) -> Series:
    """The simulator's HPA in its own cluster, on the requests that arrived; it syncs `phase_s` after the beginning.

    `changes`: other parameters of the simulated cluster than the scene's.
    """
    spec, step_s, begin = _spec(setting), int(recording.step_s), int(real(recording, HPA)[0])
    scraping = {"metric_lag_s": float(setting.scrape_interval_s), "rate_window_s": float(setting.rate_window_s)}
    params = params_for(spec, step_s) | {"startup_s": setting.startup_s} | scraping | changes
    first, arrived = int(phase_s), np.array(recording.arrived_rps)
    steps = arrived[first : first + (len(arrived) - first) // step_s * step_s].reshape(-1, step_s).mean(1)
    requests_rps = steps * capacity_rps(params) / spec.stated_capacity
    world = SimulatedWorkload(params, begin, spec.stated_capacity / capacity_rps(params), reads_bad=False)
    begin_metrics(world.cluster, requests_rps[0])
    hpa, sizes = TwinHpa(spec, world), []
    for step, draws in enumerate(draw(np.random.default_rng(0), len(steps))):
        hpa.sync(step * step_s)
        world.pass_step(requests_rps[step], draws)
        sizes.append(world.cluster["replicas"])
    curve = np.concatenate((np.full(first, begin), np.repeat(sizes, step_s)))
    return np.concatenate((curve, np.full(len(arrived) - len(curve), curve[-1]))).astype(float)


def phase_of(recording: Recording) -> float:
    """When the real HPA first synced within the play."""
    return min(at_s for at_s, _ in recording.syncs if at_s >= 0)


def shortage(recording: Recording, name: str) -> Series:
    """Requests/s above what the ready replicas of a Deployment can serve."""
    over: Series = np.maximum(0.0, np.array(recording.arrived_rps) - ready(recording, name) * CAPACITY_RPS)
    return over


def lost_ratio(recording: Recording, name: str) -> float:
    """Share of the requests that came while the ready replicas of a Deployment could not serve them."""
    return float(shortage(recording, name).sum() / sum(recording.arrived_rps))


def table_of(recording: Recording, setting: Setting | None = None) -> str:
    """The comparison in Markdown: HPAs first, then the two Deployments."""
    setting = setting or Setting()
    own, phases = real(recording, HPA), range(int(recording.step_s))
    same = simulated(recording, setting, phase_of(recording))
    whole = [simulated(recording, setting, phase) for phase in phases]
    prompt = [simulated(recording, setting, phase, metric_lag_s=0.0) for phase in phases]
    means, tops = [Difference.of(curve, own).mean for curve in whole], [int(curve.max()) for curve in whole]
    lines = [
        "| beside the real HPA | replicas off, mean | equal | within 1 | replica-hours | behind by |",
        "|---|--:|--:|--:|--:|--:|",
        _row("`scaling.hpa` at the real syncs, on the real answers", [replayed(recording, setting)], own),
        _row("the simulator's HPA, synced at the same phase", [same], own),
        _row(f"the same, median of {len(phases)} phases", whole, own),
        _row("the same without the metric's lag of one scrape", prompt, own),
        "",
        f"Over the phases it is off by {min(means):.2f} to {max(means):.2f}, and its most is {min(tops)} to "
        f"{max(tops)} replicas; the real one's is {int(own.max())}.",
        "",
        "| Deployment | replica-hours | changes | requests over what is ready | seconds short |",
        "|---|--:|--:|--:|--:|",
        *(_deployment(recording, name) for name in (OURS, HPA)),
    ]
    return "\n".join(lines)


def _row(name: str, curves: Sequence[Series], own: Series) -> str:
    """The medians over the curves."""
    gaps = np.median([astuple(Difference.of(curve, own)) for curve in curves], axis=0)
    mean, equal_ratio, within_one_ratio, hours_ratio, lag_s = gaps.tolist()
    return f"| {name} | {mean:.2f} | {equal_ratio:.1%} | {within_one_ratio:.1%} | {hours_ratio:.3f} | {lag_s:.0f} s |"


def _deployment(recording: Recording, name: str) -> str:
    sizes, short = real(recording, name), shortage(recording, name)
    who = "forescale" if name == OURS else "the real HPA"
    lost = lost_ratio(recording, name)
    changes = np.count_nonzero(np.diff(sizes))
    return f"| {who} | {sizes.sum() / 3600:.2f} | {changes} | {lost:.2%} | {np.count_nonzero(short)} |"


def _spec(setting: Setting) -> ScalingSpec:
    return parse_policy(setting.policy("up")).spec


def _gap(curve: Series, other: Series, lag_s: int) -> float:
    """The mean difference where `curve` is moved ahead by `lag_s`."""
    if lag_s >= 0:
        return float(np.abs(curve[lag_s:] - other[: len(other) - lag_s]).mean())
    return float(np.abs(curve[:lag_s] - other[-lag_s:]).mean())
