"""Whether a label selector in its string form, as /scale reports it, can be parsed.

Source: `Parse` in https://github.com/kubernetes/apimachinery/blob/v0.34.0/pkg/labels/selector.go
"""

import re

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"  # 63 characters at most
_DNS_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_KEY = rf"(?!(?:not)?in(?![-\w./]))(?:{_DNS_LABEL}(?:\.{_DNS_LABEL})*/)?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_SET = rf"\(\s*(?!\))(?:{_VALUE})\s*(?:,\s*{_VALUE}\s*)*\)"

_EQUALS = rf"{_KEY}\s*(?:==?|!=)\s*{_VALUE}"
_COMPARES = rf"{_KEY}\s*[<>]\s*\d+"
_IN_SET = rf"{_KEY}\s+(?:not)?in\s*{_SET}"
_REQUIREMENT = rf"(?:{_EQUALS}|{_COMPARES}|{_IN_SET}|!\s*{_KEY}|{_KEY})"

_SELECTOR = re.compile(rf"\s*(?:{_REQUIREMENT}\s*(?:,\s*{_REQUIREMENT}\s*)*)?", re.ASCII)


def selector_parses(selector: str) -> bool:
    """`app=web,tier in (a,b),!canary` does; `cheddar cheese` does not. Blank selects everything, and parses."""
    return _SELECTOR.fullmatch(selector) is not None
