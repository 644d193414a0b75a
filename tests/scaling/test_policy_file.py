"""A policy's two files: what is written is read back, and what is not exactly that is refused in one line."""

import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from scaling.errors import InputError
from scaling.network import Network
from scaling.policy_file import MAX_FILE_BYTES, LoadedPolicy, parse_policy, serialise
from tests.scaling.policies import SCHEMA, a_manifest, a_network, policy_bytes, resealed

ROOT = Path(__file__).parents[2]
WEIGHTS, MANIFEST = policy_bytes()


def parsed(weights: bytes = WEIGHTS, manifest: bytes = MANIFEST) -> LoadedPolicy:
    return parse_policy(weights, manifest, SCHEMA, "default")


def refusal(weights: bytes = WEIGHTS, manifest: bytes = MANIFEST) -> str:
    """What the refusal says; it is one short line and names the policy."""
    with pytest.raises(InputError) as caught:
        parsed(weights, manifest)
    line = str(caught.value)
    assert line.startswith("policy default: ")
    assert "\n" not in line
    assert len(line) < 300
    return line


def refusal_of_sealed(weights: bytes) -> str:
    """The refusal of weights whose manifest states their sha256: a bad export, not an accident."""
    return refusal(weights, resealed(MANIFEST, {"sha256": hashlib.sha256(weights).hexdigest()}))


def test_what_is_written_is_read_back():
    network = a_network()

    policy = parsed(*serialise(network, a_manifest()))

    x = np.random.default_rng(5).random((50, 3), dtype=np.float32)
    np.testing.assert_array_equal(policy.network.forward(x), network.forward(x))
    sealed_by_writing = {"sha256": hashlib.sha256(WEIGHTS).hexdigest(), "hidden_sizes": (5, 4)}
    assert policy.manifest == a_manifest(**sealed_by_writing)


def test_what_is_read_is_written_back_byte_for_byte():
    policy = parsed()

    assert serialise(policy.network, policy.manifest) == (WEIGHTS, MANIFEST)


def test_a_network_without_hidden_layers_is_a_policy_too():
    network = a_network(hidden=())

    assert parsed(*serialise(network, a_manifest())).network.hidden_sizes == ()


def test_weights_are_plain_safetensors():
    tensors = load(WEIGHTS)

    assert {name: values.shape for name, values in tensors.items()} == {
        "layers.0.weight": (5, 3),
        "layers.0.bias": (5,),
        "layers.1.weight": (4, 5),
        "layers.1.bias": (4,),
        "layers.2.weight": (2, 4),
        "layers.2.bias": (2,),
    }


def test_transposed_weights_are_written_as_they_read():
    weight = np.arange(6, dtype=np.float32).reshape(3, 2).T
    network = Network(((weight, np.zeros(2, np.float32)),))

    weights, _ = serialise(network, a_manifest())

    np.testing.assert_array_equal(load(weights)["layers.0.weight"], weight)


def test_the_bytes_are_the_same_in_every_process():
    program = "from tests.scaling.policies import policy_bytes; print([part.hex() for part in policy_bytes()])"
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        written = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, check=True
        )
        assert written.stdout.decode().strip() == str([WEIGHTS.hex(), MANIFEST.hex()])


def test_settings_with_number_keys_are_read_back_as_json_has_them():
    weights, manifest = policy_bytes(training={2: "b", 10: "c", 1: ("a", None)})

    assert parsed(weights, manifest).manifest.training == {"1": ["a", None], "2": "b", "10": "c"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"training": {"loss": float("nan")}}, "does not fit JSON: .*nan", id="nan"),
        pytest.param({"training": {"loss": np.float32(1)}}, "does not fit JSON: .*float32", id="numpy-number"),
        pytest.param({"actions": ("lo",)}, r"layers.2.weight .* expected float32 \(1, 4\)", id="actions"),
        pytest.param({"features": a_manifest().features[:2]}, "layers.0.weight", id="features"),
        pytest.param({"created": "today\nERROR all is lost"}, r"created is 'today\\nERROR", id="two-lines"),
        pytest.param({"training": {"log": "x" * MAX_FILE_BYTES}}, f"limit {MAX_FILE_BYTES}", id="too-large"),
        pytest.param({"name": "../default"}, "policy name is '../default'", id="path-as-name"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(changes, complaint):
    with pytest.raises(InputError, match=complaint):
        serialise(a_network(), a_manifest(**changes))


# Files that went wrong on their way.


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, len(WEIGHTS) - 1])
def test_truncated_weights_are_refused(size: int):
    assert "weights.sha256 is" in refusal(WEIGHTS[:size])


@pytest.mark.parametrize("size", [0, 1, 100, len(MANIFEST) - 1])
def test_a_truncated_manifest_is_refused(size: int):
    assert "manifest is" in refusal(manifest=MANIFEST[:size])


def test_the_hash_of_another_file_is_refused_with_both_hashes():
    other, _ = policy_bytes(seed=1)
    theirs, ours = hashlib.sha256(other).hexdigest(), hashlib.sha256(WEIGHTS).hexdigest()

    assert refusal(other) == f"policy default: weights.sha256 is {theirs[:8]}…, manifest says {ours[:8]}…"


def test_the_hash_is_checked_before_a_byte_is_parsed(monkeypatch):
    def parse(_: bytes) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("scaling.policy_file.load", parse)

    assert "weights.sha256" in refusal(WEIGHTS + b" ")


@pytest.mark.parametrize("which", ["weights", "manifest"])
def test_a_file_over_the_limit_is_refused_before_it_is_hashed(which: str):
    large = b" " * (MAX_FILE_BYTES + 1)

    assert refusal(**{which: large}) == f"policy default: {which} are at least 1048577 bytes, limit 1048576"


def test_swapped_files_are_refused():
    assert "manifest is not JSON" in refusal(MANIFEST, WEIGHTS)


def test_another_policy_under_this_name_is_refused():
    assert refusal(*policy_bytes(name="other")).endswith("manifest names it 'other'")


@given(position=st.integers(0, len(WEIGHTS) - 1), value=st.integers(0, 255))
def test_any_changed_byte_of_the_weights_is_noticed(position: int, value: int):
    changed = bytearray(WEIGHTS)
    changed[position] = value
    if changed != WEIGHTS:
        refusal(bytes(changed))


@given(position=st.integers(0, len(MANIFEST) - 1), value=st.integers(0, 255))
def test_any_changed_byte_of_the_manifest_is_noticed(position: int, value: int):
    changed = bytearray(MANIFEST)
    changed[position] = value
    if changed != MANIFEST:
        refusal(manifest=bytes(changed))


@given(weights=st.binary(max_size=400), manifest=st.binary(max_size=400))
def test_noise_is_refused(weights: bytes, manifest: bytes):
    refusal(weights, manifest)


# Files that were written wrong, or with intent: their hashes fit.


@given(position=st.integers(0, 400), inserted=st.binary(max_size=9), dropped=st.integers(0, 9))
def test_sealed_noise_in_the_weights_gives_a_finite_network_or_a_refusal(position: int, inserted: bytes, dropped: int):
    weights = WEIGHTS[:position] + inserted + WEIGHTS[position + dropped :]
    try:
        policy = parsed(weights, resealed(MANIFEST, {"sha256": hashlib.sha256(weights).hexdigest()}))
    except InputError:
        return
    assert np.isfinite(policy.network.forward(np.ones((1, 3), np.float32))).all()


def test_a_pickle_with_a_new_name_is_not_run():
    class Attack:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    assert "not safetensors" in refusal_of_sealed(pickle.dumps(Attack()))


@pytest.mark.parametrize("stated", [0, 1, 10**6, 2**40, 2**64 - 1])
def test_a_header_that_lies_about_its_length_is_refused(stated: int):
    assert "not safetensors" in refusal_of_sealed(struct.pack("<Q", stated) + WEIGHTS[8:])


def with_tensor(name: str, values: np.ndarray) -> bytes:
    return save({**load(WEIGHTS), name: values})


def as_bfloat16() -> bytes:
    """One tensor, well-formed, of a number type that numpy lacks."""
    header = json.dumps({"layers.0.bias": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(10)


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        pytest.param(
            with_tensor("layers.0.weight", np.zeros((5, 3))),
            "tensor layers.0.weight is float64 (5, 3), expected float32 (5, 3)",
            id="float64",
        ),
        pytest.param(with_tensor("layers.0.bias", np.zeros(5, np.float16)), "layers.0.bias is float16", id="float16"),
        pytest.param(with_tensor("layers.0.bias", np.zeros(5, np.int32)), "layers.0.bias is int32", id="integers"),
        pytest.param(
            with_tensor("layers.1.weight", np.zeros((5, 4), np.float32)),
            "layers.1.weight is float32 (5, 4), expected float32 (4, 5)",
            id="transposed",
        ),
        pytest.param(with_tensor("layers.0.bias", np.zeros((5, 1), np.float32)), "float32 (5, 1)", id="two-dimensions"),
        pytest.param(
            with_tensor("layers.2.bias", np.array([0, np.nan], np.float32)), "layer 2 bias holds nan", id="nan"
        ),
        pytest.param(
            with_tensor("layers.2.bias", np.array([np.inf, 0], np.float32)), "layer 2 bias holds inf", id="infinite"
        ),
        pytest.param(
            with_tensor("log_std", np.zeros(2, np.float32)),
            "tensor 'log_std' is unexpected in the weights",
            id="extra-tensor",
        ),
        pytest.param(
            save({name: values for name, values in load(WEIGHTS).items() if name != "layers.1.bias"}),
            "tensor 'layers.1.bias' is missing from the weights",
            id="missing-tensor",
        ),
        pytest.param(save({}), "missing from the weights", id="no-tensor"),
        pytest.param(WEIGHTS + b"\0", "not safetensors", id="bytes-behind-the-tensors"),
        pytest.param(WEIGHTS.replace(b'"F32"', b'"F99"', 1), "not safetensors", id="unknown-number-type"),
        pytest.param(as_bfloat16(), "not safetensors that numpy can hold: \"'BF16'\"", id="bfloat16"),
    ],
)
def test_weights_that_are_no_policy_are_refused(weights: bytes, complaint: str):
    assert complaint in refusal_of_sealed(weights)


FEATURES = json.loads(MANIFEST)["features"]


def with_feature(index: int, **changes: object) -> dict[str, object]:
    """Manifest fields in which one feature says something else."""
    features = [dict(feature) for feature in FEATURES]
    features[index] |= changes
    return {"features": features}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"format": 2}, "manifest format is 2, expected 1", id="newer-format"),
        pytest.param({"format": None}, "manifest format is None, expected 1", id="no-format"),
        pytest.param({"sha256": None}, "manifest lacks the field 'sha256'", id="no-hash"),
        pytest.param({"sha256": ""}, "weights.sha256 is", id="empty-hash"),
        pytest.param({"url": "x"}, "manifest has the unknown field 'url'", id="unknown-field"),
        pytest.param({"actions": "lo"}, "manifest actions is 'lo', expected list", id="text-for-a-list"),
        pytest.param({"actions": []}, "manifest actions are 0", id="no-actions"),
        pytest.param({"actions": ["lo", "lo"]}, "2, 1 of them different", id="same-action-twice"),
        pytest.param({"actions": ["lo", 3]}, "actions 1 is 3", id="number-for-an-action"),
        pytest.param(
            {"hidden_sizes": [5, 3]},
            "layers.1.weight is float32 (4, 5), expected float32 (3, 5)",
            id="other-hidden-sizes",
        ),
        pytest.param({"hidden_sizes": [5]}, "unexpected in the weights", id="fewer-hidden-sizes"),
        pytest.param({"hidden_sizes": [10**30, 4]}, "expected float32 (1000", id="huge-hidden-size"),
        pytest.param({"hidden_sizes": [True, 4]}, "hold True, expected whole", id="true-for-a-size"),
        pytest.param({"hidden_sizes": [5, -4]}, "hold -4, expected whole", id="negative-size"),
        pytest.param({"created": 7}, "manifest created is 7, expected str", id="number-for-text"),
        pytest.param({"evaluation": [1]}, "manifest evaluation is [1], expected dict", id="list-for-an-object"),
        pytest.param({"features": [[1]]}, "feature 0 is [1], expected an object", id="list-for-a-feature"),
        pytest.param(
            with_feature(1, low=300.0), "feature 1 low is 300.0, expected below its high 300.0", id="no-range"
        ),
        pytest.param(with_feature(1, low="5"), "feature 1 low is '5', expected float", id="text-for-a-number"),
        pytest.param(with_feature(1, high=True), "feature 1 high is True, expected float", id="true-for-a-number"),
        pytest.param(with_feature(1, high=10**400), "limit ±1e+18", id="number-beyond-float"),
        pytest.param(with_feature(2, seen_low=2.0), "seen_low is 2.0, expected at most its seen_high", id="seen-range"),
        pytest.param(with_feature(0, mean=1), "feature 0 has the unknown field 'mean'", id="unknown-feature-field"),
        pytest.param(with_feature(1, name="demand"), "manifest features are 3, 2 of them different", id="same-feature"),
        pytest.param(
            {"features": [FEATURES[1], FEATURES[0], FEATURES[2]]},
            "feature 0 is ('startup', 's', 5.0, 300.0), expected ('demand', 'rps', 0.0, 1000.0)",
            id="other-feature-order",
        ),
        pytest.param(with_feature(0, unit="rpm"), "feature 0 is ('demand', 'rpm'", id="other-unit"),
        pytest.param(with_feature(0, high=999.0), "feature 0 is ('demand', 'rps', 0.0, 999.0)", id="other-scale"),
    ],
)
def test_a_manifest_that_describes_something_else_is_refused(changes: dict[str, object], complaint: str):
    assert complaint in refusal(manifest=resealed(MANIFEST, changes))


def test_a_policy_of_fewer_features_than_we_read_is_refused():
    short = replace(a_manifest(), features=a_manifest().features[:2])
    weights, manifest = serialise(a_network(n_features=2), short)

    assert refusal(weights, manifest).endswith("it reads 2 features, expected 3")


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b"[" * 100_000, id="nested-without-end"),
        pytest.param(b'{"format": ' + b"9" * 100_000 + b"}", id="endless-number"),
        pytest.param(MANIFEST.replace(b"0.97", b"NaN"), id="nan"),
        pytest.param(MANIFEST.replace(b"0.97", b"1e999"), id="beyond-float"),
        pytest.param(MANIFEST.decode().encode("utf-16"), id="utf-16"),
        pytest.param(MANIFEST.replace(b"{", b'{"format": 2,', 1), id="same-field-twice"),
        pytest.param(MANIFEST.replace(b"\n", b"\r\n"), id="other-line-ends"),
        pytest.param(json.dumps({**json.loads(MANIFEST), "manifest_sha256": None}).encode(), id="no-seal"),
    ],
)
def test_bytes_that_are_no_manifest_are_refused(manifest: bytes):
    assert "manifest" in refusal(manifest=manifest)


@pytest.mark.parametrize("depth", [100, 900, 2_000, 10_000, 100_000])  # where Python gives up differs by version
def test_a_deeply_nested_manifest_is_refused(depth: int):
    assert "manifest" in refusal(manifest=b'{"format": 1, "training": ' + b"[" * depth + b"]" * depth + b"}")


def test_a_seal_that_does_not_fit_is_refused_with_both_digests():
    stated = json.loads(MANIFEST)["manifest_sha256"]
    actual = json.loads(resealed(MANIFEST, {"created": "2027"}))["manifest_sha256"]

    edited = MANIFEST.replace(b"2026-11-23T12:00:00Z", b"2027")

    assert refusal(manifest=edited).endswith(f"manifest_sha256 is '{stated}', its content gives {actual[:8]}…")


@pytest.mark.parametrize("name", ["", "Default", "../default", "a/b", "-a", "a.b", "a" * 64, "a\n", "é"])
def test_a_name_that_could_be_a_path_is_refused(name: str):
    with pytest.raises(InputError, match="policy name is"):
        parse_policy(WEIGHTS, MANIFEST, SCHEMA, name)
