"""Matchers within a selector's braces, and those among them that find things by a name.

Pure text. Two forms do, and of either one matcher can find what many names find:

| form | finds | of several names |
|---|---|---|
| `app="web"` | what has the name | `app=~"web|api"` |
| `pod=~"web-[a-z0-9]{5}"` | what has the name, then the ending `-[a-z0-9]{5}` | `pod=~"(?:web|api)-[a-z0-9]{5}"` |

An ending is a dash and characters of a class without a dash, once or several times. So a text can be divided into name
and ending in one way only: the ending begins at the dash that is, from the end, as far as the ending has dashes. What
is found by several names thus tells which of them found it, and no other would have.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from controller.promql.syntax import STRING, quoted
from controller.shared_texts import SharedTexts

ENDINGS = SharedTexts()

AGE_LABEL = "selector"
"""Label by which an age query numbers its answers."""

OWN_LABEL = "forescale_"
"""With the name of a label after it, the label for the name without the ending."""

NOT_SHARED = ("__name__", AGE_LABEL)  # rate() drops the one, an age query writes the other
MATCHER = re.compile(rf"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*({STRING})\s*(?:,|\Z)", re.ASCII | re.DOTALL)
CLASS = r"\[(?:\^-|(?:[0-9a-z](?:-[0-9a-z])?)+)\]"  # a range from 0 upwards has no dash in it
WITH_ENDING = re.compile(rf"((?:[0-9a-z-]|\\\.)+)((?:-{CLASS}(?:[+*?]|\{{[0-9,]+\}})?)+)")
SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


@dataclass(frozen=True)
class Finder:
    """A matcher without the name that it finds things by."""

    label: str
    ending: str = ""
    """The regular expression of what follows the name; nothing for an `=` matcher."""

    @property
    def form(self) -> str:
        """It with a ? in place of the name, as no query can have it."""
        return f"{self.label}=~?{quoted(self.ending)}" if self.ending else f"{self.label}=?"

    @property
    def row_label(self) -> str:
        """The label that says the name alone: its own, or one that `named` adds."""
        return f"{OWN_LABEL}{self.label}" if self.ending else self.label

    @property
    def naming(self) -> str:
        """What follows `label_replace(` and a vector that it found, to add the row's label."""
        return f', "{self.row_label}", "$1", "{self.label}", {quoted("(.+)" + self.ending)})'

    def matcher(self, names: Sequence[str]) -> str:
        """The matcher that finds what these names find."""
        first, *others = dict.fromkeys(names)
        if not others and not self.ending:
            return f"{self.label}={quoted(first)}"
        either = "|".join(map(literal, (first, *others)))
        pattern = f"(?:{either}){self.ending}" if others and self.ending else either + self.ending
        return f"{self.label}=~{quoted(pattern)}"


@dataclass(frozen=True)
class Matcher:
    """A matcher as it is written; where it finds things by a name, how, and the name."""

    label: str
    text: str
    finder: Finder | None = None
    name: str = ""


def literal(text: str) -> str:
    """A regular expression, as RE2 reads them, for one text."""
    return SPECIAL.sub(r"\\\g<0>", text)


def matchers_of(text: str) -> list[Matcher] | None:
    """The matchers that stand within braces; None where not all can be read."""
    found, place = [], 0
    end = len(text.rstrip())
    while place < end:
        match = MATCHER.match(text, place)
        if match is None:
            return None
        found.append(_matcher(*match.groups()))
        place = match.end()
    return found


def _matcher(label: str, operator: str, string: str) -> Matcher:
    written, value = label + operator + string, value_of(string)
    if value is None or label in NOT_SHARED or label.startswith(OWN_LABEL):
        return Matcher(label, written)
    if operator == "=":
        return Matcher(label, written, Finder(label), value)
    divided = WITH_ENDING.fullmatch(value) if operator == "=~" else None
    if divided is None:
        return Matcher(label, written)
    return Matcher(label, written, Finder(label, ENDINGS.share(divided[2])), divided[1].replace(r"\.", "."))


def value_of(string: str) -> str | None:
    """What a PromQL string says; None when it is empty, which matches what lacks the label, or is in a rare form."""
    quote, inside = string[0], string[1:-1]
    if quote == "`" or "\\" not in inside:
        return None if not inside or (quote != "`" and "\n" in inside) else inside
    escape = re.compile(rf"\\([\\{quote}])")
    return None if "\\" in escape.sub("", inside) else escape.sub(r"\1", inside)
