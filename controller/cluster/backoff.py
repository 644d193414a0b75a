"""How long a target that cannot be read is left alone: longer each time that the same is found again.

A target that a watch tells of is not asked for, and is found as soon as it is there.
"""

import math
from dataclasses import dataclass

from controller.ports import Refused

SPREAD = 0.2
"""Pauses differ between targets by up to this share in both directions, so that they do not stay in step (chosen)."""


@dataclass(frozen=True)
class Backoff:
    """Pauses in seconds between requests for one thing: the first, then doubled up to the longest."""

    first_s: float
    longest_s: float

    def after(self, before_s: float | None) -> float:
        """The pause after one of `before_s`, which led to the same refusal; None for the first."""
        return self.first_s if before_s is None else min(self.longest_s, 2 * before_s)


MISSING = Backoff(30.0, 300.0)
"""What does not exist, is refused as invalid or belongs to another object (chosen)."""

FORBIDDEN = Backoff(15.0, 180.0)
"""Rights are given by people, but an API server that has just started knows of none for a moment (chosen)."""

SILENT = Backoff(10.0, 180.0)
"""No answer. Chosen: an API server that was away is asked again at once when the Lease is held again."""

THROTTLED = Backoff(30.0, 30.0)
"""Not asked: the rate of requests was too low for all (chosen)."""

KIND_MISSING = Backoff(60.0, 300.0)
"""A kind that is not served, asked of discovery: it may be installed just now (chosen)."""

KIND_SILENT = Backoff(5.0, 60.0)
"""The same without an answer. Chosen: the first is the shortest interval between decisions."""

OF_REASON = {"ApiUnavailable": SILENT, "Forbidden": FORBIDDEN, "Throttled": THROTTLED}
OF_KIND = {"KindNotFound": THROTTLED, "NoScaleSubresource": THROTTLED}
"""Answers of discovery, which `discovery.py` remembers: to ask it again costs no request."""


def backoff_of(refused: Refused) -> Backoff:
    """The pauses after a refusal."""
    return (OF_REASON | OF_KIND).get(refused.reason, MISSING)


def with_next_look(refused: Refused) -> Refused:
    """The refusal, whose message then says when the target is looked at again at the latest."""
    longest_s = KIND_MISSING.longest_s if refused.reason in OF_KIND else 0.0
    latest_s = longest_s + backoff_of(refused).longest_s * (1 + SPREAD)
    words = f"{latest_s:.0f} s" if latest_s < 60 else f"{math.ceil(latest_s / 60)} min"
    return Refused(refused.reason, f"{refused.message}; the operator looks again within {words}")
