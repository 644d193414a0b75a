"""Which policy a resource's `policyRef` names."""

from controller.policy_store import load_builtin
from scaling.policy import RULES, NetworkPolicy, Policy, feature_schema

TRAINED = "default"
"""The network that is shipped with the package."""


def policy_named(name: str) -> Policy:
    """The policy of that name; `auto` is the shipped network until a workload's own history can choose."""
    if name in RULES:
        return RULES[name]
    return NetworkPolicy(load_builtin(TRAINED if name == "auto" else name, feature_schema()))
