"""When undone writes are a contest, and for how long."""

import pytest

from controller.cluster.manager_conflicts import CONTESTED_S, ManagerConflicts
from controller.cluster.watched import read_workload
from controller.crd.tables import TargetRef
from tests.controller.cluster.workload_bodies import a_deployment

SEEN = "2026-11-23T12:00:00Z"
KEY = "shop", TargetRef("apps/v1", "Deployment", "web")


class Scene:
    """A target that we and others write to in turn."""

    def __init__(self):
        self.manager_conflicts, self.version = ManagerConflicts(), 100

    def we_write(self, replicas):
        self.manager_conflicts.note_write(KEY, self._workload(replicas, []))

    def seen(self, now_s, replicas, *managers):
        entries = [each if isinstance(each, tuple) else (each, SEEN) for each in managers]
        self.manager_conflicts.note_scale(KEY, self._workload(replicas, entries), now_s)
        refused = self.manager_conflicts.of(KEY, now_s)
        return refused and refused.reason

    def said(self, now_s):
        refused = self.manager_conflicts.of(KEY, now_s)
        return refused and refused.message

    def _workload(self, replicas, managers):
        self.version += 1
        return read_workload(a_deployment(replicas=replicas, version=str(self.version), managers=managers))


def test_somebody_who_undoes_two_of_our_writes_is_left_alone_for_ten_minutes():
    scene = Scene()
    scene.we_write(8)
    assert scene.seen(15, 5, "argocd-controller") is None
    scene.we_write(8)
    assert scene.seen(30, 5, "argocd-controller") == "Contested"
    message = '"argocd-controller" set spec.replicas of Deployment web against our writes 2 times within 10 minutes'
    assert scene.said(30) == message
    assert scene.seen(30 + CONTESTED_S - 1, 5, "argocd-controller") == "Contested"
    assert scene.seen(30 + CONTESTED_S, 5, "argocd-controller") is None


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
    assert str(scene.said(30)).startswith("somebody set spec.replicas")
    scene.manager_conflicts.forget(KEY)
    assert scene.said(30) is None


def test_who_is_always_faster_than_our_writes_contests_them_too():
    scene = Scene()
    for now_s, size in ((15, 3), (30, 4)):
        scene.manager_conflicts.note_forestalled(KEY, 8)
        scene.seen(now_s, size, "loop")
    assert str(scene.said(30)).startswith('"loop" set spec.replicas of Deployment web against our writes 2 times')


def test_who_forestalls_us_with_the_size_that_we_wanted_contests_nothing():
    scene = Scene()
    for now_s in (15, 30):
        scene.manager_conflicts.note_forestalled(KEY, 8)
        assert scene.seen(now_s, 8, "kubectl") is None


def test_after_an_answer_that_was_lost_nobody_knows_what_would_be_undone():
    scene = Scene()
    for now_s in (15, 30):
        scene.we_write(8)
        scene.manager_conflicts.note_lost_write(KEY)
        assert scene.seen(now_s, 9) is None


def rounds(scene, every_s, manager, sizes):
    """We write, and every so often somebody sets a size: when it was seen as a contest, and when that had ended."""
    told, now_s = [], 0.0
    for size in sizes:
        scene.we_write(8)
        now_s += every_s
        told.append(scene.seen(now_s, size, manager))
    return told


def test_who_sets_the_same_size_again_and_again_contests_it_though_rarely():
    scene = Scene()
    assert rounds(scene, 605.0, "kustomize-controller", [5, 5, 5]) == [None, None, "Contested"]
    message = '"kustomize-controller" set spec.replicas of Deployment web against our writes 3 times within 21 minutes'
    assert scene.said(1815.0) == message
    assert scene.said(1815.0 + 2 * 605.0 - 1) == message
    assert scene.said(1815.0 + 2 * 605.0) is None


def test_a_person_who_sets_other_sizes_rarely_contests_nothing():
    assert rounds(Scene(), 605.0, "kubectl", [5, 6, 7, 5, 6, 7]) == [None] * 6


def test_the_same_size_once_a_day_contests_nothing():
    assert rounds(Scene(), 86_400.0, "helm", [5, 5, 5, 5]) == [None] * 4
