"""What a restart reads back from a policy's status: the last change counts for spec.behavior's rates, as if we had
stayed."""

from collections.abc import Mapping
from typing import Any

from controller.cluster.status import last_change
from controller.operator.clock import Clock
from controller.ports import Target
from scaling.behavior import log_change

SAME_WITHIN_S = 15.0
"""A status tells when a change was written, our log when it was decided on. Chosen: no write takes that long, and
nobody else leads so soon after it."""


def recall(target: Target, status: Mapping[str, Any], clock: Clock) -> None:
    """Add to a target's log of changes what its status tells, where that is news: another operator's, or of a life
    before."""
    unix_s, log = clock.unix_s(), target.state.behavior
    change = last_change(status, unix_s)
    if change is None:
        return
    at_s = clock.now_s() - (unix_s - change.at_s)
    if all(event.at_s < at_s - SAME_WITHIN_S for event in (*log.up_events, *log.down_events)):
        target.state.behavior = log_change(change.before, change.after, target.spec.behavior, log, at_s)
