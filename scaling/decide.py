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

from scaling.band import aim, begin_band, clamp_to_band
from scaling.behavior import BehaviorLog, fit_behavior, log_change
from scaling.capacity import observe_bad
from scaling.decision import Band, Decision, Reason
from scaling.features import N_FEATURES, encode
from scaling.guardrails import BOUNDS, GUARDS, HOLDS, STANDSTILLS, Guard
from scaling.observation import Observation, Reading, Unknown, Value, usable, usable_ratio
from scaling.policy import RULES, Policy
from scaling.progress import NOTHING_DUE, Progress, is_stuck, note_ready
from scaling.reference import begin_reference, reference_hpa
from scaling.spec import EmptyIs, FallbackTo, ScalingSpec
from scaling.terms import terms_of
from scaling.workload import RECENT_STEPS, STEP_S, new_workload, observe, record

REHEARSED_STEPS = 240
"""An hour: longer than any stabilisation window, and the refreshing of the headroom, reach back."""

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
    asked = [draft for draft in drafts if draft.reading_value is not None]
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
        self.reading_value = self._remember_reading()

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
        self.unfamiliar = policy.unfamiliar(features)
        if not np.isfinite(answer).all():
            policy, answer = RULES["hpa"], np.zeros(2, np.float32)
            self.reasons.append(Reason.POLICY_UNUSABLE)
        elif self.unfamiliar:
            policy, answer = RULES["snvt"], np.zeros(2, np.float32)
            self.reasons.append(Reason.OUT_OF_DISTRIBUTION)
        self.band = policy.band(self.memory, self.terms, self.current, answer)
        self.proposed = self.replicas = clamp_to_band(self.current, self.band.lo, self.band.hi)
        self.reasons.append(_compare(self.current, self.proposed))

    def finish(self, policy_name: str) -> Decision:
        """Pass guards, holds, behavior and bounds."""
        if isinstance(self.reading, Unknown):
            self.reasons.append(self.reading.reason)
        standstills = self._standstills()
        if standstills:
            self.replicas = self.current
            self.reasons.extend(standstills)
        elif self.current == 0:  # switched off by somebody: the HPA does not wake it either
            self.replicas = 0
            self.reasons.append(Reason.SCALED_TO_ZERO)
        elif self.reading_value is None:
            self._fall_back()
        else:
            self._guard(GUARDS)
            self._hold()
            self._limit()
            self._guard(BOUNDS)
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
                self.memory["since_add"] = 0
        state.last_replicas, state.last_decision_s = self.current, self.now_s

    def _note_holds(self) -> tuple[Reason, ...]:
        """What stands against a change: what the world says, and pods that do not come."""
        observation, state, holds = self.observation, self.state, self.observation.holds
        state.progress = note_ready(
            state.progress, self.current, observation.ready_replicas, self.now_s, Reason.ROLLOUT in holds
        )
        stuck = is_stuck(state.progress, self.spec.startup_s, self.now_s)
        return (*holds, Reason.PODS_NOT_READY) if stuck else holds

    def _remember_reading(self) -> float | None:
        """Advance the memory to now with the reading; None when there is none."""
        if isinstance(self.reading, Unknown):
            if self.state.unknown_since_s is None:
                self.state.unknown_since_s = self.now_s
            return None
        self.state.unknown_since_s = None
        memory, terms = self.memory, self.terms
        if memory["steps"] == 0:
            begin_reference(memory, self.current)
            begin_band(memory, self.current)
        level, bad_ratio = _level(self.reading.value, terms), usable_ratio(self.observation.bad_ratio)
        for _ in range(_steps_since(self.state, self.now_s)):
            observe(memory, level, terms["price"], terms["horizon"])
            if bad_ratio is not None:
                observe_bad(memory, bad_ratio, self.observation.ready_replicas)
        memory["level"] = level  # rules and guards go by the newest reading between two steps of the grid, too
        reference_hpa(memory, terms)
        aim(memory, terms["horizon"])
        return self.reading.value

    def _standstills(self) -> list[Reason]:
        """Why nothing may change at all; said while it stands, whether or not anybody wants a change."""
        paused = [Reason.PAUSED] if self.spec.paused else []
        return [*paused, *(reason for reason in STANDSTILLS if reason in self.holds)]

    def _guard(self, guards: tuple[tuple[Reason, Guard], ...]) -> None:
        for reason, guard in guards:
            fitted = guard(self.replicas, self.current, self.observation.ready_replicas, self.memory, self.terms)
            if fitted != self.replicas:
                self.reasons.append(reason)
            self.replicas = fitted

    def _hold(self) -> None:
        for reason, hold in HOLDS:
            if reason in self.holds:
                held = hold(self.replicas, self.current)
                if held != self.replicas:
                    self.reasons.append(reason)
                self.replicas = held

    def _limit(self) -> None:
        if isinstance(self.reading, Value) and self.reading.partial and self.replicas < self.current:
            self.replicas = self.current
            self.reasons.append(Reason.METRIC_PARTIAL)
        self.replicas, reasons, self.state.behavior = fit_behavior(
            self.replicas, self.current, self.spec.behavior, self.state.behavior, self.now_s
        )
        self.reasons.extend(reasons)

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
        self._guard(BOUNDS)


def _read(reading: Reading, spec: ScalingSpec) -> Reading:
    checked = usable(reading)
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
        if isinstance(usable(Value(value)), Value):
            levels.append(_level(value, terms))
        elif levels:
            is_none = math.isnan(value) and spec.empty_is is EmptyIs.ZERO
            levels.append(0.0 if is_none else levels[-1])
    return levels


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
