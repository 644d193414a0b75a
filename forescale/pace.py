"""Keeps a run to a multiple of real time."""

import math
import time
from collections.abc import Callable

from scaling.errors import InputError


class Pace:
    """Waits until a step of the run is due: 1 is real time, N is N times as fast, 0 never waits."""

    def __init__(
        self, speed: float, now_s: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        if not 0 <= speed < math.inf:
            raise InputError(f"--speed: {speed:g} is not a number from 0 on")
        self._speed, self._now_s, self._sleep = speed, now_s, sleep
        self._began_s = now_s()

    def start(self) -> None:
        """Count from now."""
        self._began_s = self._now_s()

    def wait(self, time_s: float) -> None:
        """Sleep until the run may show the step at `time_s`."""
        if not self._speed:
            return
        early_s = self._began_s + time_s / self._speed - self._now_s()
        if early_s > 0:
            self._sleep(early_s)
