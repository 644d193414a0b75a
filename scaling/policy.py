"""Who proposes: every policy answers with a band of replicas from the same memory and features.

A policy first answers for many workloads at once (`answer`, which is where a network runs), then draws one workload's
band from its answer. Rules have nothing to answer and draw the band from the memory alone.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scaling.band import newsvendor_band, quantile_band
from scaling.decision import Band
from scaling.features import FEATURES
from scaling.kernel import Record
from scaling.newsvendor import PROBABILITIES
from scaling.policy_file import LoadedPolicy
from scaling.policy_manifest import FeatureSchema

Features = NDArray[np.float32]
"""(n, N_FEATURES) as `features.encode` lays them out."""

ACTIONS = ("raise", "release")
"""What a network answers, each in [-1, 1]: see `band.newsvendor_band`."""


class Policy(Protocol):
    """Proposes bands. `sha256` is that of a network's weights, empty for a rule."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...

    def answer(self, features: Features) -> NDArray[np.float32]:
        """Answers for n workloads, (n, 2)."""

    def band(self, w: Record, terms: Record, current: int, answer: NDArray[np.float32]) -> Band:
        """The band of one workload that asks for `current` replicas, from its row of `answer`."""

    def unfamiliar(self, features: Features) -> tuple[str, ...]:
        """Names of the features, (N_FEATURES,), outside what training saw."""


@dataclass(frozen=True)
class NetworkPolicy:
    """A trained network: the newsvendor band, shifted by what the network answers."""

    loaded: LoadedPolicy

    @property
    def name(self) -> str:
        return self.loaded.manifest.name

    @property
    def sha256(self) -> str:
        return self.loaded.manifest.sha256

    def answer(self, features: Features) -> NDArray[np.float32]:
        """The network's answers, (n, 2)."""
        return self.loaded.network.forward(features)

    def band(self, w: Record, terms: Record, current: int, answer: NDArray[np.float32]) -> Band:
        """The newsvendor band, shifted by the answer."""
        return Band(*newsvendor_band(w, terms, current, float(answer[0]), float(answer[1])))

    def unfamiliar(self, features: Features) -> tuple[str, ...]:
        """Features outside the ranges that the manifest says training saw."""
        low, high = self._seen
        outside = (features < low) | (features > high)
        return tuple(FEATURES[i].name for i in outside.nonzero()[0])

    @cached_property
    def _seen(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The lowest and highest values that count as seen."""
        ranges = self.loaded.manifest.features
        low, high = [f.seen_low - RANGE_MARGIN for f in ranges], [f.seen_high + RANGE_MARGIN for f in ranges]
        return np.array(low, np.float32), np.array(high, np.float32)


RANGE_MARGIN = 0.05
"""How far beyond the seen ranges still counts as seen, in the features' units (chosen)."""


class _Rule:
    """What rules have in common: no weights, no answers, nothing unfamiliar."""

    sha256 = ""

    def answer(self, features: Features) -> NDArray[np.float32]:
        """Nothing: zeros, (n, 2)."""
        return np.zeros((len(features), len(ACTIONS)), np.float32)

    def unfamiliar(self, features: Features) -> tuple[str, ...]:
        """Rules were never trained, so nothing is unfamiliar to them."""
        return ()


class NewsvendorPolicy(_Rule):
    """SNVT: headroom that weighs a spare pod against the price of a bad request."""

    name = "snvt"

    def band(self, w: Record, terms: Record, current: int, answer: NDArray[np.float32]) -> Band:
        """The plain newsvendor band."""
        return Band(*newsvendor_band(w, terms, current, 0.0, 0.0))


class QuantilePolicy(_Rule):
    """Conformal headroom: room for all but a fixed share of rises."""

    name = "quantile"
    index = PROBABILITIES.index(0.95)

    def band(self, w: Record, terms: Record, current: int, answer: NDArray[np.float32]) -> Band:
        """Room for 95 % of the rises seen."""
        return Band(*quantile_band(w, terms, current, self.index))


class ReferencePolicy(_Rule):
    """The HPA's own rule, as it runs beside every policy."""

    name = "hpa"

    def band(self, w: Record, terms: Record, current: int, answer: NDArray[np.float32]) -> Band:
        """What the reference HPA would run, exactly."""
        return Band(w["reference_replicas"], w["reference_replicas"])


RULES: dict[str, Policy] = {rule.name: rule for rule in (NewsvendorPolicy(), QuantilePolicy(), ReferencePolicy())}
"""The rules by the name that `policyRef` gives them."""


def feature_schema() -> FeatureSchema:
    """The features as a policy's manifest must list them."""
    return [(feature.name, feature.unit, feature.low, feature.high) for feature in FEATURES]
