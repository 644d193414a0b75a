"""Policies that are valid and not served."""

import pytest

from controller.crd.resource import parse_policy
from controller.operator.off_limits import OffLimits, Pod, own_pod
from controller.operator.policies import Policies
from scaling.errors import InputError
from tests.controller.operator.test_policies import a_body

US = OffLimits(frozenset({"kube-system"}), Pod("shop", "forescale-7d4b9c6f5-x2k4z"))


def a_resource(namespace="shop", kind="Deployment", name="web"):
    body = a_body(scaleTargetRef={"apiVersion": "apps/v1", "kind": kind, "name": name})
    body["metadata"]["namespace"] = namespace
    return parse_policy(body)


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        (a_resource("kube-system"), "metadata.namespace: policies in kube-system are not served (--deny-namespace)"),
        (a_resource(name="forescale"), "Deployment forescale is forescale itself (forescale-7d4b9c6f5-x2k4z)"),
        (a_resource(kind="ReplicaSet", name="forescale-7d4b9c6f5"), "forescale-7d4b9c6f5 is forescale itself"),
    ],
)
def test_a_policy_that_is_off_limits_is_refused_with_the_reason(resource, message):
    with pytest.raises(InputError) as refused:
        US.check(resource)
    assert message in str(refused.value)


@pytest.mark.parametrize("resource", [a_resource(), a_resource(name="fore"), a_resource("bank", name="forescale")])
def test_every_other_policy_is_served(resource):
    US.check(resource)


@pytest.mark.parametrize("pod", ["db-0", "db-x2k4z"])
def test_a_stateful_set_or_replica_set_of_ours_is_ours_too(pod):
    with pytest.raises(InputError):
        OffLimits(pod=Pod("shop", pod)).check(a_resource(name="db"))


@pytest.mark.parametrize(
    ("environment", "account", "pod"),
    [
        ({"POD_NAME": "web-0", "POD_NAMESPACE": "shop"}, None, Pod("shop", "web-0")),
        ({"POD_NAME": "web-0"}, "bank", Pod("bank", "web-0")),
        ({"POD_NAME": "web-0"}, None, None),
        ({}, "bank", None),
        ({}, None, None),
    ],
)
def test_the_own_pod_is_the_one_that_the_downward_api_names(monkeypatch, caplog, environment, account, pod):
    monkeypatch.setattr("controller.operator.off_limits.own_namespace", lambda: account)
    assert own_pod(environment) == pod
    assert ("POD_NAME is not set" in caplog.text) is (account is not None and not environment)


def test_outside_of_a_cluster_nothing_is_ours():
    OffLimits().check(a_resource(name="forescale"))


def test_a_policy_that_is_off_limits_is_kept_as_its_problem():
    policies = Policies(lambda: 0.0, OffLimits(frozenset({"shop"})))
    policies.note("ADDED", a_body())
    (record,) = policies
    assert record.target is None
    assert record.problem == "metadata.namespace: policies in shop are not served (--deny-namespace)"
