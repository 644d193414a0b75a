"""An administrator's ceilings: the most replicas of a policy, and the most policies of a namespace.

A policy that asks for more replicas is served up to the ceiling, and its status says so. Of more policies than the
ceiling the oldest are served, and the status of each other one says why it is not.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, replace

from controller.crd.resource import PolicyResource
from scaling.spec import ScalingSpec


@dataclass(frozen=True)
class Ceilings:
    """None is no ceiling."""

    replicas: int | None = None
    """Most replicas of one policy."""

    policies: int | None = None
    """Most policies of one namespace that are served."""

    def lowered(self, resource: PolicyResource) -> tuple[PolicyResource, str]:
        """Return the resource with bounds of at most the ceiling, and what that changed in words; empty for nothing."""
        asked, most = resource.spec.max_replicas, self.replicas
        if most is None or asked <= most:
            return resource, ""
        said = f"maxReplicas {asked} is above {most}, the operator's limit (--max-replicas), which counts"
        return replace(resource, spec=_lowered(resource.spec, most)), said


def _lowered(spec: ScalingSpec, most: int) -> ScalingSpec:
    """All sizes of a spec give way to a ceiling, as those of a window do."""
    fallback = spec.guardrails.fallback
    if fallback.replicas is not None:
        fallback = replace(fallback, replicas=min(most, fallback.replicas))
    guardrails = replace(spec.guardrails, fallback=fallback)
    return replace(spec, max_replicas=most, min_replicas=min(most, spec.min_replicas), guardrails=guardrails)


Age = tuple[str, str, str]
"""Of a policy: creationTimestamp, name and uid; the oldest sorts first."""


class Queue:
    """The policies of each namespace by age: the first ones, as many as the ceiling, have a place."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._ages: dict[str, list[Age]] = {}

    def has_place(self, namespace: str, age: Age) -> bool:
        """Whether a policy of this age is among those that are served."""
        return self._most is None or bisect_left(self._ages.get(namespace, []), age) < self._most

    def join(self, namespace: str, age: Age) -> str | None:
        """Take in a policy; return the uid of the one that loses its place by that."""
        if self._most is None:
            return None
        ages = self._ages.setdefault(namespace, [])
        insort(ages, age)
        loses = ages[self._most] if len(ages) > self._most else None
        return None if loses is None or loses == age else loses[2]

    def leave(self, namespace: str, age: Age) -> str | None:
        """Let go of a policy; return the uid of the one that has a place now."""
        ages = self._ages.get(namespace, [])
        if self._most is None or age not in ages:
            return None
        had_place = self.has_place(namespace, age)
        ages.remove(age)
        if not ages:
            del self._ages[namespace]
        return ages[self._most - 1][2] if had_place and len(ages) >= self._most else None

    def refusal(self, namespace: str) -> str:
        """Why a policy without a place is not served, in one line."""
        return (
            f"namespace {namespace} has more than {self._most} ScalingPolicies, the operator's limit"
            " (--max-policies-per-namespace); the oldest are served"
        )
