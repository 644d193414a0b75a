"""A policy in a ConfigMap: what is written is read back, and what is not exactly that is refused in one line."""

import base64
import copy
import hashlib
import json

import numpy as np
import pytest

from controller.crd.config_map import ConfigMapRef
from controller.policy_config_map import LABEL, MOST_BYTES, config_map_of, policy_in_config_map
from controller.policy_store import load_builtin
from scaling.errors import InputError
from scaling.features import N_FEATURES
from scaling.policy import feature_schema
from scaling.policy_file import parse_policy, serialise
from scaling.policy_manifest import FeatureRange
from tests.scaling.policies import a_manifest, a_network, policy_bytes, resealed

REF = ConfigMapRef(name="web")


def a_policy(name="web", seed=0):
    """A network of random weights that reads the real features, and its two files."""
    features = tuple(FeatureRange(*row, seen_low=row[2], seen_high=row[3]) for row in feature_schema())
    network = a_network(N_FEATURES, hidden=(8,), seed=seed)
    files = serialise(network, a_manifest(name=name, features=features, actions=("raise", "release")))
    return parse_policy(*files, feature_schema(), name), *files


def a_config_map(*policies, name="web"):
    """One that holds these policies, one unless it is said otherwise."""
    bodies = [config_map_of(policy, weights, card, name) for policy, weights, card in policies or [a_policy()]]
    for body in bodies[1:]:
        bodies[0]["data"] |= body["data"]
        bodies[0]["binaryData"] |= body["binaryData"]
    return bodies[0]


def refusal(body, ref=REF):
    with pytest.raises(InputError) as caught:
        policy_in_config_map(body, ref)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read_back():
    policy, *_ = a_policy()
    read = policy_in_config_map(json.loads(json.dumps(a_config_map())), REF)
    x = np.random.default_rng(1).random((20, N_FEATURES), dtype=np.float32)
    np.testing.assert_array_equal(read.network.forward(x), policy.network.forward(x))
    assert read.manifest == policy.manifest


def test_kubectl_can_list_it_with_what_people_choose_by():
    shipped = load_builtin("default", feature_schema())
    body = config_map_of(shipped, b"", b"", "forescale-default")
    assert body["metadata"]["labels"] == {LABEL: "default"}
    assert body["metadata"]["annotations"]["forescale.dev/cost-over-snvt-on-generated-demand.mean"] == "0.9836"
    assert body["metadata"]["annotations"]["forescale.dev/sha256"] == shipped.manifest.sha256


def test_of_several_policies_the_key_names_one():
    body = a_config_map(a_policy("old", 1), a_policy("new", 2))
    assert policy_in_config_map(body, ConfigMapRef(name="web", key="new")).manifest.name == "new"
    assert refusal(body) == 'it holds 2 policies ("new", "old"), expected 1 unless policyRef names a key'


def test_the_weights_can_be_pinned():
    sha256 = a_policy()[0].manifest.sha256
    assert policy_in_config_map(a_config_map(), ConfigMapRef(name="web", sha256=sha256)).manifest.sha256 == sha256
    said = refusal(a_config_map(), ConfigMapRef(name="web", sha256="ab" * 32))
    assert said == f"policy web: weights.sha256 is {sha256[:8]}…, policyRef wants abababab…"


def test_more_than_a_config_map_holds_is_refused_before_anything_is_sent():
    policy, weights, manifest = a_policy()
    with pytest.raises(InputError, match=rf"bytes, limit {MOST_BYTES} in a ConfigMap$"):
        config_map_of(policy, weights * (MOST_BYTES // len(weights) + 1), manifest, "web")


def changed(**entries):
    """The ConfigMap with other entries; None drops one."""
    body = copy.deepcopy(a_config_map())
    for name, value in entries.items():
        where = body["binaryData"] if name == "weights" else body["data"]
        key = "web.safetensors" if name == "weights" else "web.json"
        if value is None:
            del where[key]
        else:
            where[key] = value(where[key])
    return body


def bare(weights):
    return base64.b64encode(weights).decode()


def with_nan(weights):
    data = bytearray(base64.b64decode(weights))
    data[-4:] = np.float32(np.nan).tobytes()
    return bare(bytes(data))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param({}, "it holds 0 policies (none), expected 1", id="empty"),
        pytest.param({"data": None, "binaryData": None}, "it holds 0 policies", id="null"),
        pytest.param(changed(weights=None), "policy web: binaryData lacks web.safetensors", id="no-weights"),
        pytest.param(changed(manifest=None), "policy web: data lacks web.json", id="no-manifest"),
        pytest.param(changed(weights=lambda text: text[:-8]), "weights.sha256 is", id="cut-weights"),
        pytest.param(changed(weights=with_nan), "weights.sha256 is", id="other-weights"),
        pytest.param(changed(weights=lambda text: "%%%"), "policy web: ", id="not-base64"),
        pytest.param(changed(manifest=lambda text: text[:99]), "manifest is not JSON", id="cut-manifest"),
        pytest.param(changed(manifest=lambda text: "ä"), "policy web: ", id="not-ascii"),
        pytest.param({"data": {"../x.json": ""}}, "policy name is", id="name-that-is-a-path"),
    ],
)
def test_what_is_not_exactly_a_policy_is_refused(body, words):
    assert words in refusal(body)


def test_nan_weights_are_refused_even_where_the_digest_agrees():
    body = a_config_map()
    weights = base64.b64decode(with_nan(body["binaryData"]["web.safetensors"]))
    manifest = resealed(body["data"]["web.json"].encode(), {"sha256": hashlib.sha256(weights).hexdigest()})
    body["binaryData"]["web.safetensors"], body["data"]["web.json"] = bare(weights), manifest.decode()
    assert "holds nan, expected finite numbers only" in refusal(body)


def test_a_policy_of_another_feature_schema_is_refused():
    weights, manifest = policy_bytes(name="web")
    body = {"binaryData": {"web.safetensors": bare(weights)}, "data": {"web.json": manifest.decode()}}
    assert refusal(body) == f"policy web: it reads 3 features, expected {N_FEATURES}"


def test_a_network_of_a_thousand_layers_is_refused_before_it_is_built():
    weights, manifest = policy_bytes(name="web")
    deep = resealed(manifest, {"hidden_sizes": [1] * 1000})
    body = {"binaryData": {"web.safetensors": bare(weights)}, "data": {"web.json": deep.decode()}}
    assert refusal(body) == "policy web: it has 1000 hidden layers, limit 16"
