"""What a replica can serve: a belief that starts at the stated capacity and follows the measured bad share.

Only calm evidence counts: while demand and replicas stand still, the share of bad requests at a known load tells
whether a replica serves more or less than believed. Loads far below the belief say nothing and change nothing.
"""

import math

from scaling.kernel import Record, kernel
from scaling.newsvendor import BAD_FROM, bad_share

CALM_STEPS = 8
"""Demand and replicas must have stood still for 2 min, two windows of the usual rate query (chosen)."""
CALM_CHANGE = 0.1
"""... demand within 10 %, as a log ratio (chosen)."""
GAIN = 0.05
"""Log change of the belief per step and unit of surprise: 20 % unexpected bad requests move it by 1 % (chosen)."""
UNTELLING = 0.02
"""Unexpected shares up to this say nothing: every service has some that no replica cures, and the belief would follow
them all the way down (chosen: this much bad is half a per cent of load on the slope)."""
LOWEST, HIGHEST = 0.5, 2.0
"""The belief stays within a factor of two of what is stated (chosen: beyond it the statement is a mistake)."""
TELLING_LOAD = LOWEST * BAD_FROM
"""Below this share of the stated capacity no belief explains bad requests: they are bad for another reason."""
_BAD_GAIN = 1 - math.exp(-15.0 / 300.0)


@kernel
def observe_bad(w: Record, bad_ratio: float, ready: int) -> None:
    """Take in the measured share of bad requests while `ready` replicas served the newest reading."""
    w["bad_ratio"] += _BAD_GAIN * (bad_ratio - w["bad_ratio"])
    if w["since_add"] < CALM_STEPS or ready < 1:
        return
    load = w["level"] / ready
    recent = w["recent"][-CALM_STEPS:]
    if load < TELLING_LOAD or recent.max() - recent.min() > CALM_CHANGE:
        return
    surprise = bad_ratio - bad_share(load / w["capacity_ratio"])
    surprise = math.copysign(max(0.0, abs(surprise) - UNTELLING), surprise)
    w["capacity_ratio"] = min(HIGHEST, max(LOWEST, w["capacity_ratio"] * math.exp(-GAIN * surprise)))
