import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.promql.matchers import literal, matchers_of
from controller.promql.pod_names import BASE_CHARACTERS, HASH, ending_of_pods
from controller.promql.syntax import quoted
from scaling.errors import InputError

LONGEST = BASE_CHARACTERS - 1
NAMES = st.integers(1, LONGEST).flatmap(
    lambda length: st.from_regex(f"[a-z]([-a-z0-9]{{{length - 1}}})", fullmatch=True)
)
HASHES = st.from_regex(f"{HASH}{{1,10}}", fullmatch=True)
RANDOM = st.from_regex(f"{HASH}{{5}}", fullmatch=True)


def a_pod(deployment, pod_hash, random):
    """Named as the API server does it."""
    return f"{deployment}-{pod_hash}-"[:BASE_CHARACTERS] + random


def of_deployment(name):
    return re.compile(literal(name) + ending_of_pods("apps", "Deployment", name))


@given(NAMES, HASHES, RANDOM)
def test_every_pod_of_a_deployment_is_found_however_long_its_name_is(name, pod_hash, random):
    assert of_deployment(name).fullmatch(a_pod(name, pod_hash, random))


@given(NAMES, NAMES, HASHES, RANDOM)
def test_no_pod_of_another_deployment_is_found(name, other, pod_hash, random):
    assert other == name or not of_deployment(name).fullmatch(a_pod(other, pod_hash, random))


@pytest.mark.parametrize(
    ("length", "ending"),
    [
        (46, f"-{HASH}{{1,10}}-{HASH}{{5}}"),
        (47, f"(?:-{HASH}{{1,9}}-{HASH}{{5}}|-{HASH}{{15}})"),
        (55, f"(?:-{HASH}{{1,1}}-{HASH}{{5}}|-{HASH}{{7}})"),
        (56, f"-{HASH}{{6}}"),
        (57, f"-{HASH}{{5}}"),
    ],
)
def test_long_names_take_from_what_follows_them(length, ending):
    assert ending_of_pods("argoproj.io", "Rollout", "w" * length) == ending


def test_a_name_that_its_pods_do_not_hold_is_refused():
    with pytest.raises(InputError, match="57 characters of a name, and this one has 253"):
        ending_of_pods("apps", "Deployment", "w" * 253)


@pytest.mark.parametrize("length", [1, 46, 56, 57])
def test_pods_of_deployments_with_short_names_can_be_asked_for_together(length):
    name = "w" * length
    (matcher,) = matchers_of(f"pod=~{quoted(name + ending_of_pods('apps', 'Deployment', name))}") or []
    assert matcher.name == name
