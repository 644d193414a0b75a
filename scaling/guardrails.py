"""The envelope: what no policy gets past. One small rule each; `GUARDS`, `HOLDS` and `BOUNDS` are their order.

A guard is `(replicas, current, ready, w, terms) -> replicas`, where `replicas` is what the policy and the guards before
it want, and `current` what is asked for now.
"""

import math
from collections.abc import Callable

from scaling.decision import Reason
from scaling.hpa_settings import SCALE_UP_LIMIT_FACTOR, SCALE_UP_LIMIT_MINIMUM
from scaling.kernel import Record, kernel

Guard = Callable[[int, int, int, Record, Record], int]


@kernel
def cap_at_reference(replicas: int, current: int, ready: int, w: Record, terms: Record) -> int:
    """Run at most `ceiling_ratio` times what the reference HPA would run; nothing is removed for it."""
    ceiling: int = math.ceil(terms["ceiling_ratio"] * w["reference_replicas"] - 1e-9)
    return min(replicas, max(ceiling, current, int(terms["min_replicas"])))


@kernel
def keep_floor(replicas: int, current: int, ready: int, w: Record, terms: Record) -> int:
    """Run at least what present demand needs at `floor_utilization` of what a replica can serve."""
    floor: int = math.ceil(w["level"] / (terms["floor_utilization"] * w["capacity_ratio"]) - 1e-9)
    return max(replicas, floor)


@kernel
def wait_for_ready(replicas: int, current: int, ready: int, w: Record, terms: Record) -> int:
    """Remove nothing while less than `min_ready_ratio` of the replicas serve."""
    return max(replicas, current) if ready < terms["min_ready_ratio"] * current else replicas


@kernel
def only_up(replicas: int, current: int, ready: int, w: Record, terms: Record) -> int:
    """Mode UpOnly: never remove."""
    return max(replicas, current) if terms["up_only"] else replicas


@kernel
def limit_scale_up(replicas: int, current: int, ready: int, w: Record, terms: Record) -> int:
    """Add at most what an HPA without spec.behavior adds in one sync: up to twice the size, or to four."""
    limit = max(SCALE_UP_LIMIT_FACTOR * current, SCALE_UP_LIMIT_MINIMUM)
    return min(replicas, max(int(limit), current))


@kernel
def raise_to_min(replicas: int, current: int, ready: int, w: Record, terms: Record) -> int:
    """Keep the user's minimum."""
    return max(replicas, int(terms["min_replicas"]))


@kernel
def lower_to_max(replicas: int, current: int, ready: int, w: Record, terms: Record) -> int:
    """Keep the user's maximum."""
    return min(replicas, int(terms["max_replicas"]))


GUARDS: tuple[tuple[Reason, Guard], ...] = (
    (Reason.CEILING_RATIO, cap_at_reference),
    (Reason.FLOOR_UTILIZATION, keep_floor),
    (Reason.MIN_READY, wait_for_ready),
    (Reason.UP_ONLY, only_up),
)
"""What surrounds the policy; `HOLDS`, behavior limits and then `BOUNDS` follow."""

STANDSTILLS = (Reason.CONFLICT, Reason.FROZEN)
"""Holds under which nothing changes, not even for the bounds: the target is somebody else's, or nobody's to touch."""


def stay(replicas: int, current: int) -> int:
    """Change nothing."""
    return current


HOLDS: tuple[tuple[Reason, Callable[[int, int], int]], ...] = (
    (Reason.PODS_NOT_READY, min),
    (Reason.ROLLOUT, max),
    (Reason.UNHEALTHY, max),
    (Reason.NO_SCALE_DOWN, max),
    (Reason.JUST_STARTED, stay),
)
"""What each other hold leaves of (replicas, current): at most, at least, or just the current ones."""

BOUNDS: tuple[tuple[Reason, Guard], ...] = (
    (Reason.TOO_FEW_REPLICAS, raise_to_min),
    (Reason.TOO_MANY_REPLICAS, lower_to_max),  # last: nothing may leave the bounds
)


@kernel
def fit_envelope(replicas: int, current: int, ready: int, w: Record, terms: Record) -> int:
    """All guards in their order, for a fleet: what `decide` does one by one, without the reasons."""
    replicas = cap_at_reference(replicas, current, ready, w, terms)
    replicas = keep_floor(replicas, current, ready, w, terms)
    replicas = wait_for_ready(replicas, current, ready, w, terms)
    replicas = only_up(replicas, current, ready, w, terms)
    replicas = limit_scale_up(replicas, current, ready, w, terms)
    replicas = raise_to_min(replicas, current, ready, w, terms)
    return int(lower_to_max(replicas, current, ready, w, terms))
