"""What people set on an HPA: spec.behavior with the API's defaults and limits, and the controller manager's flags.

Owns no decision. An instance that exists is valid: a bad rule raises InputError when it is built.

Source: https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/apis/autoscaling/v2/defaults.go,
https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/apis/autoscaling/validation/validation.go and
https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/podautoscaler/config/v1alpha1/defaults.go
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from scaling.errors import InputError
from scaling.hpa_kernels import MAX_REPLICAS, PERCENT, PODS, SELECT_DISABLED, SELECT_MAX, SELECT_MIN
from scaling.limits import Limit, check_limits, shown

TOLERANCE = 0.1
SCALE_UP_LIMIT_FACTOR = 2.0
SCALE_UP_LIMIT_MINIMUM = 4.0

MAX_PERIOD_S = 1800
MAX_STABILIZATION_S = 3600

POLICY_LIMITS = {
    "value": Limit("behavior.policies.value", 1, MAX_REPLICAS, whole=True),
    "period_s": Limit("behavior.policies.periodSeconds", 1, MAX_PERIOD_S, whole=True),
}
RULES_LIMITS = {
    "stabilization_s": Limit("behavior.stabilizationWindowSeconds", 0, MAX_STABILIZATION_S, whole=True, optional=True),
    "tolerance": Limit("behavior.tolerance", 0, math.inf, optional=True),
}

SELECT_CODES = {"Max": SELECT_MAX, "Min": SELECT_MIN, "Disabled": SELECT_DISABLED}
KIND_CODES = {"Pods": PODS, "Percent": PERCENT}


def _require_choice(path: str, value: object, choices: Mapping[str, int]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{path}: {shown(value)} is not one of {', '.join(choices)}")


@dataclass(frozen=True)
class PolicyRule:
    """At most `value` pods, or percent of the size, may change in any `period_s` seconds."""

    type: Literal["Pods", "Percent"]
    value: int
    period_s: int

    def __post_init__(self) -> None:
        _require_choice("behavior.policies.type", self.type, KIND_CODES)
        check_limits(self, POLICY_LIMITS)


@dataclass(frozen=True)
class ScalingRules:
    """One direction of spec.behavior; None and an empty tuple stand for a field left out."""

    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Which policy counts: the most change, the least change, or none at all."""
    stabilization_s: int | None = None
    policies: tuple[PolicyRule, ...] = ()
    tolerance: float | None = None
    """Replaces the controller's tolerance in this direction, as a ratio: 0.05 is 5 %."""

    def __post_init__(self) -> None:
        _require_choice("behavior.selectPolicy", self.select_policy, SELECT_CODES)
        check_limits(self, RULES_LIMITS)


@dataclass(frozen=True)
class Behavior:
    """spec.behavior. An empty one is not the same as none: it limits changes per period and remembers them."""

    scale_up: ScalingRules | None = None
    scale_down: ScalingRules | None = None


@dataclass(frozen=True)
class HpaSettings:
    """The HPA's flags of kube-controller-manager; the defaults are upstream's."""

    tolerance_up: float = TOLERANCE
    """Ratio above 1 that still counts as on target."""
    tolerance_down: float = TOLERANCE
    """Ratio below 1 that still counts as on target."""
    downscale_stabilization_s: float = 300.0
    """How long a high recommendation keeps the size up, where the behavior names no window."""
    cpu_initialization_s: float = 300.0
    """After a pod's start, how long its CPU is believed only while it is ready with a full sample window."""
    initial_readiness_delay_s: float = 30.0
    """A pod that turned unready within this time of its start has never been ready."""
    scale_up_limit_factor: float = SCALE_UP_LIMIT_FACTOR
    """Without behavior one sync may multiply the size by this."""
    scale_up_limit_minimum: float = SCALE_UP_LIMIT_MINIMUM
    """Without behavior one sync may always reach this size."""
    configurable_tolerance: bool = True
    """Whether the behavior's tolerances count (gate HPAConfigurableTolerance, on by default since v1.35)."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "configurable_tolerance":
                Limit(f"HPA setting {name}", 0, math.inf).check(value)

    def with_tolerances_of(self, behavior: Behavior | None) -> "HpaSettings":
        """These settings with each direction's own tolerance, where it has one and the gate is open."""
        if behavior is None or not self.configurable_tolerance:
            return self
        up, down = behavior.scale_up, behavior.scale_down
        return replace(
            self,
            tolerance_up=self.tolerance_up if up is None or up.tolerance is None else up.tolerance,
            tolerance_down=self.tolerance_down if down is None or down.tolerance is None else down.tolerance,
        )


@dataclass(frozen=True)
class EffectiveRules:
    """One direction with every default filled in, coded the way the kernels take it."""

    select: int
    window_s: float
    kinds: tuple[int, ...]
    values: tuple[int, ...]
    periods_s: tuple[int, ...]

    @property
    def longest_period_s(self) -> int:
        """An event older than this limits nothing any more."""
        return max(self.periods_s)


UP_POLICIES = (PolicyRule("Pods", 4, 15), PolicyRule("Percent", 100, 15))
DOWN_POLICIES = (PolicyRule("Percent", 100, 15),)


def effective_up(rules: ScalingRules | None) -> EffectiveRules:
    """The scale-up rules with the API's defaults: no window, 4 pods or 100 % in 15 s, whichever is more."""
    return _effective(rules or ScalingRules(), 0.0, UP_POLICIES)


def effective_down(rules: ScalingRules | None, downscale_stabilization_s: float) -> EffectiveRules:
    """The scale-down rules with the API's defaults: 100 % in 15 s, and the controller's window in whole seconds."""
    return _effective(rules or ScalingRules(), float(int(downscale_stabilization_s)), DOWN_POLICIES)


def _effective(rules: ScalingRules, window_s: float, policies: tuple[PolicyRule, ...]) -> EffectiveRules:
    chosen = rules.policies or policies
    return EffectiveRules(
        select=SELECT_CODES[rules.select_policy],
        window_s=window_s if rules.stabilization_s is None else float(rules.stabilization_s),
        kinds=tuple(KIND_CODES[policy.type] for policy in chosen),
        values=tuple(policy.value for policy in chosen),
        periods_s=tuple(policy.period_s for policy in chosen),
    )
