"""A trained policy as a ConfigMap: its layout, written and read.

`binaryData` holds NAME.safetensors and `data` NAME.json. A label and annotations say what is inside, for `kubectl get`.
Pure; what the bytes must say is left to `scaling.policy_file`, the requests to `controller.operator.policy_reader`
and `forescale.export_command`.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from controller.crd.config_map import ConfigMapRef
from controller.policy_store import MANIFEST, WEIGHTS
from scaling.errors import InputError
from scaling.limits import shown
from scaling.policy import feature_schema
from scaling.policy_file import LoadedPolicy, check_name, parse_policy

GROUP = "forescale.dev"
LABEL = f"{GROUP}/policy"
"""Of every ConfigMap with a policy; its value is the policy's name."""

MOST_BYTES = 1024 * 1024
"""Of a ConfigMap's values. Source: https://kubernetes.io/docs/concepts/configuration/configmap/ (1 MiB)."""


def config_map_of(policy: LoadedPolicy, weights: bytes, manifest: bytes, name: str) -> dict[str, Any]:
    """Return a policy's two files as a ConfigMap called `name`. Raises InputError if they do not fit into one."""
    card = policy.manifest
    size = len(weights) + len(manifest)
    if size > MOST_BYTES:
        raise InputError(f"policy {card.name}: its files are {size} bytes, limit {MOST_BYTES} in a ConfigMap")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {LABEL: card.name}, "annotations": _annotations(policy)},
        "binaryData": {card.name + WEIGHTS: base64.b64encode(weights).decode()},
        "data": {card.name + MANIFEST: manifest.decode("ascii")},
    }


def _annotations(policy: LoadedPolicy) -> dict[str, str]:
    """What people choose a policy by: when it was trained, its weights' SHA-256, and its scores."""
    card = policy.manifest
    scores = {
        f"{GROUP}/{'.'.join((test, name)).replace('_', '-')}": f"{value:.4f}"
        for test, values in card.evaluation.items()
        if isinstance(values, Mapping)
        for name, value in values.items()
        if isinstance(value, int | float)
    }
    return {f"{GROUP}/created": card.created, f"{GROUP}/sha256": card.sha256, **scores}


def policy_in_config_map(body: Mapping[str, Any], ref: ConfigMapRef) -> LoadedPolicy:
    """Return the policy that `ref` names in a ConfigMap. Raises InputError with the first thing that is wrong."""
    texts, binary = body.get("data") or {}, body.get("binaryData") or {}
    name = ref.key or _only_name(texts, binary)
    check_name(name)
    for entry, entries in ((name + WEIGHTS, binary), (name + MANIFEST, texts)):
        if entry not in entries:
            where = "binaryData" if entries is binary else "data"
            raise InputError(f"policy {name}: {where} lacks {entry}")
    try:
        weights = base64.b64decode(binary[name + WEIGHTS], validate=True)
        manifest = texts[name + MANIFEST].encode("ascii")
    except (binascii.Error, UnicodeError) as error:
        raise InputError(f"policy {name}: {error}") from error
    policy = parse_policy(weights, manifest, feature_schema(), name)
    if ref.sha256 and policy.manifest.sha256 != ref.sha256:
        raise InputError(
            f"policy {name}: weights.sha256 is {policy.manifest.sha256[:8]}…, policyRef wants {ref.sha256[:8]}…"
        )
    return policy


def _only_name(texts: Mapping[str, Any], binary: Mapping[str, Any]) -> str:
    names = {entry.removesuffix(MANIFEST) for entry in texts if entry.endswith(MANIFEST)}
    names |= {entry.removesuffix(WEIGHTS) for entry in binary if entry.endswith(WEIGHTS)}
    if len(names) != 1:
        found = ", ".join(sorted(map(shown, names))[:5]) or "none"
        raise InputError(f"it holds {len(names)} policies ({found}), expected 1 unless policyRef names a key")
    return names.pop()
