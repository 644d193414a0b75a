"""`forescale operator --dry-run` on a real control plane: what would have happened is told, and nothing happens."""

import pytest

from tests.cluster.audit import WRITES, sizes, writes
from tests.cluster.daemon import running
from tests.cluster.load_exporter import steady
from tests.cluster.scene import NEEDED, POLICIES, Wishes, operator, scene, wait_for
from tests.cluster.stage import a_policy, a_spec, about, measured, page_of
from tests.required import require

DRY, ACTING = "rehearsal", "acting"
SIZE, PEAK, LAST = 2, 10, 16
"""What the load needs at first, at its peak, and in the end; a load of half a replica less, see `about`."""

NOTICED_WITHIN_S = 8.0
"""A dry-run looks every 2 to 4.4 s who holds the Lease of those who act; what it writes may be on its way."""

OWN = {"leases", "scalingpolicies/status", "events", "selfsubjectaccessreviews"}
"""What a dry-run may write; the last is a question, about its own rights."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A scene with one workload and its policy."""
    require(*NEEDED)
    with scene(tmp_path_factory.mktemp("dry-run"), Wishes(steady(70 * (SIZE - 0.5)))) as running_scene:
        running_scene.make("/api/v1/namespaces", {"metadata": {"name": "forescale-system"}})
        running_scene.deploy("web", SIZE)
        spec = a_spec("web", running_scene.demand()) | {"startupSeconds": "20"}
        running_scene.make(POLICIES, a_policy("web", spec))
        yield running_scene


@pytest.fixture(scope="module")
def dry(stage):
    """The dry-run."""
    with running(operator(stage, "--dry-run", name=DRY)) as daemon:
        yield daemon


def status_of(stage):
    return stage.cluster.request("GET", f"{POLICIES}/web").body.get("status", {})


def ready_of(status):
    """Reason and message of Ready."""
    return next(((c["reason"], c["message"]) for c in status.get("conditions", ()) if c["type"] == "Ready"), ("", ""))


def twin_of(dry):
    """Replicas of the twin, and ready ones, by one page."""
    lines = page_of(dry, "/metrics").body.splitlines()
    names = ("forescale_dry_run_replicas{", "forescale_dry_run_ready_replicas{")
    return tuple(float(line.rpartition(" ")[2]) for name in names for line in lines if line.startswith(name)) or (0, 0)


def waits_for_reason(stage, reason):
    return wait_for(lambda: ready_of(status_of(stage)), lambda seen: seen[0] == reason)[1]


# In the order of the story


def test_status_and_metrics_show_what_would_have_happened(stage, dry):
    assert "simulated twin" in waits_for_reason(stage, "DryRun")
    stage.load.set(["web"], 70 * (PEAK - 0.5))
    sizes_seen = wait_for(lambda: twin_of(dry), lambda seen: seen[0] in about(PEAK))
    assert sizes_seen[1] < sizes_seen[0]  # its pods take 20 s
    wait_for(lambda: measured(dry, "forescale_dry_run_bad_ratio"), lambda seen: seen > 0)
    size, _ = wait_for(lambda: twin_of(dry), lambda seen: seen[0] == seen[1] in about(PEAK), within_s=90)
    wait_for(lambda: status_of(stage).get("desiredReplicas"), lambda seen: seen == size)
    assert status_of(stage)["currentReplicas"] == size
    events = stage.cluster.request("GET", "/api/v1/namespaces/default/events").body["items"]
    reasons = {event["reason"] for event in events if event["involvedObject"]["kind"] == "ScalingPolicy"}
    assert "WouldScale" in reasons
    assert "Scaled" not in reasons


def test_nothing_happened(stage, dry):
    assert stage.replicas("web") == (SIZE, SIZE)
    own = [event for event in stage.cluster.audited() if event["user"]["username"] == DRY and event["verb"] in WRITES]
    written = {"/".join(filter(None, map(event["objectRef"].get, ("resource", "subresource")))) for event in own}
    assert written == OWN
    assert writes(stage.cluster, users=[DRY]) == []


def test_beside_an_operator_that_acts_a_dry_run_tells_nothing_until_that_one_has_gone(stage, dry):
    with running(operator(stage, name=ACTING)):
        assert "decided" in waits_for_reason(stage, "Served")
        wait_for(lambda: stage.replicas("web")[0], lambda seen: seen in about(PEAK))
        stage.load.set(["web"], 70 * (LAST - 0.5))
        wait_for(lambda: measured(dry, "forescale_dry_run_replicas"), lambda seen: seen in about(LAST))
        size, _ = wait_for(lambda: stage.replicas("web"), lambda seen: seen[0] in about(LAST))
        wait_for(lambda: status_of(stage)["currentReplicas"], lambda seen: seen == size)
        told = writes(stage.cluster, "scalingpolicies/status")
        noticed_s = next(write.asked_s for write in told if write.user == ACTING) + NOTICED_WITHIN_S
        assert {write.user for write in told if write.asked_s > noticed_s} == {ACTING}
    assert sizes(SIZE, writes(stage.cluster))[-1] == size
    waits_for_reason(stage, "DryRun")
    assert measured(dry, "forescale_leader") == 1
    assert writes(stage.cluster, users=[DRY]) == []
