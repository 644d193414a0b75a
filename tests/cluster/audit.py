"""Who wrote what, by the API server's audit log: what the tests count, in place of what the operator says of itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.cluster.controlplane import Cluster

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
SCALE = "deployments/scale"


@dataclass(frozen=True)
class Write:
    """One write that the API server has answered."""

    asked_s: float
    """Unix time at which it came in."""
    user: str
    verb: str
    resource: str
    """With its subresource, as in `deployments/scale`."""
    namespace: str
    name: str
    code: int
    replicas: int | None
    """What a write to a scale asked for."""
    fence: str | None
    """The resourceVersion that a write to a scale carried."""

    @property
    def done(self) -> bool:
        """Whether it changed something."""
        return 200 <= self.code < 300


def writes(
    cluster: Cluster,
    resource: str = SCALE,
    *,
    users: Iterable[str] = (),
    namespace: str | None = None,
    name: str | None = None,
    since_s: float = 0.0,
) -> list[Write]:
    """Writes to a kind of resource in the order in which they came in; of anybody if no users are named."""
    wanted = set(users)
    found = [
        write
        for event in cluster.audited()
        if event["verb"] in WRITES and event["stage"] == "ResponseComplete" and _resource(event) == resource
        for write in [_write(event)]
        if (not wanted or write.user in wanted)
        and namespace in (None, write.namespace)
        and name in (None, write.name)
        and write.asked_s >= since_s
    ]
    return sorted(found, key=lambda write: write.asked_s)


def sizes(initial: int, written: Iterable[Write]) -> list[int]:
    """The sizes that a workload was given, one after the other, the first one included."""
    return [initial, *(write.replicas for write in written if write.done and write.replicas is not None)]


def removals(sizes: list[int]) -> int:
    """How often one of these sizes is below the one before it."""
    return sum(after < before for before, after in pairwise(sizes))


def _write(event: dict[str, Any]) -> Write:
    place, body = event.get("objectRef", {}), event.get("requestObject") or {}
    return Write(
        asked_s=datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
        user=event["user"]["username"],
        verb=event["verb"],
        resource=_resource(event),
        namespace=place.get("namespace", ""),
        name=place.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        replicas=(body.get("spec") or {}).get("replicas"),
        fence=(body.get("metadata") or {}).get("resourceVersion"),
    )


def _resource(event: dict[str, Any]) -> str:
    place = event.get("objectRef", {})
    return "/".join(filter(None, (place.get("resource"), place.get("subresource"))))
