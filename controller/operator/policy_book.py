"""The policies that can be asked, loaded once; in place of one that cannot be used stands the HPA's rule."""

import logging
from dataclasses import dataclass

from controller.policy_choice import policy_named
from scaling.errors import InputError
from scaling.policy import RULES, Policy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """Who is asked, and why it is not the one that was named; empty where it is."""

    policy: Policy
    problem: str = ""


class PolicyBook:
    """Policies by name."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}

    def find(self, name: str) -> Asked:
        """Who is asked for a resource that names this policy."""
        if name not in self._asked:
            self._asked[name] = _load(name)
        return self._asked[name]


def _load(name: str) -> Asked:
    try:
        return Asked(policy_named(name))
    except (InputError, OSError) as error:
        log.error("policy %s cannot be used, the HPA's rule stands in: %s", name, error)
        return Asked(RULES["hpa"], str(error))
