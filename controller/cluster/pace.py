"""How many requests the API server gets from us, and who goes first: a token bucket with a queue for each kind.

What a request is, and when to ask again, is left to `api.py`.
"""

import asyncio
import math
import time
from collections import deque
from enum import IntEnum

SHORTEST_WAIT_S = 0.001
"""So that a rounded-off token does not make the timer spin (chosen)."""


class Turn(IntEnum):
    """What a request is for, first those who go first."""

    CHANGE = 0
    """Of replicas, or of who leads."""
    READ = 1
    TELL = 2
    """Statuses and events."""
    LEARN = 3
    """What is good to know, as how long pods take to start."""


PATIENT = (Turn.TELL, Turn.LEARN)
"""Nothing waits for them, and they leave what a second brings to those before them, who come in bursts."""

PATIENCE_S = 5.0
"""How long all but changes let others go first, and keep a silence that those were asked for. Then one of each kind has
its turn, so that people hear of changes that are refused for minutes (chosen: half the deadline of a call)."""


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
        left = min(burst - 1, requests_per_s)
        self._needs = {kind: 1 + left if kind in PATIENT else 1.0 for kind in Turn}
        self._tokens = float(burst)
        self._filled_s = time.monotonic()
        self._opens_s = dict.fromkeys(Turn, 0.0)
        """When the silence of each kind ends."""
        self._refused_s = dict.fromkeys(Turn, 0.0)
        """When that one ends which it was asked for itself."""
        self._waiting: dict[Turn, deque[asyncio.Future[None]]] = {kind: deque() for kind in Turn}
        self._since_s = dict.fromkeys(Turn, 0.0)
        """Since when those of each kind wait, or the latest of them had its turn."""
        self._alarm: asyncio.TimerHandle | None = None

    async def turn(self, kind: Turn, until_s: float) -> None:
        """Wait for a token; ShedError at once if a pause lasts beyond `until_s` on the monotonic clock."""
        now_s = time.monotonic()
        if not self._waiting[kind]:
            self._since_s[kind] = now_s
        opens_s = min(self._opens_s[kind], self._loses_patience_s(kind))
        if opens_s > until_s:
            raise ShedError(opens_s - now_s)
        turn = asyncio.get_running_loop().create_future()
        self._waiting[kind].append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came too late
                self._tokens += 1
                self._serve()
            raise

    def pause(self, refused: Turn, seconds: float) -> None:
        """Nothing of this kind or behind it goes out for so long, and what the bucket held is gone.

        For what goes before it the server may still have room.
        """
        now_s = time.monotonic()
        self._refused_s[refused] = max(self._refused_s[refused], now_s + seconds)
        for kind in Turn:
            if kind >= refused:
                self._opens_s[kind] = max(self._opens_s[kind], now_s + seconds)
        self._tokens = 0.0
        self._filled_s = max(now_s, self._opens_s[Turn.CHANGE])
        self._serve()

    def close(self) -> None:
        """Stop the timer; who still waits is left to the deadline of the call."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _serve(self) -> None:
        """Hand out what there is, and come back when there is more."""
        now_s = time.monotonic()
        grown = max(0.0, now_s - self._filled_s) * self._requests_per_s
        self._tokens = min(self._burst, self._tokens + grown)
        self._filled_s = max(now_s, self._filled_s)
        for kind in Turn:
            if self._waiting[kind] and self._tokens >= 1 and self._loses_patience_s(kind) <= now_s:
                self._admit(kind, now_s)
        for kind, turns in self._waiting.items():
            while turns and self._tokens >= self._needs[kind] and self._opens_s[kind] <= now_s:
                self._admit(kind, now_s)
        self._wake_later(now_s)

    def _admit(self, kind: Turn, now_s: float) -> None:
        """Give the first of a kind its turn, unless its call has given up."""
        turn = self._waiting[kind].popleft()
        if not turn.done():
            turn.set_result(None)
            self._tokens -= 1
            self._since_s[kind] = now_s

    def _loses_patience_s(self, kind: Turn) -> float:
        """When one of these goes whatever others want; changes have nobody before them."""
        return math.inf if kind is Turn.CHANGE else max(self._since_s[kind] + PATIENCE_S, self._refused_s[kind])

    def _wake_later(self, now_s: float) -> None:
        self.close()
        ready_s = [self._ready_s(kind) for kind, turns in self._waiting.items() if turns]
        if ready_s:
            wait_s = max(SHORTEST_WAIT_S, min(ready_s) - now_s)
            self._alarm = asyncio.get_running_loop().call_later(wait_s, self._serve)

    def _ready_s(self, kind: Turn) -> float:
        return min(
            max(self._opens_s[kind], self._holds_s(self._needs[kind])),
            max(self._loses_patience_s(kind), self._holds_s(1.0)),
        )

    def _holds_s(self, tokens: float) -> float:
        """When the bucket holds so many."""
        return self._filled_s + max(0.0, tokens - self._tokens) / self._requests_per_s
