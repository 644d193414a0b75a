"""A trained policy as two byte strings: weights in safetensors, and the manifest that says what they are.

Owns what a policy file holds, what is refused and in which order. Reading files is left to `controller.policy_store`,
writing them to `training.policy_writer`. Neither file can carry code, no byte of the weights is parsed before their
sha256 agrees, and a change of a single byte in either file is noticed. Digests inside the files tell an accident, not
a forger: whoever must pin a policy keeps the sha256 of the manifest, which pins the weights too, somewhere else.

Source: https://github.com/huggingface/safetensors/blob/v0.4.3/README.md#format
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from scaling.errors import InputError
from scaling.network import Network
from scaling.policy_manifest import FORMAT, FeatureSchema, PolicyManifest, open_manifest, seal_manifest, shown

MAX_FILE_BYTES = 1 << 20
"""1 MiB a file. Chosen: the shipped network, 38-64-64-2, takes 27 KiB, and a ConfigMap may hold no more anyway."""

MAX_HIDDEN_LAYERS = 16
"""Chosen: a file of the largest size could hold thousands of tiny ones, which would take long to ask."""


@dataclass(frozen=True)
class LoadedPolicy:
    """A network and the manifest that was checked against it."""

    network: Network
    manifest: PolicyManifest


def parse_policy(weights: bytes, manifest: bytes, expected_features: FeatureSchema, name: str) -> LoadedPolicy:
    """Check both files and build the policy called `name`, or raise InputError for the first thing that is wrong."""
    check_name(name)
    try:
        _check_size("weights", weights)
        _check_size("manifest", manifest)
        _check_digest(weights, card := open_manifest(manifest))
        if card.name != name:
            raise InputError(f"manifest names it {shown(card.name)}")

        if len(card.hidden_sizes) > MAX_HIDDEN_LAYERS:
            raise InputError(f"it has {len(card.hidden_sizes)} hidden layers, limit {MAX_HIDDEN_LAYERS}")
        network = _read_network(weights, (len(card.features), *card.hidden_sizes, len(card.actions)))
        _check_features(card.schema, expected_features)
    except InputError as error:
        raise InputError(f"policy {name}: {error}") from error
    return LoadedPolicy(network, card)


def serialise(network: Network, manifest: PolicyManifest) -> tuple[bytes, bytes]:
    """Weights and manifest as bytes, the same for the same input; refuses what `parse_policy` would refuse."""
    weights = save(_named_tensors(network))
    digest = _sha256(weights)
    sealed = seal_manifest(replace(manifest, hidden_sizes=network.hidden_sizes, sha256=digest, format=FORMAT))

    parse_policy(weights, sealed, manifest.schema, manifest.name)
    return weights, sealed


def check_name(name: str) -> None:
    """A policy's name is a DNS label, so it is never a path: `../x` and `a/b` stop here."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise InputError(f"policy name is {shown(name)}, expected at most 63 of a-z, 0-9 and, inside, -")


def _check_size(what: str, data: bytes) -> None:
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{what} are at least {len(data)} bytes, limit {MAX_FILE_BYTES}")


def _check_digest(weights: bytes, manifest: PolicyManifest) -> None:
    actual = _sha256(weights)
    if actual != manifest.sha256:
        raise InputError(f"weights.sha256 is {actual[:8]}…, manifest says {manifest.sha256[:8]}…")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_features(actual: FeatureSchema, expected: FeatureSchema) -> None:
    """The network reads what `encode` lays out: same inputs, same order, same scale."""
    if len(actual) != len(expected):
        raise InputError(f"it reads {len(actual)} features, expected {len(expected)}")
    for index, (found, wanted) in enumerate(zip(actual, expected, strict=True)):
        if found != tuple(wanted):
            raise InputError(f"feature {index} is {found}, expected {tuple(wanted)}")


def _read_network(weights: bytes, widths: Sequence[int]) -> Network:
    """The layers that lead from the first width to the last, each tensor exactly as it must be."""
    tensors = _read_tensors(weights)
    names = _tensor_names(len(widths) - 1)
    shapes: dict[str, tuple[int, ...]] = {}
    for (weight, bias), (inputs, outputs) in zip(names, pairwise(widths), strict=True):
        shapes |= {weight: (outputs, inputs), bias: (outputs,)}

    for name in sorted(tensors.keys() ^ shapes.keys()):
        raise InputError(f"tensor {shown(name)} is {'missing from' if name in shapes else 'unexpected in'} the weights")
    for name, shape in shapes.items():
        found = tensors[name]
        if found.dtype != np.float32 or found.shape != shape:
            raise InputError(f"tensor {name} is {found.dtype} {found.shape}, expected float32 {shape}")
    return Network(tuple((tensors[weight], tensors[bias]) for weight, bias in names))


def _named_tensors(network: Network) -> dict[str, NDArray[np.float32]]:
    tensors: dict[str, NDArray[np.float32]] = {}
    for names, layer in zip(_tensor_names(len(network.layers)), network.layers, strict=True):
        tensors.update(zip(names, layer, strict=True))
    return tensors


def _tensor_names(n_layers: int) -> list[tuple[str, str]]:
    return [(f"layers.{index}.weight", f"layers.{index}.bias") for index in range(n_layers)]


def _read_tensors(weights: bytes) -> dict[str, NDArray[Any]]:
    try:
        return load(weights)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a number type that numpy lacks
        raise InputError(f"weights are not safetensors that numpy can hold: {shown(str(error))}") from error
