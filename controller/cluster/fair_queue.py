"""A queue in which namespaces are served in turn, so that no namespace waits behind all that another one wants."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Entries by namespace: first in, first out within a namespace, and one of each namespace in turn.

    A namespace that waits alone is served without limit.
    """

    def __init__(self) -> None:
        self._entries: dict[str, deque[T]] = {}
        """Only namespaces with entries, the next one to be served first."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def waiting(self, namespace: str) -> int:
        """Return how many entries of a namespace wait."""
        return len(self._entries.get(namespace, ()))

    def longest(self) -> str:
        """Return the namespace with the most entries; ValueError if there are none."""
        return max(self._entries, key=self.waiting)

    def push(self, namespace: str, entry: T) -> None:
        """Append an entry to its namespace's queue."""
        self._entries.setdefault(namespace, deque()).append(entry)
        self._length += 1

    def pop(self, is_allowed: Callable[[str], bool] = lambda namespace: True) -> T | None:
        """Remove and return the next entry of the first namespace that is allowed; None if there is none."""
        namespace = next(filter(is_allowed, self._entries), None)
        return None if namespace is None else self.pop_of(namespace)

    def pop_of(self, namespace: str) -> T:
        """Remove and return the oldest entry of a namespace, which then is the last to be served again."""
        entries = self._entries.pop(namespace)
        entry = entries.popleft()
        if entries:
            self._entries[namespace] = entries
        self._length -= 1
        return entry

    def remove(self, namespace: str, entry: T) -> None:
        """Remove an entry if it still waits."""
        entries = self._entries.get(namespace, deque())
        try:
            entries.remove(entry)
        except ValueError:
            return
        self._length -= 1
        if not entries:
            del self._entries[namespace]
