import pytest

from controller.cluster.competitors import HPA, SCALED_OBJECT, Competitors
from tests.controller.cluster.workload_bodies import a_policy, a_target

SEEN = "2026-11-23T12:00:00Z"


def an_hpa(name="web-hpa", target="web", api_version="apps/v1", kind="Deployment", namespace="shop"):
    ref = {"apiVersion": api_version, "kind": kind, "name": target}
    return {"metadata": {"namespace": namespace, "name": name, "uid": name}, "spec": {"scaleTargetRef": ref}}


def a_scaled_object(name="web-so", **ref):
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": name},
        "spec": {"scaleTargetRef": {"name": "web"} | ref},
    }


def said(competitors, now_s=0.0):
    refused = competitors.of(a_target(), now_s)
    return refused and refused.message


def of(competitors, target=None, now_s=0.0):
    refused = competitors.of(target or a_target(), now_s)
    return refused and refused.reason


# HPAs and ScaledObjects


@pytest.mark.parametrize(
    ("competitor", "reason"),
    [
        pytest.param(an_hpa(), "HorizontalPodAutoscaler", id="same"),
        pytest.param(an_hpa(api_version="apps/v1beta2"), "HorizontalPodAutoscaler", id="another-version"),
        pytest.param(an_hpa(target="api"), None, id="another-name"),
        pytest.param(an_hpa(kind="StatefulSet"), None, id="another-kind"),
        pytest.param(an_hpa(api_version="other.dev/v1"), None, id="another-group"),
        pytest.param(an_hpa(namespace="bank"), None, id="another-namespace"),
    ],
)
def test_an_hpa_is_in_the_way_of_its_own_target_only(competitor, reason):
    competitors = Competitors()
    competitors.note_hpa("ADDED", competitor)
    assert of(competitors) == reason


@pytest.mark.parametrize(
    ("ref", "reason"),
    [({}, "ScaledObject"), ({"kind": "StatefulSet"}, None), ({"apiVersion": "other.dev/v1", "kind": "Thing"}, None)],
)
def test_a_scaled_object_means_a_deployment_unless_it_says_otherwise(ref, reason):
    competitors = Competitors()
    competitors.note_scaled_object(None, a_scaled_object(**ref))
    assert of(competitors) == reason


def test_the_message_names_who_it_is_and_kedas_own_hpa_is_not_the_one():
    competitors = Competitors()
    competitors.note_hpa(None, an_hpa("keda-hpa-web"))
    competitors.note_scaled_object(None, a_scaled_object())
    message = "ScaledObject web-so scales Deployment web too; one of the two has to go"
    assert said(competitors) == message


def test_a_rival_that_goes_or_turns_to_another_target_is_in_nobodys_way():
    competitors = Competitors()
    competitors.note_hpa("ADDED", an_hpa())
    competitors.note_hpa("MODIFIED", an_hpa(target="api"))
    assert of(competitors) is None
    assert of(competitors, a_target("api")) == "HorizontalPodAutoscaler"
    competitors.note_hpa("DELETED", an_hpa(target="api"))
    assert of(competitors, a_target("api")) is None


def test_a_listing_drops_rivals_whose_deletion_was_missed():
    competitors = Competitors()
    competitors.note_hpa(None, an_hpa("gone"))
    before = competitors.known("HorizontalPodAutoscaler")
    competitors.note_scaled_object(None, a_scaled_object())
    competitors.keep(HPA, "bank", {}, before)
    assert of(competitors) == "ScaledObject"
    assert competitors.known(HPA) == before
    competitors.keep(HPA, "shop", {}, before)
    assert competitors.known(HPA) == frozenset()
    competitors.keep(SCALED_OBJECT, "", {}, {"web-so"})
    assert of(competitors) is None


def test_a_rival_without_a_target_is_none():
    competitors = Competitors()
    competitors.note_hpa(None, {"metadata": {"namespace": "shop", "name": "x", "uid": "x"}, "spec": {}})
    assert of(competitors) is None


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        *(({"paused": text}, None) for text in ("true", "True", "TRUE", "t", "T", "1", "", "yes", " false", "tRUE")),
        *(({"paused": text}, "ScaledObject") for text in ("false", "False", "FALSE", "f", "F", "0")),
        ({"paused-replicas": "3"}, "ScaledObject"),
        ({"paused-replicas": ""}, "ScaledObject"),
        ({"paused": "true", "paused-replicas": "3"}, "ScaledObject"),
        ({"paused-scale-in": "true"}, "ScaledObject"),
        ({"paused-scale-out": "true"}, "ScaledObject"),
        ({"paused": "true", "paused-scale-in": "true"}, None),
        ({}, "ScaledObject"),
    ],
)
def test_a_paused_scaled_object_scales_nothing(annotations, reason):
    competitors, body = Competitors(), a_scaled_object()
    competitors.note_scaled_object(None, body)
    whole = {f"autoscaling.keda.sh/{name}": text for name, text in annotations.items()}
    competitors.note_scaled_object("MODIFIED", body | {"metadata": body["metadata"] | {"annotations": whole}})
    assert of(competitors) == reason


def test_an_empty_word_of_a_scaled_object_is_none():
    competitors = Competitors()
    competitors.note_scaled_object(None, a_scaled_object(apiVersion="", kind=""))
    assert of(competitors) == "ScaledObject"


# What is not known yet


def unknown(competitors, target=None):
    refused = competitors.unknown(target or a_target())
    return refused and refused.message


def test_until_both_kinds_were_listed_nobody_knows_who_else_scales():
    competitors = Competitors()
    competitors.note_unlisted(HPA, "403 Forbidden")
    assert unknown(competitors) == "whether a HorizontalPodAutoscaler scales it is not known: 403 Forbidden"
    competitors.keep(HPA, "", {}, ())
    assert unknown(competitors) == "whether a ScaledObject scales it is not known: they have not been listed yet"
    competitors.keep(SCALED_OBJECT, "bank", {}, ())
    assert unknown(competitors) is not None
    competitors.keep(SCALED_OBJECT, "shop", {}, ())
    assert unknown(competitors) is None


def test_one_that_is_listed_and_was_not_told_of_may_scale_anything_in_its_namespace():
    competitors = Competitors()
    competitors.keep(SCALED_OBJECT, "", {}, ())
    competitors.keep(HPA, "", {"web-hpa": "shop/web-hpa", "other": "bank/other"}, ())
    assert "HorizontalPodAutoscaler shop/web-hpa scales it is not known" in unknown(competitors)
    competitors.note_hpa("ADDED", an_hpa(target="api"))
    assert unknown(competitors) is None


def test_one_without_a_target_was_told_of_all_the_same():
    competitors = Competitors()
    competitors.keep(SCALED_OBJECT, "", {}, ())
    competitors.note_hpa("ADDED", {"metadata": {"namespace": "shop", "name": "x", "uid": "x"}, "spec": {}})
    competitors.keep(HPA, "", {"x": "shop/x"}, ())
    assert unknown(competitors) is None


def test_a_policy_in_shadow_need_not_know():
    assert unknown(Competitors(), a_target(mode="Shadow")) is None


# Other policies


@pytest.mark.parametrize(
    ("created", "held"),
    [
        pytest.param({"a": "2026-11-23T12:00:01Z", "b": "2026-11-23T12:00:00Z"}, {"a"}, id="older-acts"),
        pytest.param({"a": "2026-11-23T12:00:00Z", "b": "2026-11-23T12:00:00Z"}, {"b"}, id="same-second-by-name"),
        pytest.param(dict.fromkeys("abc", SEEN), {"b", "c"}, id="three"),
    ],
)
def test_the_older_policy_goes_on_and_the_newer_ones_hold(created, held):
    competitors = Competitors()
    for name, when in created.items():
        competitors.note_policy(None, a_policy(name, created=when))
    assert {name for name in created if of(competitors, a_target(policy=name)) == "ScalingPolicy"} == held


def waiting(competitors, policy, **target):
    found = competitors.waiting(a_target(policy=policy, **target))
    return found and found.message


def test_the_older_policy_says_who_waits_for_it():
    competitors = Competitors()
    competitors.note_policy(None, a_policy("old", created="2026-01-01T00:00:00Z"))
    assert waiting(competitors, "old") is None
    for name in ("b", "c"):
        competitors.note_policy(None, a_policy(name, created="2026-06-01T00:00:00Z"))
    message = "ScalingPolicy b and 1 more would scale Deployment web too; this policy is older and goes on"
    assert [waiting(competitors, name) for name in ("old", "b", "c")] == [message, None, None]
    competitors.note_policy("DELETED", a_policy("b"))
    assert waiting(competitors, "old") == message.replace("b and 1 more", "c")
    competitors.note_policy("MODIFIED", a_policy("c", mode="Shadow"))
    assert waiting(competitors, "old") is None
    competitors.note_policy("MODIFIED", a_policy("c", name="api"))
    assert waiting(competitors, "old") is None


def test_a_policy_in_shadow_is_in_nobodys_way_and_nobody_in_its():
    competitors = Competitors()
    competitors.note_policy(None, a_policy("shadow", mode="Shadow", created="2026-01-01T00:00:00Z"))
    competitors.note_policy(None, a_policy("acting", created="2026-06-01T00:00:00Z"))
    assert of(competitors, a_target(policy="acting")) is None
    competitors.note_hpa(None, an_hpa())
    assert of(competitors, a_target(policy="shadow", mode="Shadow")) is None
    assert of(competitors, a_target(policy="acting")) == "HorizontalPodAutoscaler"


def test_a_target_that_two_policies_name_is_shared_in_shadow_too():
    competitors = Competitors()
    competitors.note_policy(None, a_policy("one"))
    assert not competitors.is_shared(a_target(policy="one"))
    competitors.note_policy(None, a_policy("two", mode="Shadow"))
    assert competitors.is_shared(a_target(policy="one"))
    assert not competitors.is_shared(a_target("api", policy="one"))


def test_the_newer_policy_takes_over_once_the_older_is_gone():
    competitors = Competitors()
    competitors.note_policy(None, a_policy("old", created="2026-01-01T00:00:00Z"))
    competitors.note_policy(None, a_policy("new", created="2026-06-01T00:00:00Z"))
    assert of(competitors, a_target(policy="new")) == "ScalingPolicy"
    competitors.note_policy("DELETED", a_policy("old"))
    assert of(competitors, a_target(policy="new")) is None
