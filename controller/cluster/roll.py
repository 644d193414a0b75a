"""The roll of one kind of object: who there is by the listings of names, and whom no watch has told of yet.

What is missing from what the watches told is there all the same, until a listing says that it is not.
"""

from collections.abc import Collection, Mapping


class Roll:
    """Of one kind."""

    def __init__(self) -> None:
        self._listed: set[str] = set()
        """Namespaces that were listed; empty for all of them at once."""
        self._untold: dict[str, str] = {}
        """Namespace and name of who was listed and not told of, by uid."""

    def call(self, namespace: str, listed: Mapping[str, str], told: Collection[str]) -> None:
        """Take in a full listing, uid to namespace/name, of a namespace or of all of them (""); `told`: uids."""
        self._listed.add(namespace)
        elsewhere = {uid: place for uid, place in self._untold.items() if not is_within(place, namespace)}
        self._untold = elsewhere | {uid: place for uid, place in listed.items() if uid not in told}

    def tell(self, uid: str) -> None:
        """A watch told of this one."""
        self._untold.pop(uid, None)

    def is_called(self, namespace: str) -> bool:
        """Whether it is known who there is in a namespace."""
        return "" in self._listed or namespace in self._listed

    def awaits(self, place: str) -> bool:
        """Whether there is somebody of this namespace and name, of whom more will be told."""
        return place in self._untold.values()

    def awaited_in(self, namespace: str) -> str | None:
        """Somebody in a namespace of whom more will be told, as namespace/name."""
        return next((place for place in self._untold.values() if is_within(place, namespace)), None)


def is_within(place: str, namespace: str) -> bool:
    """Whether a namespace/name is in a namespace, or in any for an empty one."""
    return not namespace or place.startswith(f"{namespace}/")
