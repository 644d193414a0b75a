"""Equal texts kept once, within a bound: thousands of statuses and query parts say the same in copies of their own.

Not `sys.intern`: Python 3.12 keeps what that takes in for ever, and tenants choose these texts.
"""

MOST_CHARACTERS = 2 * 1024 * 1024
"""Of all texts of one store (chosen: ten times what 10,000 ordinary policies need)."""

MOST_OF_ONE = 16 * 1024
"""A longer text is not worth sharing (chosen: the longest query has half of it)."""


class SharedTexts:
    """A store of texts by their content. When it is full it is emptied, and sharing begins anew."""

    def __init__(self, most_characters: int = MOST_CHARACTERS) -> None:
        self._most_characters = most_characters
        self._texts: dict[str, str] = {}
        self._characters = 0

    def __len__(self) -> int:
        return len(self._texts)

    def share(self, text: str) -> str:
        """Return the equal text that came first, or this one if there is none."""
        known = self._texts.get(text)
        if known is not None:
            return known
        if len(text) > MOST_OF_ONE:
            return text
        if self._characters + len(text) > self._most_characters:
            self.clear()
        self._characters += len(text)
        self._texts[text] = text
        return text

    def clear(self) -> None:
        """Forget all texts."""
        self._texts.clear()
        self._characters = 0
