"""Whether a regular expression of a matcher is surely none, by its brackets and repetitions. Pure.

Prometheus reads patterns as RE2 does. No library here does the same, and some take minutes for one pattern. This goes
through the text once. What it takes, Prometheus may still refuse.
Source: https://github.com/google/re2/wiki/Syntax
"""

import re

PIECE = re.compile(r"\\[\s\S]|\[\^?+\]?+(?:\[:\^?[a-z]++:\]|\\[\s\S]|[^\]\\])*+\]|[\s\S]")
"""An escape, a class, or one character."""

QUOTES = "\\Q"
"""Begins a part in which nothing has a meaning."""


def fault_of(pattern: str) -> str | None:
    """Say what is wrong with a pattern; None if nothing is, as far as this can tell."""
    if QUOTES in pattern:
        return None
    opened, before = 0, ""
    for match in PIECE.finditer(pattern):
        text = match.group()
        opened += {"(": 1, ")": -1}.get(text, 0)
        if text in ("[", "\\"):
            return "[ is not closed" if text == "[" else "nothing follows \\"
        if opened < 0:
            return ") closes nothing"
        if text in "*+?" and before in ("", "|", "(") and (before, text) != ("(", "?"):
            return f"{text} repeats nothing"
        before = text
    return "( is not closed" if opened else None
