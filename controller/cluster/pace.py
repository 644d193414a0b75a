"""How many requests the API server gets from us, and who goes first: a token bucket with two queues.

Reads wait while a write waits. What a request is, and when to ask again, is left to `api.py`.
"""

import asyncio
import time
from collections import deque

SHORTEST_WAIT_S = 0.001
"""So that a rounded-off token does not make the timer spin (chosen)."""


class ShedError(Exception):
    """A turn cannot come in time: the API server asked for silence."""

    def __init__(self, left_s: float) -> None:
        super().__init__(f"{left_s:.1f} s of the silence that the API server asked for are left")
        self.left_s = left_s


class Pace:
    """A bucket of `burst` tokens, refilled at a rate; each request takes one."""

    def __init__(self, requests_per_s: float, burst: int) -> None:
        self._requests_per_s = requests_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._filled_s = time.monotonic()
        self._opens_s = {True: 0.0, False: 0.0}  # for writes and for reads
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}
        self._alarm: asyncio.TimerHandle | None = None

    async def turn(self, is_write: bool, until_s: float) -> None:
        """Wait for a token; ShedError at once if a pause lasts beyond `until_s` on the monotonic clock."""
        left_s = self._opens_s[is_write] - time.monotonic()
        if self._opens_s[is_write] > until_s:
            raise ShedError(left_s)
        turn = asyncio.get_running_loop().create_future()
        self._waiting[is_write].append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came too late
                self._tokens += 1
                self._serve()
            raise

    def pause(self, is_write: bool, seconds: float) -> None:
        """Nothing goes out for so long, and what the bucket held is gone.

        A read that was refused silences reads only: the server may still have room for a write.
        """
        now_s = time.monotonic()
        for kind in {False, is_write}:
            self._opens_s[kind] = max(self._opens_s[kind], now_s + seconds)
        self._tokens = 0.0
        self._filled_s = max(now_s, self._opens_s[True])
        self._serve()

    def close(self) -> None:
        """Stop the timer; who still waits is left to the deadline of the call."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _serve(self) -> None:
        """Hand out what there is, to writes first, and come back when there is more."""
        now_s = time.monotonic()
        grown = max(0.0, now_s - self._filled_s) * self._requests_per_s
        self._tokens = min(self._burst, self._tokens + grown)
        self._filled_s = max(now_s, self._filled_s)
        for is_write in (True, False):
            turns = self._waiting[is_write]
            while turns and self._tokens >= 1 and self._opens_s[is_write] <= now_s:
                turn = turns.popleft()
                if not turn.done():  # its call has not given up
                    turn.set_result(None)
                    self._tokens -= 1
        self._wake_later(now_s)

    def _wake_later(self, now_s: float) -> None:
        self.close()
        opens_s = [self._opens_s[is_write] for is_write, turns in self._waiting.items() if turns]
        if opens_s:
            filled_s = self._filled_s + max(0.0, 1 - self._tokens) / self._requests_per_s
            wait_s = max(SHORTEST_WAIT_S, max(min(opens_s), filled_s) - now_s)
            self._alarm = asyncio.get_running_loop().call_later(wait_s, self._serve)
