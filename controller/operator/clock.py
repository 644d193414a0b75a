"""The operator's clock: seconds that never jump, close to Unix time.

Decisions are timed by `now_s`, which an adjusted system clock does not move; queries and status need `unix_s`, which it
does.
"""

import time
from collections.abc import Callable

from controller.cluster.lease import suspended_too_s


class Clock:
    """Both times; tests bring sources of their own."""

    def __init__(self, uptime: Callable[[], float] = suspended_too_s, unix: Callable[[], float] = time.time) -> None:
        self._uptime, self._unix = uptime, unix
        self._offset_s = unix() - uptime()

    def now_s(self) -> float:
        """The time that decisions are taken at: Unix time as it was believed at the start, and running on evenly."""
        return self._uptime() + self._offset_s

    def unix_s(self) -> float:
        """The time that others go by."""
        return self._unix()
