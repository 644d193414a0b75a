"""From requests to decisions, by the function that the operator calls.

Each request stands alone: the state that the operator keeps between decisions is rebuilt from the request's history.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from controller.api.models import (
    BandOut,
    DecisionOut,
    DecisionRequest,
    EnvelopeOut,
    ObservationIn,
    PolicyOut,
    PredictOut,
    PredictRequest,
)
from controller.crd.resource import parse_policy
from controller.crd.tables import API_VERSION, KIND
from controller.policy_choice import policy_named
from controller.policy_store import builtin_names
from scaling.decide import PolicyState, Request, decide, decide_all, remember
from scaling.decision import Action, Decision, Reason
from scaling.envelope import envelope
from scaling.errors import InputError
from scaling.observation import Observation, Reading, Unknown, Value
from scaling.policy import RULES, Policy
from scaling.spec import Guardrails, ScalingSpec
from scaling.workload import STEP_S

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "workload"}
"""Stands in for a target: nothing is scaled here."""


def decided(requests: Sequence[DecisionRequest]) -> list[DecisionOut]:
    """Decide for each request; those that name the same policy share one call of it.

    Raises InputError, which names the request's place, the field, the value and the limit.
    """
    made: list[DecisionOut | None] = [None] * len(requests)
    by_policy: dict[str, list[tuple[int, Request]]] = defaultdict(list)
    for place, wanted in enumerate(requests):
        spec = _spec(wanted.spec, place)
        by_policy[spec.policy_name].append((place, _request(spec, wanted.observation)))
    for name, asked in by_policy.items():
        policy = named(name)
        decisions = decide_all([request for _, request in asked], policy, now_s=0.0)
        for (place, request), decision in zip(asked, decisions, strict=True):
            made[place] = _told(decision, request, policy)
    return [decision for decision in made if decision is not None]


def policies() -> list[PolicyOut]:
    """Every policy that a `policyRef.name` can name."""
    return [described(named(name)) for name in (*builtin_names(), *RULES)]


@lru_cache(maxsize=8)
def named(name: str) -> Policy:
    """A policy by its name; `policyRef` was checked before."""
    return policy_named(name)


def described(policy: Policy) -> PolicyOut:
    """What a policy is."""
    about = (type(policy).__doc__ or "").partition("\n")[0]
    return PolicyOut(
        name=policy.name, kind="network" if policy.sha256 else "rule", sha256=policy.sha256 or None, about=about
    )


def _spec(wishes: Mapping[str, Any], place: int) -> ScalingSpec:
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "workload"},
        "spec": {"scaleTargetRef": TARGET, **wishes},
    }
    try:
        resource = parse_policy(body)
        if resource.config_map is not None:
            raise InputError("spec.policyRef.configMap: this API knows the policies of GET /v1/policies only")
    except InputError as error:
        raise InputError(f"requests[{place}].{error}") from error
    return resource.spec


def _request(spec: ScalingSpec, seen: ObservationIn) -> Request:
    state = PolicyState()
    if seen.history:
        past = [math.nan if value is None else value for value in seen.history]
        remember(state, spec, past, until_s=-STEP_S, replicas=seen.current_replicas)
    ready = seen.current_replicas if seen.ready_replicas is None else seen.ready_replicas
    demand: Reading = Unknown(Reason.METRIC_EMPTY) if seen.demand is None else Value(seen.demand)
    return Request(Observation(demand, seen.current_replicas, ready, seen.bad_ratio), spec, state)


def _told(decision: Decision, request: Request, policy: Policy) -> DecisionOut:
    return DecisionOut(
        action=decision.action,
        current_replicas=decision.current_replicas,
        final_replicas=decision.final_replicas,
        proposed_replicas=decision.proposed_replicas,
        reference_replicas=decision.reference_replicas,
        band=None if decision.band is None else BandOut(lo=decision.band.lo, hi=decision.band.hi),
        envelope=None if decision.demand is None else _envelope(request),
        reasons=list(decision.reasons),
        policy=described(policy),
        out_of_distribution=list(decision.out_of_distribution),
    )


def _envelope(request: Request) -> EnvelopeOut:
    found = envelope(request.observation, request.spec, request.state)
    return EnvelopeOut(floor=found.floor, ceiling=found.ceiling)


SERVERS = 10
SERVER = ScalingSpec(
    max_replicas=SERVERS,
    target_per_replica=0.6,
    capacity_per_replica=1.0,
    startup_s=0.0,
    interval_s=300.0,
    price=100.0,
    guardrails=Guardrails(floor_utilization_ratio=0.45, ceiling_ratio=10.0),
)
"""The little cluster of /predict as a ScalingSpec: one server serves a load of 1 and starts at once. A single reading
says nothing of how much the load moves, so a server is planned for 45 % of what it can serve: the load may double."""

ACTIONS: dict[Action, PredictOut] = {
    Action.HOLD: PredictOut(action_code=0, action_name="DO_NOTHING"),
    Action.ADD: PredictOut(action_code=1, action_name="ADD_SERVER"),
    Action.REMOVE: PredictOut(action_code=2, action_name="REMOVE_SERVER"),
}


def predicted(request: PredictRequest) -> PredictOut:
    """What to do next on the little cluster: add a server, remove one, or nothing; the caller moves one at a time."""
    servers = round(request.normalized_servers * SERVERS)
    if servers == 0:  # a target at zero is switched off for forescale; a server that is asked about is wanted
        return ACTIONS[Action.ADD]
    seen = Observation(Value(request.current_load * servers), servers, servers)
    return ACTIONS[decide(seen, SERVER, PolicyState(), named("auto"), now_s=0.0).action]
