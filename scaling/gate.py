"""Whether a policy's answer is used: only on features like those of its training, and only if it is a number.

The operator, the dry-run and the evaluation all ask here, so that what is judged is what runs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.decision import Reason
from scaling.policy import RULES, Features, Policy


@dataclass(frozen=True)
class Gated:
    """Who decides for a workload, and from which answer."""

    policy: Policy
    answer: NDArray[np.float32]
    """(2,), zeros where a rule stands in."""
    unfamiliar: tuple[str, ...] = ()
    """Names of the features outside what training saw."""
    reason: Reason | None = None
    """Why a rule stands in for the policy; None if it does not."""


def gate(policy: Policy, features: Features, answer: NDArray[np.float32]) -> Gated:
    """The policy and its answer, (2,), to features, (N_FEATURES,); a rule where they cannot be trusted.

    SNVT stands in on features that training never saw, the HPA's rule for an answer that is not a number.
    """
    unfamiliar = policy.unfamiliar(features)
    if not np.isfinite(answer).all():
        return Gated(RULES["hpa"], _NO_ANSWER, unfamiliar, Reason.POLICY_UNUSABLE)
    if unfamiliar:
        return Gated(RULES["snvt"], _NO_ANSWER, unfamiliar, Reason.OUT_OF_DISTRIBUTION)
    return Gated(policy, answer)


_NO_ANSWER = np.zeros(2, np.float32)
