"""What reconciling needs of the world: somewhere to read demand, and a scale to read and write.

The operator's ports talk to Prometheus and the API server, the dry-run's to the simulator; `reconcile` cannot tell.
"""

from dataclasses import dataclass, field
from typing import Protocol

from controller.crd.resource import PolicyResource
from scaling.decide import PolicyState
from scaling.observation import Reading


@dataclass
class Target:
    """One ScalingPolicy under our care: the resource and what is remembered of its workload."""

    resource: PolicyResource
    state: PolicyState = field(default_factory=PolicyState)


@dataclass(frozen=True)
class Scale:
    """A workload's /scale: replicas asked for, and serving."""

    replicas: int
    ready: int


class Metrics(Protocol):
    """Reads demand."""

    async def demand(self, target: Target, now_s: float) -> Reading:
        """The demand on a target, or why it is not known; never raises for a source that fails."""

    async def bad_ratio(self, target: Target, now_s: float) -> float | None:
        """The measured share of bad requests, None where nobody measures it or it is not known."""


class Workloads(Protocol):
    """Reads and writes scales; the only code that can write replicas implements this."""

    async def scale(self, target: Target) -> Scale:
        """The target's present scale."""

    async def set_replicas(self, target: Target, replicas: int) -> None:
        """Ask for so many replicas. Called only when they differ from what `scale` said."""


@dataclass(frozen=True)
class Ports:
    """Both sides of the world."""

    metrics: Metrics
    workloads: Workloads
