"""Small policies for tests: a network of random weights, its manifest, and both as bytes."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from scaling.network import Network
from scaling.policy_file import serialise
from scaling.policy_manifest import FeatureRange, FeatureSchema, PolicyManifest, seal_fields

SCHEMA: FeatureSchema = [("demand", "rps", 0.0, 1000.0), ("startup", "s", 5.0, 300.0), ("slope", "ratio", -1.0, 1.0)]


def a_network(n_features: int = 3, hidden: tuple[int, ...] = (5, 4), n_actions: int = 2, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    widths = (n_features, *hidden, n_actions)
    return Network(
        tuple(
            (rng.normal(size=(outputs, inputs)).astype(np.float32), rng.normal(size=outputs).astype(np.float32))
            for inputs, outputs in pairwise(widths)
        )
    )


def a_manifest(**changes: Any) -> PolicyManifest:
    manifest = PolicyManifest(
        name="default",
        created="2026-11-23T12:00:00Z",
        features=tuple(FeatureRange(*row, seen_low=row[2], seen_high=row[3]) for row in SCHEMA),
        actions=("lo", "hi"),
        training={"seed": 7, "gamma": 0.97},
        evaluation={"cost": {"mean": 1.21}},
    )
    return replace(manifest, **changes)


def policy_bytes(seed: int = 0, **changes: Any) -> tuple[bytes, bytes]:
    """Weights and manifest of a good policy."""
    return serialise(a_network(seed=seed), a_manifest(**changes))


def resealed(manifest: bytes, changes: Mapping[str, Any]) -> bytes:
    """The manifest with other fields and a seal that fits them: what a bad export writes. None drops a field."""
    fields = {**json.loads(manifest), **changes}
    del fields["manifest_sha256"]
    return seal_fields({key: value for key, value in fields.items() if value is not None})
