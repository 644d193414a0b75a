"""What reconciling needs of the world: somewhere to read demand, and a scale to read and write.

The operator's ports talk to Prometheus and the API server, the dry-run's to the simulator; `reconcile` cannot tell.
"""

from dataclasses import dataclass, field
from typing import Protocol

from controller.crd.resource import PolicyResource
from scaling.decide import PolicyState
from scaling.decision import Reason
from scaling.observation import Reading
from scaling.spec import ScalingSpec


@dataclass
class Target:
    """One ScalingPolicy that is served: the resource and what is remembered of its workload."""

    resource: PolicyResource
    state: PolicyState = field(default_factory=PolicyState)
    spec: ScalingSpec = field(init=False)
    """The wishes of this moment: the resource's, with what was measured and what the calendar says in their place."""
    holds: tuple[Reason, ...] = ()
    """What stands against a change now, apart from what the scale itself says (`Observation.holds`)."""
    superseded: bool = False
    """The resource was edited or deleted since: what was decided for it is not carried out any more."""

    def __post_init__(self) -> None:
        self.spec = self.resource.spec

    @property
    def name(self) -> str:
        """The policy's namespace/name."""
        return f"{self.resource.namespace}/{self.resource.name}"


@dataclass(frozen=True)
class WouldBe:
    """A simulated workload of a dry-run at the end of its last step."""

    replicas: int
    ready: int
    latency_p95_s: float
    bad_ratio: float
    """Share of requests over the objective or dropped, in the last minute, as a query would see it."""


@dataclass(frozen=True)
class Refused:
    """A scale cannot be read or may not be written: the cause in one word, as a condition's reason, and for people."""

    reason: str
    message: str


@dataclass(frozen=True)
class Scale:
    """A workload's /scale: replicas asked for, and serving; and what stands against a change (`Observation.holds`)."""

    replicas: int
    ready: int
    holds: tuple[Reason, ...] = ()
    competitor: Refused | None = None
    """Who else scales it, where a hold says CONFLICT."""
    waiting: Refused | None = None
    """Who would scale it too and holds, since this policy comes first."""
    ready_known: bool = True
    """Whether it was told how many serve; else all that are asked for count."""
    uid: str = field(default="", compare=False)
    """Of the workload, where it is a real one: made again under its name, it is another."""


class Metrics(Protocol):
    """Reads demand."""

    async def demand(self, target: Target, now_s: float) -> Reading:
        """The demand on a target, or why it is not known; never raises for a source that fails."""

    async def bad_ratio(self, target: Target, now_s: float) -> float | None:
        """The measured share of bad requests, None where nobody measures it or it is not known."""

    async def healthy(self, target: Target, now_s: float) -> bool:
        """Whether all of spec.guardrails.requireHealthy hold for certain; True where none is given."""


class Workloads(Protocol):
    """Reads and writes scales; the only code that can write replicas implements this."""

    async def scale(self, target: Target, now_s: float) -> Scale | Refused:
        """The target's present scale; never raises for an API server that fails."""

    async def set_replicas(self, target: Target, seen: Scale, replicas: int, now_s: float) -> Refused | None:
        """Ask for so many replicas in place of those `seen`; None when it is done.

        Called only when they differ. Refused, and nothing written, where the scale is no longer the one that was seen,
        something stands against the change by now, or the target is superseded.
        """


@dataclass(frozen=True)
class Ports:
    """Both sides of the world."""

    metrics: Metrics
    workloads: Workloads
