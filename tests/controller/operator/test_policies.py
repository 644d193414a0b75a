"""What is remembered of a ScalingPolicy as events come in."""

import json

import pytest

from controller.operator.policies import Policies


def a_body(uid="u1", generation=1, **spec):
    return {
        "apiVersion": "forescale.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": "web", "namespace": "shop", "uid": uid, "generation": generation},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 9,
            "demand": {"query": "sum(x)", "targetPerReplica": "70"},
            **spec,
        },
    }


def a_ready(message):
    return {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-12-01T08:00:00Z",
        "reason": "Served",
        "message": message,
    }


class Listening(Policies):
    """Notes what it tells."""

    def __init__(self):
        super().__init__(lambda: 100.0)
        self.told: list[tuple[str, str]] = []
        self.on_change = lambda record: self.told.append(("change", record.uid))
        self.on_gone = lambda record: self.told.append(("gone", record.uid))
        self.released: list[str] = []
        self.on_release = lambda target: self.released.append(target.resource.target.name)


@pytest.fixture
def policies():
    """Empty, at time 100, with a log of what it tells."""
    return Listening()


def test_a_listed_policy_is_read_and_told_of(policies):
    policies.note(None, a_body())
    (record,) = policies
    assert record.target.name == "shop/web"
    assert record.adopted_s == 100.0
    assert policies.told == [("change", "u1")]


def test_our_own_status_writes_change_nothing(policies):
    policies.note("ADDED", a_body())
    target = policies.get("u1").target
    policies.note("MODIFIED", a_body() | {"status": {"desiredReplicas": 3}})
    assert policies.get("u1").target is target
    assert policies.get("u1").status == {"desiredReplicas": 3}
    assert policies.told == [("change", "u1")]


def test_statuses_that_say_the_same_share_their_words(policies):
    ready = a_ready("all is well")
    said = json.dumps({"conditions": [ready]})
    for uid in ("u1", "u2"):
        policies.note("ADDED", a_body(uid) | {"status": json.loads(said)})
    (one,), (other,) = (policies.get(uid).status["conditions"] for uid in ("u1", "u2"))
    assert one == other == ready
    assert one["message"] is other["message"]


def test_of_a_hostile_status_only_what_fits_the_schema_is_kept(policies):
    hostile = {f"field{number}": "x" * 100 for number in range(10_000)}
    conditions = [a_ready("all is well")] + [{"type": "x" * 100}] * 10_000
    policies.note("ADDED", a_body() | {"status": {**hostile, "conditions": conditions, "desiredReplicas": "many"}})
    assert policies.get("u1").status == {"conditions": [a_ready("all is well")]}


@pytest.mark.parametrize(
    ("edit", "keeps_memory"),
    [
        ({"maxReplicas": 5}, True),
        ({"mode": "Shadow"}, True),
        ({"demand": {"query": "sum(y)", "targetPerReplica": "70"}}, False),
        ({"demand": {"query": "sum(x)", "targetPerReplica": "7"}}, False),
    ],
)
def test_an_edit_takes_effect_at_once_and_keeps_the_memory_while_it_means_the_same(policies, edit, keeps_memory):
    policies.note(None, a_body())
    record = policies.get("u1")
    before, record.last_evaluated_s, record.remembered = record.target, 90.0, True
    policies.note("MODIFIED", a_body(generation=2, **edit))
    assert before.superseded
    assert not record.target.superseded
    assert (record.target.state is before.state) is keeps_memory
    assert (record.last_evaluated_s, record.remembered) == ((90.0, True) if keeps_memory else (None, False))


def test_a_body_that_cannot_be_read_is_kept_as_its_problem(policies):
    policies.note(None, a_body(minReplicas=10))
    (record,) = policies
    assert record.target is None
    assert record.problem == "spec.minReplicas: 10 is above spec.maxReplicas 9"
    policies.note("MODIFIED", a_body(generation=2))
    assert record.target is not None
    assert record.problem == ""


@pytest.mark.parametrize("how", ["DELETED", "unlisted"])
def test_what_is_asked_to_go_was_told_of_as_long_as_it_exists(policies, how):
    going = a_body()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    policies.note(None, going)
    assert policies.known() == {"u1"}
    if how == "DELETED":
        policies.note("DELETED", going)
    else:
        policies.keep("", {}, {"u1"})
    assert policies.known() == frozenset()


@pytest.mark.parametrize("how", ["DELETED", "deletionTimestamp", "unlisted"])
def test_a_deleted_policy_is_given_up_and_its_decision_in_hand_void(policies, how):
    policies.note(None, a_body())
    target = policies.get("u1").target
    if how == "DELETED":
        policies.note("DELETED", a_body())
    elif how == "unlisted":
        policies.keep("shop", {"u2": "shop/other"}, {"u1"})
    else:
        body = a_body()
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        policies.note("MODIFIED", body)
    assert list(policies) == []
    assert target.superseded
    assert policies.told[-1] == ("gone", "u1")


def test_a_listing_of_another_namespace_gives_nobody_up(policies):
    policies.note(None, a_body())
    policies.keep("bank", {}, {"u1"})
    assert len(policies) == 1


@pytest.mark.parametrize(
    ("edit", "released"),
    [
        ({"maxReplicas": 5}, []),
        ({"demand": {"query": "sum(y)", "targetPerReplica": "70"}}, []),
        ({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}}, ["web"]),
        ({"minReplicas": 10}, ["web"]),
    ],
)
def test_a_target_that_a_policy_names_no_more_is_let_go(policies, edit, released):
    policies.note(None, a_body())
    policies.note("MODIFIED", a_body(generation=2, **edit))
    assert policies.released == released


def test_with_a_policy_its_target_is_let_go_before_its_end_is_told(policies):
    policies.note(None, a_body())
    policies.on_release = lambda target: policies.told.append(("let go", target.name))
    policies.note("DELETED", a_body())
    assert policies.told[1:] == [("let go", "shop/web"), ("gone", "u1")]
