"""How far the watches of one kind of object have synced: which namespaces were listed, and what no watch has shown yet.

An object that was listed exists, also before a watch has shown it, until another listing no longer has it.
"""

from collections.abc import Collection, Mapping


class SyncState:
    """Of one kind."""

    def __init__(self) -> None:
        self._listed: set[str] = set()
        """Namespaces that were listed; empty for all of them at once."""
        self._unseen: dict[str, str] = {}
        """Namespace and name of each object that was listed and that no watch has shown, by uid."""

    def on_listed(self, namespace: str, listed: Mapping[str, str], seen: Collection[str]) -> None:
        """Take in a full listing, uid to namespace/name, of a namespace or of all of them (""); `seen`: uids."""
        self._listed.add(namespace)
        elsewhere = {uid: place for uid, place in self._unseen.items() if not is_within(place, namespace)}
        self._unseen = elsewhere | {uid: place for uid, place in listed.items() if uid not in seen}

    def on_seen(self, uid: str) -> None:
        """A watch has shown this object."""
        self._unseen.pop(uid, None)

    def has_listed(self, namespace: str) -> bool:
        """Whether the objects of a namespace were listed."""
        return "" in self._listed or namespace in self._listed

    def is_unseen(self, place: str) -> bool:
        """Whether an object of this namespace/name was listed, and not shown yet."""
        return place in self._unseen.values()

    def unseen_in(self, namespace: str) -> str | None:
        """The namespace/name of an object in a namespace that was listed and not shown yet; None if there is none."""
        return next((place for place in self._unseen.values() if is_within(place, namespace)), None)


def is_within(place: str, namespace: str) -> bool:
    """Whether a namespace/name is in a namespace, or in any for an empty one."""
    return not namespace or place.startswith(f"{namespace}/")
