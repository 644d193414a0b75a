"""What a user asks of one workload: bounds, target, objective and guardrails, refused when they are nonsense.

Owns meaning, units, defaults and limits of every field. How it is spelled in the resource and read from there is left
to `controller.crd`; messages use that spelling, because it is what people wrote.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from scaling.errors import InputError
from scaling.hpa_settings import Behavior
from scaling.limits import Limit, check_limits, shown

MOST_REPLICAS = 150_000
"""More pods than this no workload can have: Kubernetes is not designed for more in a whole cluster.

Source: https://github.com/kubernetes/website/blob/ca510574479caa23b6be56fdb8a0f6d05aced400/content/en/docs/setup/best-practices/cluster-large.md
"""

TARGET_UTILIZATION_RATIO = 0.7
"""Share of a replica's capacity at which people commonly set an HPA; turns a target into a first belief of capacity.

Chosen: the rival that results are stated against is the HPA at 70 %.
"""

PRICE_BY_PRESET = MappingProxyType({"Cost": 10.0, "Balanced": 30.0, "Latency": 100.0})
"""Price of a bad request behind each word of `objective.preset`; the prices at which results are reported."""

POLICY_NAMES = ("auto", "default", "snvt", "hpa", "quantile")
"""Who may be asked for a band. `auto` leaves the choice to us: the shipped network, until choice by replay exists."""


class Mode(StrEnum):
    """What may be done with a decision."""

    SHADOW = "Shadow"
    """Decide and report, never write."""
    UP_ONLY = "UpOnly"
    """Add replicas, never remove any."""
    AUTO = "Auto"
    """Add and remove."""


class EmptyIs(StrEnum):
    """What an empty query result means."""

    UNKNOWN = "Unknown"
    ZERO = "Zero"


class FallbackTo(StrEnum):
    """What runs the workload while demand is unknown for long."""

    REFERENCE = "Reference"
    """The reference HPA rule."""
    HOLD = "Hold"
    REPLICAS = "Replicas"
    """A fixed count."""


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """When unknown demand stops being waited for, and what happens then; it never removes a replica."""

    after_s: float = 180.0
    """Seconds without a usable reading before the fallback acts. Default: 12 intervals of 15 s, longer than Prometheus
    takes to restart, shorter than a person takes to answer a page."""

    to: FallbackTo = FallbackTo.REFERENCE
    """What acts. Default: the rule people had before they came to us."""

    replicas: int | None = None
    """The fixed count, with `FallbackTo.REPLICAS` only; within the spec's bounds."""

    def __post_init__(self) -> None:
        check_limits(self, FALLBACK_LIMITS)
        _check_member("spec.guardrails.fallback.to", self.to, FallbackTo)
        if (self.to is FallbackTo.REPLICAS) != (self.replicas is not None):
            raise InputError(
                f"spec.guardrails.fallback.replicas: {shown(self.replicas)} does not go with to: {self.to}"
            )


@dataclass(frozen=True, kw_only=True)
class Guardrails:
    """Rules that no policy can override."""

    floor_utilization_ratio: float = 0.9
    """Highest load of a replica, as a share of its capacity, that a policy may plan for. Default: about the knee of the
    latency curve; above it a small error of the capacity turns into many bad requests."""

    ceiling_ratio: float = 2.0
    """Most replicas, as a multiple of what the reference HPA would run. Default: a bad policy costs at most twice the
    HPA's bill, and a good one has room ahead of a burst."""

    stale_after_s: float = 120.0
    """Age in seconds above which the newest sample counts as missing. Default: two scrapes a minute apart may be
    lost."""

    fallback: Fallback = field(default_factory=Fallback)
    """What happens when demand stays unknown."""

    min_ready_ratio: float = 0.5
    """Share of ready replicas below which none is removed. Default: with half of them unready, something is wrong that
    fewer replicas do not cure."""

    def __post_init__(self) -> None:
        check_limits(self, GUARDRAIL_LIMITS)
        _check_member("spec.guardrails.fallback", self.fallback, Fallback)


@dataclass(frozen=True, kw_only=True)
class ScalingSpec:
    """One workload's wishes as values, in our units; built means valid."""

    max_replicas: int
    """Most replicas ever; no default, as only the user knows the budget."""

    target_per_replica: float
    """Demand for one replica in the query's unit, what one would give an HPA as AverageValue; the reference rule runs
    on it. No default: every workload differs."""

    min_replicas: int = 1
    """Fewest replicas ever. Default and least as in an HPA without scale-to-zero."""

    mode: Mode = Mode.AUTO
    """What may be done with a decision. Default: act, as an HPA does."""

    paused: bool = False
    """Hold whatever the demand, and say so. Default: not paused."""

    interval_s: float = 15.0
    """Seconds between decisions. Default: the HPA's sync period."""

    capacity_per_replica: float | None = None
    """Demand that one ready replica serves within the objective, in the query's unit. Default None: not stated, and
    believed from the target by `stated_capacity`."""

    empty_is: EmptyIs = EmptyIs.UNKNOWN
    """What an empty query result means. Default: unknown, so hold; zero only for those who say so."""

    startup_s: float | None = None
    """Seconds from a pod's creation to its first request. Default None: measured from the target's pods."""

    objective_s: float = 0.25
    """Seconds within which a request is good. Default: a common web objective, and a usual histogram bucket."""

    price: float = PRICE_BY_PRESET["Balanced"]
    """Price of bad requests: at 30, one per cent of them costs 30 % of the ideal bill. Default: the Balanced preset."""

    action_price: float = 3.0
    """Price of adding or removing a pod, in steps of 15 s that a pod is paid for. Chosen: the policy was trained on 0.3
    to 15, and much more makes it sluggish."""

    policy_name: str = "auto"
    """One of `POLICY_NAMES`. Default: leave the choice to us."""

    behavior: Behavior | None = None
    """Rate limits and stabilisation windows as in autoscaling/v2. Default None: the HPA's rules without `behavior`,
    which are not those of an empty one."""

    guardrails: Guardrails = field(default_factory=Guardrails)
    """Rules that no policy can override."""

    @property
    def stated_capacity(self) -> float:
        """First belief of what one ready replica serves, in the query's unit."""
        if self.capacity_per_replica is not None:
            return self.capacity_per_replica
        return self.target_per_replica / TARGET_UTILIZATION_RATIO

    def __post_init__(self) -> None:
        check_limits(self, SPEC_LIMITS)
        for path, value, kind in (
            ("spec.mode", self.mode, Mode),
            ("spec.paused", self.paused, bool),
            ("spec.demand.emptyIs", self.empty_is, EmptyIs),
            ("spec.guardrails", self.guardrails, Guardrails),
        ):
            _check_member(path, value, kind)
        if self.behavior is not None:
            _check_member("spec.behavior", self.behavior, Behavior)
        if self.policy_name not in POLICY_NAMES:
            raise InputError(f"spec.policyRef.name: {shown(self.policy_name)} is not {' or '.join(POLICY_NAMES)}")
        self._check_bounds()

    def _check_bounds(self) -> None:
        if self.min_replicas > self.max_replicas:
            raise InputError(f"spec.minReplicas: {self.min_replicas} is above spec.maxReplicas {self.max_replicas}")
        fixed = self.guardrails.fallback.replicas
        if fixed is not None and not self.min_replicas <= fixed <= self.max_replicas:
            bounds = f"{self.min_replicas}..{self.max_replicas}"
            raise InputError(f"spec.guardrails.fallback.replicas: {fixed} is outside minReplicas..maxReplicas {bounds}")


# Ends are chosen unless a line says otherwise; each range is what a person could mean, not what arithmetic survives.
SPEC_LIMITS = MappingProxyType(
    {
        "min_replicas": Limit("spec.minReplicas", 1, MOST_REPLICAS, whole=True),
        "max_replicas": Limit("spec.maxReplicas", 1, MOST_REPLICAS, whole=True),
        "interval_s": Limit("spec.intervalSeconds", 5, 300),  # faster than metrics arrive; slower than pods start
        # 0.001: the HPA counts in thousandths. 1e9: times MOST_REPLICAS its 64-bit total of thousandths still fits.
        "target_per_replica": Limit("spec.demand.targetPerReplica", 0.001, 1e9),
        "capacity_per_replica": Limit("spec.demand.capacityPerReplica", 0.001, 1e9, optional=True),
        "startup_s": Limit("spec.startupSeconds", 0, 3600, optional=True),
        "objective_s": Limit("spec.service.objectiveSeconds", 0.001, 300),
        "price": Limit("spec.objective.price", 1, 1000),  # 1000: one bad request in a thousand doubles the bill
        "action_price": Limit("action price", 0.1, 100),  # no field of the resource; the policy knows its logarithm
    }
)

GUARDRAIL_LIMITS = MappingProxyType(
    {
        # 10 %: a lower ceiling on load would ask for more than ten times the pods.
        "floor_utilization_ratio": Limit("spec.guardrails.floorUtilization", 10, 100, factor=100),
        "ceiling_ratio": Limit("spec.guardrails.ceilingRatio", 1, 100),  # below 1 it would fight the floor
        "stale_after_s": Limit("spec.guardrails.staleAfterSeconds", 5, 3600),
        "min_ready_ratio": Limit("spec.guardrails.minReadyPercent", 0, 100, factor=100),
    }
)

FALLBACK_LIMITS = MappingProxyType(
    {
        "after_s": Limit("spec.guardrails.fallback.after", 0, 86_400),
        "replicas": Limit("spec.guardrails.fallback.replicas", 1, MOST_REPLICAS, whole=True, optional=True),
    }
)


def _check_member(path: str, value: object, kind: type) -> None:
    """Refuse a value of another type, which a plain string for an enum is too."""
    if not isinstance(value, kind):
        raise InputError(f"{path}: {shown(value)} is not a {kind.__name__}")
