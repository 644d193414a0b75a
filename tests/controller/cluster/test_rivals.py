import pytest

from controller.cluster.rivals import CONTESTED_S, Rivals
from controller.cluster.watched import read_workload
from scaling.spec import Mode
from tests.controller.cluster.workload_bodies import a_deployment, a_policy, a_target

SEEN = "2026-11-23T12:00:00Z"


def an_hpa(name="web-hpa", target="web", api_version="apps/v1", kind="Deployment", namespace="shop"):
    ref = {"apiVersion": api_version, "kind": kind, "name": target}
    return {"metadata": {"namespace": namespace, "name": name, "uid": name}, "spec": {"scaleTargetRef": ref}}


def a_scaled_object(name="web-so", **ref):
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": name},
        "spec": {"scaleTargetRef": {"name": "web"} | ref},
    }


def said(rivals, now_s=0.0):
    refused = rivals.of(a_target(), now_s)
    return refused and refused.message


def of(rivals, target=None, now_s=0.0):
    refused = rivals.of(target or a_target(), now_s)
    return refused and refused.reason


# HPAs and ScaledObjects


@pytest.mark.parametrize(
    ("rival", "reason"),
    [
        pytest.param(an_hpa(), "HorizontalPodAutoscaler", id="same"),
        pytest.param(an_hpa(api_version="apps/v1beta2"), "HorizontalPodAutoscaler", id="another-version"),
        pytest.param(an_hpa(target="api"), None, id="another-name"),
        pytest.param(an_hpa(kind="StatefulSet"), None, id="another-kind"),
        pytest.param(an_hpa(api_version="other.dev/v1"), None, id="another-group"),
        pytest.param(an_hpa(namespace="bank"), None, id="another-namespace"),
    ],
)
def test_an_hpa_is_in_the_way_of_its_own_target_only(rival, reason):
    rivals = Rivals()
    rivals.note_hpa("ADDED", rival)
    assert of(rivals) == reason


@pytest.mark.parametrize(
    ("ref", "reason"),
    [({}, "ScaledObject"), ({"kind": "StatefulSet"}, None), ({"apiVersion": "other.dev/v1", "kind": "Thing"}, None)],
)
def test_a_scaled_object_means_a_deployment_unless_it_says_otherwise(ref, reason):
    rivals = Rivals()
    rivals.note_scaled_object(None, a_scaled_object(**ref))
    assert of(rivals) == reason


def test_the_message_names_who_it_is_and_kedas_own_hpa_is_not_the_one():
    rivals = Rivals()
    rivals.note_hpa(None, an_hpa("keda-hpa-web"))
    rivals.note_scaled_object(None, a_scaled_object())
    message = "ScaledObject web-so scales Deployment web too; one of the two has to go"
    assert said(rivals) == message


def test_a_rival_that_goes_or_turns_to_another_target_is_in_nobodys_way():
    rivals = Rivals()
    rivals.note_hpa("ADDED", an_hpa())
    rivals.note_hpa("MODIFIED", an_hpa(target="api"))
    assert of(rivals) is None
    assert of(rivals, a_target("api")) == "HorizontalPodAutoscaler"
    rivals.note_hpa("DELETED", an_hpa(target="api"))
    assert of(rivals, a_target("api")) is None


def test_a_listing_drops_rivals_whose_deletion_was_missed():
    rivals = Rivals()
    rivals.note_hpa(None, an_hpa("gone"))
    before = rivals.known("HorizontalPodAutoscaler")
    rivals.note_scaled_object(None, a_scaled_object())
    rivals.keep("HorizontalPodAutoscaler", {}, before)
    assert of(rivals) == "ScaledObject"
    rivals.keep("ScaledObject", {}, {"web-so"})
    assert of(rivals) is None


def test_a_rival_without_a_target_is_none():
    rivals = Rivals()
    rivals.note_hpa(None, {"metadata": {"namespace": "shop", "name": "x", "uid": "x"}, "spec": {}})
    assert of(rivals) is None


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
    rivals = Rivals()
    for name, when in created.items():
        rivals.note_policy(None, a_policy(name, created=when))
    assert {name for name in created if of(rivals, a_target(policy=name)) == "ScalingPolicy"} == held


def test_a_policy_in_shadow_is_in_nobodys_way_and_nobody_in_its():
    rivals = Rivals()
    rivals.note_policy(None, a_policy("shadow", mode="Shadow", created="2026-01-01T00:00:00Z"))
    rivals.note_policy(None, a_policy("acting", created="2026-06-01T00:00:00Z"))
    assert of(rivals, a_target(policy="acting")) is None
    rivals.note_hpa(None, an_hpa())
    assert of(rivals, a_target(policy="shadow", mode="Shadow")) is None
    assert of(rivals, a_target(policy="acting")) == "HorizontalPodAutoscaler"


def test_the_newer_policy_takes_over_once_the_older_is_gone():
    rivals = Rivals()
    rivals.note_policy(None, a_policy("old", created="2026-01-01T00:00:00Z"))
    rivals.note_policy(None, a_policy("new", created="2026-06-01T00:00:00Z"))
    assert of(rivals, a_target(policy="new")) == "ScalingPolicy"
    rivals.note_policy("DELETED", a_policy("old"))
    assert of(rivals, a_target(policy="new")) is None


# Contested writes


class Scene:
    """A target that we and others write to in turn."""

    def __init__(self):
        self.rivals, self.target, self.version = Rivals(), a_target(), 100
        self.place = self.target.resource.namespace, self.target.resource.target

    def we_write(self, replicas):
        self.rivals.note_write(*self.place, self._workload(replicas, []))

    def seen(self, now_s, replicas, *managers):
        entries = [each if isinstance(each, tuple) else (each, SEEN) for each in managers]
        self.rivals.note_scale(*self.place, self._workload(replicas, entries), now_s)
        return of(self.rivals, self.target, now_s)

    def _workload(self, replicas, managers):
        self.version += 1
        return read_workload(a_deployment(replicas=replicas, version=str(self.version), managers=managers))


def test_somebody_who_undoes_two_of_our_writes_is_left_alone_for_ten_minutes():
    scene = Scene()
    scene.we_write(8)
    assert scene.seen(15, 5, "argocd-controller") is None
    scene.we_write(8)
    assert scene.seen(30, 5, "argocd-controller") == "Contested"
    message = '"argocd-controller" undid 2 of our writes to spec.replicas of Deployment web within 10 minutes'
    assert said(scene.rivals, 30) == message
    assert scene.seen(30 + CONTESTED_S - 1, 5, "argocd-controller") == "Contested"
    assert scene.seen(30 + CONTESTED_S, 5, "argocd-controller") is None


def test_a_contest_holds_a_policy_in_shadow_no_more_than_anything_else():
    scene = Scene()
    for now_s in (15, 30):
        scene.we_write(8)
        scene.seen(now_s, 5, "argocd-controller")
    scene.target.spec = a_target(mode="Shadow").spec
    assert scene.target.spec.mode is Mode.SHADOW
    assert scene.rivals.of(scene.target, 30) is None


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(15, 5, "kubectl"), (30, 6, "kubectl"), (45, 7, "kubectl")], id="a-person-without-our-writing"),
        pytest.param([(15, 8, "kubectl"), (30, 8, "kubectl")], id="the-same-size"),
        pytest.param([(15, 5, "forescale"), (30, 5, "forescale")], id="ourselves"),
        pytest.param([(15, 5, ("kubectl", "2026-11-23T11:00:00Z"), "forescale")] * 2, id="ourselves-later"),
    ],
)
def test_what_is_no_contest(looks):
    scene = Scene()
    scene.we_write(8)
    assert [scene.seen(*look) for look in looks] == [None] * len(looks)
    if "forescale" in looks[0]:
        scene.we_write(8)
        assert [scene.seen(*look) for look in looks] == [None] * len(looks)


def test_two_undone_writes_far_apart_are_two_wishes():
    scene = Scene()
    scene.we_write(8)
    scene.seen(0, 5, "kubectl")
    scene.we_write(8)
    assert scene.seen(CONTESTED_S + 1, 5, "kubectl") is None


def test_news_older_than_our_write_undo_nothing():
    scene = Scene()
    for _ in range(3):
        scene.we_write(8)
        scene.version -= 2  # the watch is behind
        assert scene.seen(15, 5, "kubectl") is None
        scene.version += 2


def test_a_rival_without_a_name_is_somebody_and_a_forgotten_target_has_none():
    scene = Scene()
    for now_s in (15, 30):
        scene.we_write(8)
        scene.seen(now_s, 5)
    assert str(said(scene.rivals, 30)).startswith("somebody undid 2")
    scene.rivals.forget(*scene.place)
    assert scene.rivals.of(scene.target, 30) is None
