"""The Kubernetes HPA v2 algorithm, exactly: one whole sync from what was read to the size that is asked for.

Owns the order of things in a sync, the conditions and events, and the state that an HPA
keeps in memory. Its parts are `hpa_proposal` and `hpa_replicas` (what the metrics ask for), `hpa_pods` (which pods
count), `hpa_behavior` (stabilisation, rate limits, bounds), `hpa_settings` (what people set) and `hpa_kernels` (the
arithmetic shared with compiled fleets).

Source: `reconcileAutoscaler` in
https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/horizontal.go
Newer code leaves a size of zero only if the HPA itself had gone there; here, as in v1.34, minReplicas 0 is enough.
"""

from dataclasses import dataclass, replace

from scaling.errors import InputError
from scaling.hpa_behavior import (
    Bounds,
    RateRules,
    Recommendation,
    Recommendations,
    ScaleEvents,
    limit_with_behavior,
    limit_without_behavior,
    stabilize_behavior,
    stabilize_default,
    store_scale_event,
)
from scaling.hpa_conditions import Condition, Conditions, ConditionType, HpaEvent, HpaReason
from scaling.hpa_kernels import average_value_replicas, limit_default, within_tolerance
from scaling.hpa_pods import Pod, PodSample, Workload
from scaling.hpa_proposal import Blocked, propose
from scaling.hpa_replicas import Metric, MetricKind
from scaling.hpa_selector import selector_parses
from scaling.hpa_settings import (
    SCALE_UP_LIMIT_FACTOR,
    SCALE_UP_LIMIT_MINIMUM,
    TOLERANCE,
    Behavior,
    HpaSettings,
    PolicyRule,
    ScalingRules,
    effective_down,
    effective_up,
)
from scaling.limits import shown

__all__ = [
    "SCALE_UP_LIMIT_FACTOR",
    "SCALE_UP_LIMIT_MINIMUM",
    "TOLERANCE",
    "Behavior",
    "HpaSettings",
    "HpaSpec",
    "HpaState",
    "Metric",
    "MetricKind",
    "Pod",
    "PodSample",
    "PolicyRule",
    "ScalingRules",
    "Sync",
    "Workload",
    "average_value_replicas",
    "conclude",
    "limit_default",
    "plan",
    "reconcile",
    "within_tolerance",
]

ABOVE_MAX = "Current number of replicas above Spec.MaxReplicas"
BELOW_MIN = "Current number of replicas below Spec.MinReplicas"
ALL_BELOW_TARGET = "All metrics below target"


@dataclass(frozen=True)
class HpaSpec:
    """An HPA's spec, with what was read for each of its metrics in this sync."""

    max_replicas: int
    metrics: tuple[Metric, ...]
    min_replicas: int = 1
    behavior: Behavior | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise InputError(f"minReplicas: {self.min_replicas} is outside 0..{self.max_replicas} (maxReplicas)")
        if self.max_replicas < 1:
            raise InputError(f"maxReplicas: {self.max_replicas} is below 1")

    @property
    def bounds(self) -> Bounds:
        """minReplicas and maxReplicas together."""
        return Bounds(self.min_replicas, self.max_replicas)

    def rate_rules(self, settings: HpaSettings) -> RateRules:
        """The rules of both directions with every default filled in."""
        behavior = self.behavior or Behavior()
        down = effective_down(behavior.scale_down, settings.downscale_stabilization_s)
        return RateRules(effective_up(behavior.scale_up), down)


@dataclass(frozen=True)
class HpaState:
    """What an HPA remembers between syncs, and forgets when its controller restarts."""

    recommendations: Recommendations | None = None
    """None until the first sync, which seeds it with the size found."""
    up_events: ScaleEvents = ()
    down_events: ScaleEvents = ()


@dataclass(frozen=True)
class Sync:
    """The outcome of a sync: the size asked for, what to say about it, and the state for the next one."""

    current_replicas: int | None
    """spec.replicas as found; None where it could not be read."""
    desired_replicas: int | None
    rescale: bool
    """Whether the size is to be written (a plan) or was written (a concluded sync)."""
    state: HpaState
    conditions: Conditions
    """Only those that this sync set, AbleToScale first; `hpa_conditions.merge_conditions` keeps the others."""
    events: tuple[HpaEvent, ...] = ()
    reason: str = ""
    """Why the size changes, in the words of the SuccessfulRescale event."""


def reconcile(
    spec: HpaSpec,
    workload: Workload | None,
    state: HpaState,
    settings: HpaSettings,
    now_s: float,
    *,
    pods_are_shared: bool = False,
    write_succeeds: bool = True,
) -> Sync:
    """One whole sync. `workload` is None where /scale could not be read; the write itself is left to the caller."""
    planned = plan(spec, workload, state, settings, now_s, pods_are_shared=pods_are_shared)
    return conclude(planned, spec, settings, now_s, write_succeeds=write_succeeds)


def plan(
    spec: HpaSpec,
    workload: Workload | None,
    state: HpaState,
    settings: HpaSettings,
    now_s: float,
    *,
    pods_are_shared: bool = False,
) -> Sync:
    """Everything up to the write: the size to ask for, if it differs from the current one."""
    if workload is None:
        return _not_found(state)
    found = _found(workload, state, now_s)
    current = workload.spec_replicas
    if current == 0 and spec.min_replicas != 0:
        return _inactive(found, Condition(False, HpaReason.SCALING_DISABLED, "the target has no replicas"))
    if current > spec.max_replicas:
        return replace(found, desired_replicas=spec.max_replicas, rescale=True, reason=ABOVE_MAX)
    if current < spec.min_replicas:
        return replace(found, desired_replicas=spec.min_replicas, rescale=True, reason=BELOW_MIN)
    refusal = _selector_refusal(workload.selector, pods_are_shared)
    if refusal is not None:
        condition, event = refusal
        return _inactive(found, condition, (HpaEvent(True, event, condition.message),))
    return _plan_from_metrics(found, spec, workload, settings, now_s)


def conclude(planned: Sync, spec: HpaSpec, settings: HpaSettings, now_s: float, *, write_succeeds: bool) -> Sync:
    """A plan after its write: a success is remembered for the rate limits, a failure leaves the size as it was."""
    current, desired = planned.current_replicas, planned.desired_replicas
    if not planned.rescale or current is None or desired is None:
        return planned
    words = f"New size: {desired}; reason: {planned.reason}"
    if not write_succeeds:
        failed = Condition(False, HpaReason.FAILED_UPDATE_SCALE, "unable to update the target scale")
        event = HpaEvent(True, HpaReason.FAILED_RESCALE, f"{words}; error: {failed.message}")
        return replace(_saying(planned, failed, event), desired_replicas=current, rescale=False)
    succeeded = Condition(True, HpaReason.SUCCEEDED_RESCALE, f"updated the target scale to {desired}")
    written = _saying(planned, succeeded, HpaEvent(False, HpaReason.SUCCESSFUL_RESCALE, words))
    return replace(written, state=_with_event(planned.state, spec, settings, desired - current, now_s))


def _not_found(state: HpaState) -> Sync:
    failed = Condition(False, HpaReason.FAILED_GET_SCALE, "unable to get the target's current scale")
    event = HpaEvent(True, HpaReason.FAILED_GET_SCALE, failed.message)
    return Sync(None, None, False, state, {ConditionType.ABLE_TO_SCALE: failed}, (event,))


def _found(workload: Workload, state: HpaState, now_s: float) -> Sync:
    """The sync as it stands once /scale was read: nothing to change yet, and a log that holds at least the seed."""
    current = workload.spec_replicas
    if state.recommendations is None:
        state = replace(state, recommendations=(Recommendation(current, now_s),))
    got = Condition(True, HpaReason.SUCCEEDED_GET_SCALE)
    return Sync(current, current, False, state, {ConditionType.ABLE_TO_SCALE: got})


def _selector_refusal(selector: str, pods_are_shared: bool) -> tuple[Condition, HpaReason] | None:
    """Why the selector cannot be used, and what the event about it is called."""
    if not selector:
        missing = Condition(False, HpaReason.INVALID_SELECTOR, "the target's scale is missing a selector")
        return missing, HpaReason.SELECTOR_REQUIRED
    if not selector_parses(selector):
        message = f"the selector {shown(selector)} of the target's scale cannot be parsed"
        return Condition(False, HpaReason.INVALID_SELECTOR, message), HpaReason.INVALID_SELECTOR
    if pods_are_shared:
        message = f"pods by selector {shown(selector)} are controlled by more than one HPA"
        return Condition(False, HpaReason.AMBIGUOUS_SELECTOR, message), HpaReason.AMBIGUOUS_SELECTOR
    return None


def _inactive(found: Sync, condition: Condition, faults: tuple[HpaEvent, ...] = ()) -> Sync:
    """Nothing is computed in this sync; where a fault is the cause, it is followed by the event that says so."""
    failed = (HpaEvent(True, HpaReason.FAILED_COMPUTE_METRICS_REPLICAS, condition.message),) if faults else ()
    conditions = {**found.conditions, ConditionType.SCALING_ACTIVE: condition}
    return replace(found, conditions=conditions, events=(*faults, *failed))


def _plan_from_metrics(found: Sync, spec: HpaSpec, workload: Workload, settings: HpaSettings, now_s: float) -> Sync:
    proposal = propose(spec.metrics, workload, settings.with_tolerances_of(spec.behavior), now_s)
    warnings = tuple(HpaEvent(True, failure.reason, failure.message) for failure in proposal.failures)
    if isinstance(proposal, Blocked):
        first = proposal.failures[0]
        return _inactive(found, Condition(False, first.reason, first.message), warnings)

    current, desired = workload.spec_replicas, max(0, proposal.replicas)
    normal = _normalize(current, desired, spec, found.state, settings, now_s)
    valid = Condition(True, HpaReason.VALID_METRIC_FOUND, f"calculated a replica count from {proposal.metric}")
    return replace(
        found,
        desired_replicas=normal.replicas,
        rescale=normal.replicas != current,
        state=replace(found.state, recommendations=normal.recommendations),
        conditions={
            ConditionType.ABLE_TO_SCALE: normal.able_to_scale,
            ConditionType.SCALING_ACTIVE: valid,
            ConditionType.SCALING_LIMITED: normal.scaling_limited,
        },
        events=warnings,
        reason=_why(current, desired, proposal.metric),
    )


def _why(current: int, desired: int, metric: str) -> str:
    """Empty where only an older recommendation moves the size, as upstream."""
    if desired == current:
        return ""
    return f"{metric} above target" if desired > current else ALL_BELOW_TARGET


@dataclass(frozen=True)
class _Normal:
    """A size after stabilisation and limits."""

    replicas: int
    recommendations: Recommendations
    able_to_scale: Condition
    scaling_limited: Condition


def _normalize(
    current: int, desired: int, spec: HpaSpec, state: HpaState, settings: HpaSettings, now_s: float
) -> _Normal:
    log = state.recommendations or ()
    if spec.behavior is None:
        stabilised, log = stabilize_default(desired, log, settings.downscale_stabilization_s, now_s)
        held_back = HpaReason.SCALE_DOWN_STABILIZED
        limited = limit_without_behavior(current, stabilised, spec.bounds, settings)
    else:
        rules = spec.rate_rules(settings)
        stabilised, log = stabilize_behavior(current, desired, log, rules.up.window_s, rules.down.window_s, now_s)
        held_back = HpaReason.SCALE_UP_STABILIZED if desired >= current else HpaReason.SCALE_DOWN_STABILIZED
        limited = limit_with_behavior(
            current, stabilised, spec.bounds, rules, state.up_events, state.down_events, now_s
        )
    able = Condition(True, HpaReason.READY_FOR_NEW_SCALE if stabilised == desired else held_back)
    return _Normal(limited.replicas, log, able, Condition(limited.replicas != stabilised, limited.reason))


def _with_event(state: HpaState, spec: HpaSpec, settings: HpaSettings, change: int, now_s: float) -> HpaState:
    """Without behavior nothing is stored: nothing would read it."""
    if spec.behavior is None:
        return state
    rules = spec.rate_rules(settings)
    if change > 0:
        return replace(state, up_events=store_scale_event(state.up_events, change, rules.up, now_s))
    return replace(state, down_events=store_scale_event(state.down_events, -change, rules.down, now_s))


def _saying(planned: Sync, able_to_scale: Condition, event: HpaEvent) -> Sync:
    conditions = {**planned.conditions, ConditionType.ABLE_TO_SCALE: able_to_scale}
    return replace(planned, conditions=conditions, events=(*planned.events, event))
