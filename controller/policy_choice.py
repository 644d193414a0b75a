"""Which policy is asked: the one that a resource's `policyRef` names, or one from a folder."""

from pathlib import Path

from controller.crd.resource import PolicyResource
from controller.policy_store import load_builtin, load_policy_folder
from scaling.errors import InputError
from scaling.policy import RULES, NetworkPolicy, Policy, feature_schema

TRAINED = "default"
"""The network that is shipped with the package."""


def policy_named(name: str) -> Policy:
    """The policy of that name; `auto` is the shipped network until a workload's own history can choose."""
    if name in RULES:
        return RULES[name]
    return NetworkPolicy(load_builtin(TRAINED if name == "auto" else name, feature_schema()))


def policy_of(resource: PolicyResource) -> Policy:
    """Return the policy that a resource names. Raises InputError for one in a ConfigMap: no cluster is asked here."""
    if resource.config_map is not None:
        raise InputError(
            f"spec.policyRef.configMap: {resource.config_map.name} is in a cluster, which is not asked here; "
            "--policy DIR names a folder with the exported policy"
        )
    return policy_named(resource.spec.policy_name)


def policy_in(folder: Path) -> Policy:
    """The exported policy in a folder, or InputError for what is wrong with it."""
    return NetworkPolicy(load_policy_folder(folder, feature_schema()))
