"""Every panel of the dashboards, asked of a real Prometheus that scraped a real operator through a peak.

With FORESCALE_PICTURES=1 the pages are drawn into docs/images/ from these answers.
"""

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.grafana.dashboards import FLEET, HERE, POLICY
from tests.cluster.closed_loop import port_of
from tests.cluster.dashboard_picture import Answered, View, answered, draw, marks
from tests.cluster.scene import wait_for

pytestmark = pytest.mark.slow

NAMESPACE = "grafana"
BEGIN, MOST = 3, 9
LOADS = (3, 3, 5, 7, 9, 11, 11, 8, 5, 3, 2)
"""Replicas that the load is for, step by step; more than the policy's maximum in the middle."""
STEP_S = 10.0
RELEASED_WITHIN_S = 240.0
IMAGES = Path(__file__).parents[2] / "docs" / "images"
FAST_DOWN = {"scaleDown": {"stabilizationWindowSeconds": 0}}


@dataclass(frozen=True)
class Shown:
    """What a person would see."""

    view: View
    pages: dict[str, list[Answered]]
    marks: list[float]
    """Of changes of size, in minutes."""


def peak(stage):
    """A workload goes through a peak; the answers to all panels of both pages afterwards."""
    namespace = stage.namespace(NAMESPACE)
    scene = stage.scene
    subject = stage.subject(
        namespace, "web", BEGIN, startup_s=3.0, policyRef={"name": "auto"}, maxReplicas=MOST, behavior=FAST_DOWN
    )
    service = {"badRatioQuery": f'0.02 + 0 * sum(rate(http_requests_total{{app="{subject.app}"}}[5s]))'}
    assert subject.ask("PATCH", subject.policy, {"spec": {"service": service}}).code == 200
    began_s = time.time()
    with stage.operator("grafana", f"--namespace={namespace}", "--lease-name=grafana") as operator:
        scene.prometheus.scrape({"grafana": port_of(operator)})
        subject.says("ScalingActive", "True", "ValidMetricFound")
        for replicas in LOADS:
            subject.needs(replicas)
            time.sleep(STEP_S)
        wait_for(subject.size, lambda size: size < MOST, RELEASED_WITHIN_S)
        for paused in (True, False):
            assert subject.ask("PATCH", subject.policy, {"spec": {"paused": paused}}).code == 200
            time.sleep(2 * STEP_S)
        chosen = {"namespace": namespace, "policy": subject.name}
        view = View(began_s, time.time(), chosen)
        pages = {name: answered(HERE / f"{name}.json", scene.prometheus, view) for name in (FLEET, POLICY)}
        return Shown(view, pages, marks(HERE / f"{POLICY}.json", scene.prometheus, view))


@pytest.fixture
def shown(shared_stage):
    return shared_stage.told(peak)


@pytest.mark.story(begin=peak)
def test_every_panel_answers_with_data(shown):
    for page, panels in shown.pages.items():
        for panel in panels:
            assert panel.lines, f"{page}: {panel.title}"
            for name, points in panel.lines:
                assert any(math.isfinite(value) for _, value in points), f"{page}: {panel.title}: {name}"


@pytest.mark.story(begin=peak)
def test_the_story_of_the_peak_can_be_read_from_the_page(shown):
    panels = {panel.title: panel for panel in shown.pages[POLICY]}
    replicas = {name: [value for _, value in points] for name, points in panels["Replicas"].lines}
    assert max(replicas["forescale"]) == MOST
    assert all(low <= high for low, high in zip(replicas["floor"], replicas["ceiling"], strict=False))
    guards = {name for name, _ in panels["Guard overrides"].lines}
    assert "TooManyReplicas" in guards
    (bad,) = panels["Bad requests"].lines
    assert bad[1][-1][1] == pytest.approx(0.02)
    assert shown.marks
    changes = panels["Changes"].lines[0][1][-1][1]
    assert changes >= 2


@pytest.mark.story(begin=peak)
@pytest.mark.skipif(os.environ.get("FORESCALE_PICTURES") != "1", reason="draws the pictures of the docs")
def test_the_pages_are_drawn(shown):
    for name, title in ((FLEET, "forescale: fleet"), (POLICY, "forescale: policy")):
        marked = shown.marks if name == POLICY else []
        (IMAGES / f"dashboard-{name}.png").write_bytes(draw(title, shown.pages[name], shown.view, marked))
