"""The envelope: what no policy gets past. One small rule each, and the order in which a decision passes them.

A rule is `(replicas, current, ready, w, terms) -> replicas`, where `replicas` is what the policy and the rules before
it want, and `current` what is asked for now. The operator and the simulated fleet run the same kernels; they tell which
rules changed something as bits, which `reasons_in` decodes.
"""

import math
from collections.abc import Collection

from scaling.decision import Reason
from scaling.hpa_settings import SCALE_UP_LIMIT_FACTOR, SCALE_UP_LIMIT_MINIMUM
from scaling.kernel import Record, kernel

REASONS = (
    Reason.CEILING_RATIO,
    Reason.FLOOR_UTILIZATION,
    Reason.MIN_READY,
    Reason.UP_ONLY,
    Reason.PODS_NOT_READY,
    Reason.ROLLOUT,
    Reason.UNHEALTHY,
    Reason.NO_SCALE_DOWN,
    Reason.JUST_STARTED,
    Reason.FALLBACK_KEPT,
    Reason.SCALE_UP_LIMIT,
    Reason.TOO_FEW_REPLICAS,
    Reason.TOO_MANY_REPLICAS,
)
"""Why the envelope changes a size, in the order in which a decision passes it; each has a bit."""

_BIT = {reason: 1 << place for place, reason in enumerate(REASONS)}
_CEILING, _FLOOR, _MIN_READY, _UP_ONLY = (_BIT[reason] for reason in REASONS[:4])
_NOT_READY, _ROLLOUT, _UNHEALTHY, _NO_SCALE_DOWN, _JUST_STARTED = (_BIT[reason] for reason in REASONS[4:9])
_KEPT, _UP_LIMIT, _TOO_FEW, _TOO_MANY = (_BIT[reason] for reason in REASONS[9:])

HOLDS = REASONS[4:9]
"""What the world says against a change, but for `STANDSTILLS`; given to `decide` as `Observation.holds`."""

STANDSTILLS = (Reason.CONFLICT, Reason.FROZEN)
"""Holds under which nothing changes, not even for the bounds: the target is somebody else's, or nobody's to touch."""


def reasons_in(bits: int) -> list[Reason]:
    """Decode the bits of a kernel."""
    return [reason for place, reason in enumerate(REASONS) if bits >> place & 1] if bits else []


def bits_of(holds: Collection[Reason]) -> int:
    """Encode the holds among these reasons for a kernel."""
    return sum(_BIT[reason] for reason in HOLDS if reason in holds) if holds else 0


# The order


@kernel
def surround(
    replicas: int, current: int, ready: int, holds: int, kept: int, w: Record, terms: Record
) -> tuple[int, int]:
    """Guards, then holds, then what a fallback keeps: the size that is left, and the bits of what changed it.

    `kept`: replicas that the fallback asked for and that are not removed yet; 0 for none.
    """
    bits = 0
    fitted = cap_at_reference(replicas, current, ready, w, terms)
    bits |= _CEILING if fitted != replicas else 0
    floored = keep_floor(fitted, current, ready, w, terms)
    bits |= _FLOOR if floored != fitted else 0
    waited = wait_for_ready(floored, current, ready, w, terms)
    bits |= _MIN_READY if waited != floored else 0
    raised = only_up(waited, current, ready, w, terms)
    bits |= _UP_ONLY if raised != waited else 0
    held, hold_bits = hold(raised, current, holds)
    remaining = max(held, min(kept, current))
    bits |= _KEPT if remaining != held else 0
    return int(remaining), bits | hold_bits


@kernel
def hold(replicas: int, current: int, holds: int) -> tuple[int, int]:
    """What holds leave of a wanted size, and the bits of those that changed it."""
    bits = 0
    if holds & _NOT_READY and replicas > current:
        replicas, bits = current, bits | _NOT_READY
    if holds & _ROLLOUT and replicas < current:
        replicas, bits = current, bits | _ROLLOUT
    if holds & _UNHEALTHY and replicas < current:
        replicas, bits = current, bits | _UNHEALTHY
    if holds & _NO_SCALE_DOWN and replicas < current:
        replicas, bits = current, bits | _NO_SCALE_DOWN
    if holds & _JUST_STARTED and replicas != current:
        replicas, bits = current, bits | _JUST_STARTED
    return int(replicas), bits


@kernel
def limit(replicas: int, current: int, ready: int, w: Record, terms: Record) -> tuple[int, int]:
    """The limit of a workload without spec.behavior, and its bit if it changed the size."""
    limited = limit_scale_up(replicas, current, ready, w, terms)
    return int(limited), _UP_LIMIT if limited != replicas else 0


@kernel
def bound(replicas: int, current: int, ready: int, w: Record, terms: Record) -> tuple[int, int]:
    """The user's bounds, last as nothing may leave them, and the bits of those that changed the size."""
    raised = raise_to_min(replicas, current, ready, w, terms)
    lowered = lower_to_max(raised, current, ready, w, terms)
    bits = _TOO_FEW if raised != replicas else 0
    return int(lowered), bits | (_TOO_MANY if lowered != raised else 0)


@kernel
def fit(replicas: int, current: int, ready: int, holds: int, kept: int, w: Record, terms: Record) -> tuple[int, int]:
    """The whole envelope of a workload without spec.behavior: the size that is left, and the bits."""
    replicas, bits = surround(replicas, current, ready, holds, kept, w, terms)
    replicas, limit_bits = limit(replicas, current, ready, w, terms)
    replicas, bound_bits = bound(replicas, current, ready, w, terms)
    return replicas, bits | limit_bits | bound_bits


# The rules


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
