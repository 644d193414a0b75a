"""Which policy answers for each ScalingPolicy: the one it names, or the one that last could be used.

Shipped policies and rules are loaded once. Those in ConfigMaps are put here by `policy_reader`; a bad one leaves the
policy before it in charge, and the problem beside it for status, event and metric.
"""

import logging
from dataclasses import dataclass

from controller.operator.policies import PolicyRecord
from controller.policy_choice import policy_named
from scaling.errors import InputError
from scaling.policy import RULES, Policy

log = logging.getLogger(__name__)

STAND_IN = "auto"
"""Answers until a ConfigMap has held a policy that can be used."""


@dataclass(frozen=True)
class Asked:
    """The policy that answers, and why it is not the one that was named; empty where it is."""

    policy: Policy
    problem: str = ""


class PolicyBook:
    """The policy in charge of each ScalingPolicy, by its uid."""

    def __init__(self) -> None:
        self._named: dict[str, Asked] = {}
        self._in_charge: dict[str, Asked] = {}

    def find(self, record: PolicyRecord) -> Asked | None:
        """Return who answers; None while the ConfigMap of a new ScalingPolicy has not been read yet."""
        resource = record.resource
        if resource is not None and resource.config_map is None:
            self._in_charge[record.uid] = self._by_name(resource.spec.policy_name)
        return self._in_charge.get(record.uid)

    def put(self, uid: str, policy: Policy) -> None:
        """Put a policy in charge."""
        self._in_charge[uid] = Asked(policy)

    def reject(self, uid: str, problem: str) -> None:
        """Keep the policy before in charge, as the one that is named now cannot be used."""
        before = self._in_charge.get(uid) or self._by_name(STAND_IN)
        self._in_charge[uid] = Asked(before.policy, f"{problem}; {before.policy.name} stays in charge")

    def forget(self, uid: str) -> None:
        """Drop a ScalingPolicy that is gone."""
        self._in_charge.pop(uid, None)

    def _by_name(self, name: str) -> Asked:
        if name not in self._named:
            self._named[name] = _load(name)
        return self._named[name]


def _load(name: str) -> Asked:
    try:
        return Asked(policy_named(name))
    except (InputError, OSError) as error:
        log.error("policy %s cannot be used, the HPA's rule stands in: %s", name, error)
        return Asked(RULES["hpa"], str(error))
