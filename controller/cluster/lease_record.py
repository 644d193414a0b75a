"""What stands in a Lease, and the objects that take, renew and release it; plain dictionaries, no clock that decides.

Source: https://github.com/kubernetes/client-go/blob/v0.37.2/tools/leaderelection/resourcelock/leaselock.go
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]


def record_of(lease: Json) -> dict[str, Any]:
    """The spec; whatever else stands there counts as none."""
    spec = lease.get("spec")
    return spec if isinstance(spec, dict) else {}


def holder_of(lease: Json) -> str:
    """Who holds it, empty where nobody does."""
    return str(record_of(lease).get("holderIdentity") or "")


def duration_of(lease: Json, default_s: float) -> float:
    """How long the holder asks to be left alone without a renewal."""
    return _whole(record_of(lease).get("leaseDurationSeconds"), default_s)


def taken(seen: Json, identity: str, duration_s: float) -> dict[str, Any]:
    """The object with us as its holder: a renewal where we are that already."""
    record, now = record_of(seen), _now()
    is_ours = holder_of(seen) == identity
    transitions = int(_whole(record.get("leaseTransitions"), 0))
    spec = {
        "holderIdentity": identity,
        "leaseDurationSeconds": math.ceil(duration_s),
        "acquireTime": (record.get("acquireTime") or now) if is_ours else now,
        "renewTime": now,
        "leaseTransitions": transitions if is_ours or not record else transitions + 1,
    }
    return _object(seen, spec)


def released(seen: Json) -> dict[str, Any]:
    """The object without a holder."""
    now = _now()
    spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
    return _object(seen, {**spec, "leaseTransitions": int(_whole(record_of(seen).get("leaseTransitions"), 0))})


def _object(seen: Json, spec: Json) -> dict[str, Any]:
    """What is sent: the metadata as they were seen, resourceVersion included."""
    kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    return {**kind, "metadata": seen.get("metadata"), "spec": spec}


def _whole(value: object, default: float) -> float:
    return value if isinstance(value, int) else default


def _now() -> str:
    """For people who look at the object; nobody decides by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
