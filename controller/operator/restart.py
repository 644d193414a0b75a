"""What a restart reads back from a policy's status: the last change counts for spec.behavior's rates, as if we had
stayed."""

from collections.abc import Mapping
from typing import Any

from controller.cluster.status import last_change
from controller.operator.clock import Clock
from controller.ports import Target
from scaling.behavior import BehaviorLog, log_change


def recall(target: Target, status: Mapping[str, Any], clock: Clock) -> None:
    """Fill a new target's log of changes with what its status tells."""
    unix_s = clock.unix_s()
    change = last_change(status, unix_s)
    if change is None:
        return
    at_s = clock.now_s() - (unix_s - change.at_s)
    target.state.behavior = log_change(change.before, change.after, target.spec.behavior, BehaviorLog(), at_s)
