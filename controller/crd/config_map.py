"""A trained policy in a ConfigMap: how a ScalingPolicy names it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ConfigMapRef:
    """The ConfigMap, in the ScalingPolicy's own namespace, that holds a policy's weights and manifest."""

    name: str
    """Of the ConfigMap."""

    key: str = ""
    """Name of the policy within it: its entries are KEY.safetensors and KEY.json. Default: the only one."""

    sha256: str = ""
    """SHA-256 of the weights that may be used. Default: any, so that a newer policy is used as soon as it is there."""
