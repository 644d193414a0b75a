"""The least and the most replicas that guards and bounds leave of any policy's answer, for people to see."""

from dataclasses import dataclass

from scaling.decide import PolicyState
from scaling.guardrails import cap_at_reference, keep_floor, lower_to_max, raise_to_min
from scaling.observation import Observation
from scaling.spec import ScalingSpec
from scaling.terms import terms_of


@dataclass(frozen=True)
class Envelope:
    """Replicas."""

    floor: int
    ceiling: int


def envelope(observation: Observation, spec: ScalingSpec, state: PolicyState) -> Envelope:
    """Return the envelope of the decision that was taken last, from the state that it left."""
    terms = terms_of(spec)
    seen = observation.current_replicas, observation.ready_replicas, state.memory, terms
    floor = lower_to_max(raise_to_min(keep_floor(0, *seen), *seen), *seen)
    ceiling = lower_to_max(cap_at_reference(int(terms["max_replicas"]), *seen), *seen)
    return Envelope(floor, max(floor, ceiling))
