"""An administrator's ceilings: replicas of a policy, policies of a namespace, kinds."""

import pytest

from controller.cluster.conditions import Facts, conditions_of
from controller.crd.resource import parse_policy
from controller.operator.ceilings import Ceilings
from controller.operator.off_limits import OffLimits
from controller.operator.policies import Policies
from controller.ports import Scale, Target
from controller.reconcile import Outcome
from scaling.decide import PolicyState, decide
from scaling.errors import InputError
from scaling.observation import Observation, Value
from scaling.policy import RULES
from tests.controller.operator.test_policies import a_body


def a_resource(minimum=1, maximum=500, **spec):
    return parse_policy(a_body(minReplicas=minimum, maxReplicas=maximum, **spec))


def bounds(resource):
    return resource.spec.min_replicas, resource.spec.max_replicas


@pytest.mark.parametrize(
    ("ceiling", "asked", "served"),
    [
        pytest.param(None, (1, 500), (1, 500), id="no ceiling"),
        pytest.param(100, (1, 100), (1, 100), id="at the ceiling"),
        pytest.param(100, (1, 101), (1, 100), id="above"),
        pytest.param(100, (300, 500), (100, 100), id="the least is above too"),
    ],
)
def test_a_policy_is_served_up_to_the_ceiling(ceiling, asked, served):
    lowered, said = Ceilings(replicas=ceiling).lowered(a_resource(*asked))
    assert bounds(lowered) == served
    assert bool(said) is (asked != served)


def test_a_fallback_gives_way_to_the_ceiling():
    wish = {"fallback": {"after": "5m", "replicas": 400}}
    lowered, _ = Ceilings(replicas=100).lowered(a_resource(300, 500, guardrails=wish))
    assert lowered.spec.guardrails.fallback.replicas == 100


def test_what_the_ceiling_changed_is_said_with_value_and_limit():
    policies = Policies(lambda: 0.0, ceilings=Ceilings(replicas=100))
    policies.note("ADDED", a_body(maxReplicas=500))
    (record,) = policies
    target = record.target
    assert target is not None
    decision = decide(Observation(Value(1e5), 90, 90), target.spec, PolicyState(), RULES["hpa"], 0.0)
    outcome = Outcome(target, Scale(90, 90), Value(1e5), Observation(Value(1e5), 90, 90), decision)
    said = conditions_of(outcome, Facts("shop", "web", "u1", 1, 0.0, notice=record.notice))
    assert decision.final_replicas <= 100
    assert (said["Ready"].status, said["Ready"].message) == (
        "True",
        "decided every 15 s; maxReplicas 500 is above 100, the operator's limit (--max-replicas), which counts",
    )
    policies.note("MODIFIED", a_body(maxReplicas=100, generation=2))
    assert record.notice == ""


@pytest.mark.parametrize(
    ("kinds", "version", "kind", "is_served"),
    [
        ((), "argoproj.io/v1alpha1", "Rollout", True),
        (("apps/Deployment",), "apps/v1", "Deployment", True),
        (("apps/Deployment",), "apps/v1", "StatefulSet", False),
        (("apps/Deployment",), "argoproj.io/v1alpha1", "Rollout", False),
        (("apps/Deployment", "argoproj.io/Rollout"), "argoproj.io/v1alpha1", "Rollout", True),
        (("ReplicationController",), "v1", "ReplicationController", True),
        (("apps/Deployment",), "v1", "Deployment", False),
    ],
)
def test_only_kinds_that_are_allowed_are_scaled(kinds, version, kind, is_served):
    resource = a_resource(scaleTargetRef={"apiVersion": version, "kind": kind, "name": "web"})
    if is_served:
        OffLimits(kinds=kinds).check(resource)
        return
    with pytest.raises(InputError, match=r'spec.scaleTargetRef: ".*" is not among the kinds allowed \(--allowed-kind '):
        OffLimits(kinds=kinds).check(resource)


class Namespace:
    """Policies with a ceiling of two in each namespace."""

    def __init__(self):
        self.policies = Policies(lambda: 0.0, ceilings=Ceilings(policies=2))
        self.told: list[str] = []
        self.policies.on_change = lambda record: self.told.append(record.name)

    def tell(self, name, created, event="ADDED", namespace="shop", generation=1, **spec):
        body = a_body(f"{namespace}-{name}", generation, **spec)
        body["metadata"] |= {"name": name, "namespace": namespace, "creationTimestamp": f"2026-12-01T08:00:0{created}Z"}
        self.policies.note(event, body)

    def problem(self, name):
        record = self.policies.named("shop", name)
        assert record is not None
        return record.problem

    @property
    def served(self):
        return {record.name for record in self.policies if isinstance(record.target, Target)}


def test_of_more_policies_than_the_ceiling_the_oldest_are_served_in_whatever_order_they_come():
    shop = Namespace()
    for name, created in (("c", 3), ("a", 1), ("d", 4), ("b", 2)):
        shop.tell(name, created)
    assert shop.served == {"a", "b"}
    shop.tell("other", 9, namespace="bank")
    assert shop.served == {"a", "b", "other"}
    assert shop.problem("c") == (
        "namespace shop has more than 2 ScalingPolicies, the operator's limit (--max-policies-per-namespace); "
        "the oldest are served"
    )


def test_the_next_policy_is_served_when_one_goes():
    shop = Namespace()
    for name, created in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        shop.tell(name, created)
    shop.told.clear()
    shop.tell("a", 1, "DELETED")
    assert (shop.served, shop.told) == ({"b", "c"}, ["c"])
    shop.tell("d", 4, "DELETED")
    assert (shop.served, shop.told) == ({"b", "c"}, ["c"])
    shop.tell("b", 2, "DELETED")
    assert shop.served == {"c"}


def test_a_policy_over_the_ceiling_that_is_edited_or_cannot_be_read_stays_what_it_is():
    shop = Namespace()
    for name, created in (("a", 1), ("b", 2), ("c", 3)):
        shop.tell(name, created)
    shop.tell("c", 3, "MODIFIED", generation=2, maxReplicas=7)
    shop.tell("b", 2, "MODIFIED", generation=2, maxReplicas="many")
    assert shop.served == {"a"}
    shop.tell("a", 1, "DELETED")
    assert shop.served == {"c"}
    assert "spec.maxReplicas" in shop.problem("b")
