"""From an observation to a decision: `decide`, the same function in the dry-run, the API and the operator.

In order: is there a reading; what does the memory make of it; is it familiar to the policy; what does the policy
propose; what do guards, holds and behavior limits leave of that; the bounds, last. Nothing here reads a clock or does
I/O; what is remembered lives in a `PolicyState` that is passed in and advanced.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scaling.band import begin_band, clamp_to_band
from scaling.behavior import BehaviorLog, fit_behavior, log_change, log_wanted
from scaling.decision import Band, Decision, Reason
from scaling.features import N_FEATURES, encode
from scaling.gate import gate
from scaling.guardrails import STANDSTILLS, bits_of, bound, hold, limit, reasons_in, surround
from scaling.hpa_behavior import Recommendation
from scaling.hpa_kernels import average_value_replicas
from scaling.hpa_settings import TOLERANCE
from scaling.observation import Observation, Reading, Unknown, Value, usable, usable_ratio
from scaling.policy import Policy
from scaling.progress import NOTHING_DUE, Progress, is_stuck, note_ready
from scaling.reading import NOT_MEASURED, take_reading
from scaling.reference import begin_reference, reference_hpa
from scaling.spec import EmptyIs, FallbackTo, ScalingSpec
from scaling.terms import REFERENCE_WINDOW_S, RELEASE_WINDOW_S, terms_of
from scaling.workload import RECENT_STEPS, STEP_S, new_workload, observe, record

REHEARSED_STEPS = 240
"""An hour: longer than any stabilisation window, and the refreshing of the headroom, reach back."""

UNCHECKED_S = 600.0
"""A reading that nobody has checked for coverage counts as partial for so long after a gap: the longest range that
queries commonly have (chosen)."""

LEAST_GAP_S = 30.0
"""A gap that is shorter is none: one lost reading at the default interval says nothing of the samples (chosen)."""

MOST_PODS = 1e6
"""Demand is remembered up to this: more than any cluster runs, and finite in everything that is computed from it."""


@dataclass
class PolicyState:
    """What one ScalingPolicy remembers between decisions; rebuilt by `remember` from a range query."""

    memory: dict[str, Any] = field(default_factory=new_workload)
    behavior: BehaviorLog = field(default_factory=BehaviorLog)
    progress: Progress = NOTHING_DUE
    remembered_until_s: float | None = None
    unknown_since_s: float | None = None
    """Since when there has been no reading at all."""
    not_whole_since_s: float | None = None
    """Since when there has been no reading of all of the demand."""
    returned_s: float | None = None
    """When readings came back after the last gap."""
    fell_back: Recommendation | None = None
    """What the fallback last asked for."""
    added_s: float | None = None
    """When an addition was last seen."""
    last_replicas: int | None = None
    last_decision_s: float = 0.0


@dataclass(frozen=True)
class Request:
    """One workload's part in a tick of decisions."""

    observation: Observation
    spec: ScalingSpec
    state: PolicyState


def decide(observation: Observation, spec: ScalingSpec, state: PolicyState, policy: Policy, now_s: float) -> Decision:
    """Decide for one workload at `now_s` (seconds on any clock that does not jump). Advances `state`."""
    return decide_all([Request(observation, spec, state)], policy, now_s)[0]


def decide_all(requests: Sequence[Request], policy: Policy, now_s: float) -> list[Decision]:
    """Decide for many workloads that share a policy, asking it once. Advances their states."""
    drafts = [_Draft(request, now_s) for request in requests]
    asked = [draft for draft in drafts if draft.is_whole]
    if asked:
        features = np.stack([draft.features() for draft in asked])
        for draft, row, answer in zip(asked, features, policy.answer(features), strict=True):
            draft.propose(policy, row, answer)
    return [draft.finish(policy.name) for draft in drafts]


def remember(state: PolicyState, spec: ScalingSpec, demand: Sequence[float], until_s: float, replicas: int) -> None:
    """Rebuild a state from past demand on a grid of `STEP_S` that ended at `until_s`, as a range query gives it.

    A gap in it, NaN, reads as the demand before the gap, or as zero if `empty_is` says so. `replicas`: asked for now.
    What only the newest readings decide, headroom and reference, is worked out for the last `REHEARSED_STEPS` alone.
    """
    memory, terms = state.memory, terms_of(spec)
    begin_reference(memory, replicas)
    begin_band(memory, replicas)
    levels, steps_per_decision = _levels(demand, spec, terms), max(1, round(spec.interval_s / STEP_S))
    for level in levels[:-REHEARSED_STEPS]:
        record(memory, level, terms["horizon"])
    for step, level in enumerate(levels[-REHEARSED_STEPS:], start=1 - len(levels[-REHEARSED_STEPS:])):
        observe(memory, level, terms["price"], terms["horizon"])
        if step % steps_per_decision == 0:
            reference_hpa(memory, terms)
    if levels:
        state.remembered_until_s = until_s


class _Draft:
    """One decision in the making: what it has come to so far, and why."""

    def __init__(self, request: Request, now_s: float) -> None:
        self.observation, self.spec, self.state = request.observation, request.spec, request.state
        self.now_s = now_s
        self.terms = terms_of(self.spec)
        self.current = self.observation.current_replicas
        self.replicas = self.proposed = self.current
        self.reasons: list[Reason] = []
        self.band: Band | None = None
        self.unfamiliar: tuple[str, ...] = ()
        self.reading = _read(self.observation.demand, self.spec)
        self._note_size()
        self.holds = self._note_holds()
        self._note_gap()
        self.reading_value = self.reading.value if isinstance(self.reading, Value) else None
        self.is_whole = isinstance(self.reading, Value) and not self._is_partial(self.reading)
        if self.is_whole and self.reading_value is not None:
            self._remember(self.reading_value)
        self.reasons.extend(self._reasons_of_reading())

    @property
    def memory(self) -> dict[str, Any]:
        """The workload's memory, advanced with the reading."""
        return self.state.memory

    def features(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The policy's input, (N_FEATURES,)."""
        out = np.empty(N_FEATURES, np.float32)
        encode(self.memory, self.terms, self.current, self.observation.ready_replicas, out)
        return out

    def propose(self, policy: Policy, features: Any, answer: Any) -> None:
        """Take the policy's band, or that of a rule where the policy cannot be trusted here."""
        gated = gate(policy, features, answer)
        self.unfamiliar = gated.unfamiliar
        if gated.reason is not None:
            self.reasons.append(gated.reason)
        self.band = gated.policy.band(self.memory, self.terms, self.current, gated.answer)
        self.proposed = self.replicas = clamp_to_band(self.current, self.band.lo, self.band.hi)
        self.reasons.append(_compare(self.current, self.proposed))

    def finish(self, policy_name: str) -> Decision:
        """Pass guards, holds, behavior and bounds."""
        standstills = self._standstills()
        if standstills:
            self.replicas = self.current
            self.reasons.extend(standstills)
        elif self.current == 0:  # switched off by somebody: the HPA does not wake it either
            self.replicas = 0
            self.reasons.append(Reason.SCALED_TO_ZERO)
        elif self.reading_value is None:
            self._fall_back()
        elif not self.is_whole:
            self._only_add(self.reading_value)
        else:
            self._take(surround(self.replicas, *self._size, self._hold_bits, self._kept(), self.memory, self.terms))
            self._limit()
            self._bound()
        return Decision(
            time_s=self.now_s,
            demand=self.reading_value,
            current_replicas=self.current,
            reference_replicas=int(self.memory["reference_replicas"]),
            band=self.band,
            proposed_replicas=self.proposed,
            final_replicas=self.replicas,
            reasons=tuple(self.reasons),
            policy_name=policy_name,
            out_of_distribution=self.unfamiliar,
        )

    def _note_size(self) -> None:
        """Note a change of size since the last decision, whoever made it: not every decision is carried out."""
        state, before = self.state, self.state.last_replicas
        if before is not None:
            state.behavior = log_change(before, self.current, self.spec.behavior, state.behavior, state.last_decision_s)
            if self.current > before:
                self.memory["since_add"], state.added_s = 0, self.now_s
        state.last_replicas, state.last_decision_s = self.current, self.now_s

    def _note_holds(self) -> tuple[Reason, ...]:
        """What stands against a change: what the world says, and pods that do not come."""
        observation, state, holds = self.observation, self.state, self.observation.holds
        state.progress = note_ready(
            state.progress, self.current, observation.ready_replicas, self.now_s, Reason.ROLLOUT in holds
        )
        stuck = is_stuck(state.progress, self.spec.startup_s, self.now_s)
        return (*holds, Reason.PODS_NOT_READY) if stuck else holds

    def _note_gap(self) -> None:
        """Note when readings end, and when they come back."""
        state = self.state
        if isinstance(self.reading, Unknown):
            state.unknown_since_s = self.now_s if state.unknown_since_s is None else state.unknown_since_s
        elif state.unknown_since_s is not None:
            if self.now_s - state.unknown_since_s >= LEAST_GAP_S:
                state.returned_s = self.now_s
            state.unknown_since_s = None

    def _is_partial(self, reading: Value) -> bool:
        """Whether some of the demand may be missing from a reading."""
        if reading.partial or reading.covered or self.state.returned_s is None:
            return reading.partial
        return 0 <= self.now_s - self.state.returned_s < UNCHECKED_S

    def _reasons_of_reading(self) -> list[Reason]:
        """What is wrong with the reading, and with what is remembered."""
        if self.is_whole:
            self.state.not_whole_since_s = None
        elif self.state.not_whole_since_s is None:
            self.state.not_whole_since_s = self.now_s
        wrong = [self.reading.reason] if isinstance(self.reading, Unknown) else [Reason.METRIC_PARTIAL]
        short = [Reason.HISTORY_SHORT] if self.memory["steps"] < RECENT_STEPS else []
        unready = [] if self.observation.ready_known else [Reason.READINESS_UNKNOWN]
        return [*([] if self.is_whole else wrong), *short, *unready]

    def _remember(self, demand: float) -> None:
        """Advance the memory to now with a reading of all of the demand."""
        memory, terms = self.memory, self.terms
        if memory["steps"] == 0:
            begin_reference(memory, self.current)
            begin_band(memory, self.current)
        bad_ratio, steps = usable_ratio(self.observation.bad_ratio), _steps_since(self.state, self.now_s)
        measured = NOT_MEASURED if bad_ratio is None else bad_ratio
        take_reading(memory, terms, _level(demand, terms), measured, self.observation.ready_replicas, steps)
        if self.state.added_s is not None:  # steps that fill a gap may be from before the addition
            memory["since_add"] = min(memory["since_add"], 1 + int((self.now_s - self.state.added_s) / STEP_S))

    def _standstills(self) -> list[Reason]:
        """Why nothing may change at all; said while it stands, whether or not anybody wants a change."""
        paused = [Reason.PAUSED] if self.spec.paused else []
        return [*paused, *(reason for reason in STANDSTILLS if reason in self.holds)]

    @property
    def _size(self) -> tuple[int, int]:
        return self.current, self.observation.ready_replicas

    @property
    def _hold_bits(self) -> int:
        return bits_of(self.holds)

    def _take(self, fitted: tuple[int, int]) -> None:
        """Take what a kernel of the envelope left, and its reasons."""
        self.replicas, bits = fitted
        self.reasons.extend(reasons_in(bits))

    def _hold(self) -> None:
        self._take(hold(self.replicas, self.current, self._hold_bits))

    def _bound(self) -> None:
        self._take(bound(self.replicas, *self._size, self.memory, self.terms))

    def _kept(self) -> int:
        """What the fallback asked for within the window for scaling down, which is not removed yet; 0 for nothing."""
        asked = self.state.fell_back
        if asked is None or self.now_s - asked.at_s >= _release_window_s(self.spec):
            return 0
        return asked.replicas

    def _limit(self) -> None:
        if self.spec.behavior is None:
            self._take(limit(self.replicas, *self._size, self.memory, self.terms))
            return
        self.replicas, reasons, self.state.behavior = fit_behavior(
            self.replicas, self.current, self.spec.behavior, self.state.behavior, self.now_s
        )
        self.reasons.extend(reasons)

    def _only_add(self, demand: float) -> None:
        """With a part of the demand: add what that part needs by itself. Forecasts would take its rise for a real one,
        so the policy is not asked."""
        self.proposed = self.replicas = max(self.current, _replicas_now(demand, self.current, self.memory, self.terms))
        self._hold()
        self._limit()
        self._bound()

    def _fall_back(self) -> None:
        """Without a reading: hold, and after the fallback's delay never less than it asks for; only bounds remove."""
        fallback, since = self.spec.guardrails.fallback, self.state.unknown_since_s
        if since is not None and self.now_s - since >= fallback.after_s:
            wanted = self.current
            if fallback.to is FallbackTo.REFERENCE:
                wanted = max(self.current, int(self.memory["reference_replicas"]))
                self.reasons.append(Reason.FALLBACK_REFERENCE)
            elif fallback.replicas is not None:
                wanted = max(self.current, fallback.replicas)
                self.reasons.append(Reason.FALLBACK_REPLICAS)
            self.proposed = self.replicas = wanted
            self._hold()
            self._remember_fallback()
        self._bound()

    def _remember_fallback(self) -> None:
        """Let what the fallback asks for count as a recommendation, so that its replicas leave as a peak's do."""
        self.state.fell_back = Recommendation(self.replicas, self.now_s)
        self.state.behavior = log_wanted(
            self.replicas, self.current, self.spec.behavior, self.state.behavior, self.now_s
        )


def _read(reading: Reading, spec: ScalingSpec) -> Reading:
    checked = usable(reading, spec)
    if isinstance(checked, Unknown) and checked.reason is Reason.METRIC_EMPTY and spec.empty_is is EmptyIs.ZERO:
        return Value(0.0)
    return checked


def _level(demand: float, terms: dict[str, Any]) -> float:
    """Demand in pods."""
    return float(min(MOST_PODS, demand / terms["stated_capacity"]))


def _levels(demand: Sequence[float], spec: ScalingSpec, terms: dict[str, Any]) -> list[float]:
    """A series in pods: a gap reads as the demand before it, or as none for whom an empty result means that.

    One at the start is left out.
    """
    levels: list[float] = []
    for value in demand:
        reading = usable(Value(value), spec)
        if isinstance(reading, Value):
            levels.append(_level(reading.value, terms))
        elif levels:
            is_none = math.isnan(value) and spec.empty_is is EmptyIs.ZERO
            levels.append(0.0 if is_none else levels[-1])
    return levels


def _release_window_s(spec: ScalingSpec) -> float:
    """How long what the fallback asked for is kept: the window that the user states, else the HPA's default, and never
    less than what policies wait for after a peak."""
    rules = spec.behavior.scale_down if spec.behavior else None
    stated_s = REFERENCE_WINDOW_S if rules is None or rules.stabilization_s is None else rules.stabilization_s
    return max(RELEASE_WINDOW_S, stated_s)


def _replicas_now(demand: float, current: int, memory: dict[str, Any], terms: dict[str, Any]) -> int:
    """Replicas that a demand needs at its target, as the HPA counts, and at the floor's utilisation at most."""
    level = _level(demand, terms)
    total, target = (round(pods * terms["stated_capacity"] * 1000.0) for pods in (level, terms["reference_target"]))
    at_target = average_value_replicas(total, max(1, target), current, TOLERANCE, TOLERANCE)
    return int(max(at_target, math.ceil(level / (terms["floor_utilization"] * memory["capacity_ratio"]) - 1e-9)))


def _compare(current: int, proposed: int) -> Reason:
    if proposed == current:
        return Reason.WITHIN_BAND
    return Reason.BELOW_BAND if proposed > current else Reason.ABOVE_BAND


def _steps_since(state: PolicyState, now_s: float) -> int:
    """Memory steps that passed since the last one; a long gap counts as at most the length of the recent memory."""
    if state.remembered_until_s is None or now_s < state.remembered_until_s:
        state.remembered_until_s = now_s
        return 1
    steps = math.floor((now_s - state.remembered_until_s) / STEP_S + 1e-6)
    if steps > RECENT_STEPS:
        state.remembered_until_s = now_s
        return RECENT_STEPS
    state.remembered_until_s += steps * STEP_S
    return steps
