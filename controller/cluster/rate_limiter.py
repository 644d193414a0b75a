"""The rate of requests to the API server, and their order: a token bucket with a fair queue for each kind of request.

Discovery have priorities and a least share each; within a kind, namespaces are served in turn and each may wait with a
bounded number of requests. What a request is, and when to ask again, is left to `api.py`.
"""

import asyncio
import math
import time
from enum import IntEnum

from controller.cluster.fair_queue import FairQueue

SHORTEST_WAIT_S = 0.001
"""So that a rounded-off token does not make the timer spin (chosen)."""


class Priority(IntEnum):
    """What a request is for, first those who go first."""

    CHANGE = 0
    """Of replicas, or of who leads."""
    READ = 1
    TELL = 2
    """Statuses and events."""
    LEARN = 3
    """What is good to know, as how long pods take to start."""


PATIENT = (Priority.TELL, Priority.LEARN)
"""Nothing waits for them, and they leave what a second brings to those before them, who come in bursts."""

SHARES = {Priority.READ: 0.2, Priority.TELL: 0.2, Priority.LEARN: 0.05}
"""Least share of the rate that a kind has while it waits, whatever is before it (chosen: 4 statuses a second of 20)."""

PATIENCE_S = 5.0
"""How long all but changes keep a silence that only those before them were asked for. Then one of each kind has its
turn, so that people hear of changes that are refused for minutes (chosen: half the deadline of a call)."""

MOST_WAIT_S = 10.0
"""A namespace's queue holds as many requests of a kind as can be sent in this time: more would not come to their turn
within the deadline of a call."""


class ShedError(Exception):
    """A turn cannot come in time."""

    def __init__(self, why: str, left_s: float) -> None:
        super().__init__(why)
        self.left_s = left_s


class QueueFullError(ShedError):
    """So many requests of its namespace wait that it could not come to its turn."""


class RateLimiter:
    """A bucket of `burst` tokens, refilled at a rate; each request takes one."""

    def __init__(self, requests_per_s: float, burst: int) -> None:
        self._requests_per_s = requests_per_s
        self._burst = burst
        left = min(burst - 1, requests_per_s)
        self._needs = {kind: 1 + left if kind in PATIENT else 1.0 for kind in Priority}
        self._tokens = float(burst)
        self._filled_s = time.monotonic()
        self._opens_s = dict.fromkeys(Priority, 0.0)
        """When the silence of each kind ends."""
        self._refused_s = dict.fromkeys(Priority, 0.0)
        """When that one ends which it was asked for itself."""
        self._waiting: dict[Priority, FairQueue[asyncio.Future[None]]] = {kind: FairQueue() for kind in Priority}
        self._most_waiting = burst + math.ceil(MOST_WAIT_S * requests_per_s)
        self._share_s = {kind: 1 / (SHARES.get(kind, 1.0) * requests_per_s) for kind in Priority}
        """Longest time between two of a kind that waits."""
        self._since_s = dict.fromkeys(Priority, 0.0)
        """Since when those of each kind wait, or the latest of them had its turn."""
        self._alarm: asyncio.TimerHandle | None = None

    async def turn(self, kind: Priority, until_s: float, namespace: str = "") -> None:
        """Wait for a token. ShedError at once if a pause lasts beyond `until_s` on the monotonic clock, or if the queue
        of this kind is full of requests of the same namespace ("": what is about no namespace)."""
        self._check_has_room(kind, until_s, namespace)
        turn = asyncio.get_running_loop().create_future()
        self._waiting[kind].push(namespace, turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came too late
                self._tokens += 1
                self._serve()
            else:
                self._waiting[kind].remove(namespace, turn)
            raise

    def _check_has_room(self, kind: Priority, until_s: float, namespace: str) -> None:
        now_s = time.monotonic()
        if not self._waiting[kind]:
            self._since_s[kind] = now_s
        opens_s = min(self._opens_s[kind], self._loses_patience_s(kind))
        if opens_s > until_s:
            left_s = opens_s - now_s
            raise ShedError(f"{left_s:.1f} s of the silence that the API server asked for are left", left_s)
        if self._waiting[kind].waiting(namespace) >= self._most_waiting:
            whose = f"about namespace {namespace}" if namespace else "about no namespace"
            raise QueueFullError(f"{self._most_waiting} requests {whose} wait already, the limit", MOST_WAIT_S)

    def pause(self, refused: Priority, seconds: float) -> None:
        """Nothing of this kind or behind it goes out for so long, and what the bucket held is gone.

        For what goes before it the server may still have room.
        """
        now_s = time.monotonic()
        self._refused_s[refused] = max(self._refused_s[refused], now_s + seconds)
        for kind in Priority:
            if kind >= refused:
                self._opens_s[kind] = max(self._opens_s[kind], now_s + seconds)
        self._tokens = 0.0
        self._filled_s = max(now_s, self._opens_s[Priority.CHANGE])
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
        for kind in Priority:
            while self._waiting[kind] and self._tokens >= 1 and self._loses_patience_s(kind) <= now_s:
                self._admit(kind, now_s)
        for kind, turns in self._waiting.items():
            while turns and self._tokens >= self._needs[kind] and self._opens_s[kind] <= now_s:
                self._admit(kind, now_s)
        self._wake_later(now_s)

    def _admit(self, kind: Priority, now_s: float) -> None:
        """Give the next of a kind its turn, unless its call has given up."""
        turn = self._waiting[kind].pop()
        if turn is not None and not turn.done():
            turn.set_result(None)
            self._tokens -= 1
            share_s = self._share_s[kind]  # a turn that was late does not delay the next one
            self._since_s[kind] = min(now_s, max(self._since_s[kind] + share_s, now_s - share_s))

    def _loses_patience_s(self, kind: Priority) -> float:
        """When one of these goes whatever others want; changes have nobody before them."""
        if kind is Priority.CHANGE:
            return math.inf
        goes_s = max(self._opens_s[kind], self._since_s[kind]) + self._share_s[kind]
        return max(min(goes_s, self._since_s[kind] + PATIENCE_S), self._refused_s[kind])

    def _wake_later(self, now_s: float) -> None:
        self.close()
        ready_s = [self._ready_s(kind) for kind, turns in self._waiting.items() if turns]
        if ready_s:
            wait_s = max(SHORTEST_WAIT_S, min(ready_s) - now_s)
            self._alarm = asyncio.get_running_loop().call_later(wait_s, self._serve)

    def _ready_s(self, kind: Priority) -> float:
        return min(
            max(self._opens_s[kind], self._holds_s(self._needs[kind])),
            max(self._loses_patience_s(kind), self._holds_s(1.0)),
        )

    def _holds_s(self, tokens: float) -> float:
        """When the bucket holds so many."""
        return self._filled_s + max(0.0, tokens - self._tokens) / self._requests_per_s
