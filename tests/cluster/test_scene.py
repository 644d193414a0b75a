"""The ground that other tests stand on: the scene starts, its load is what it says, and its parts fail when told to."""

import asyncio
import re
import sys
import time

import numpy as np
import pytest

from scaling.observation import Unknown
from tests.cluster.daemon import running
from tests.cluster.hostile import MANNERS, hostile_prometheus
from tests.cluster.load_exporter import Load, Played, a_peak, app_names, load_exporter, steady
from tests.cluster.loopback import ask
from tests.cluster.metrics_adapter import PLACE
from tests.cluster.prometheus import prometheus
from tests.cluster.scene import HPAS, METRIC, NEEDED, POLICIES, Wishes, an_hpa, operator, scene, wait_for
from tests.controller.prometheus.stub import metrics_of
from tests.required import require

APPS = 3
PEAK = a_peak(100.0, 800.0, 600.0)
AT_ONCE = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 900, "periodSeconds": 1}]}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A scene whose load goes through its peak in half a minute."""
    require(*NEEDED)
    with scene(tmp_path_factory.mktemp("scene"), Wishes(PEAK, APPS, speed_up=20.0, hpa_sync_s=1)) as running_scene:
        yield running_scene
    assert not [name for name, part in running_scene.parts.items() if part.is_running()]


def external(stage, metric, app):
    path = f"{PLACE}/namespaces/default/{metric}?labelSelector=app%3D{app}"
    return stage.cluster.request("GET", path)


def wait_for_demand(stage, app, rps):
    """A rate over few scrapes is not the whole rate yet."""
    wait_for(lambda: stage.prometheus.number(stage.demand(app)), lambda seen: seen == pytest.approx(rps, rel=0.02))


# In the order of the story: before the play, the play, and what is broken after it


def test_a_scene_knows_our_resource_and_has_load_before_there_is_any_workload(stage):
    assert stage.cluster.request("GET", POLICIES).body["items"] == []
    wait_for_demand(stage, "web-0", 100.0)
    assert stage.prometheus.number('queue_length{app="web-0"}') == 100.0


def test_a_metric_of_the_hpa_is_one_query_to_prometheus(stage):
    wait_for_demand(stage, "web-0", 100.0)
    (item,) = external(stage, METRIC, "web-0").body["items"]
    assert item["metricName"] == METRIC
    assert int(item["value"].removesuffix("m")) == pytest.approx(100_000, rel=0.02)
    assert external(stage, METRIC, "nobody").body["items"] == []
    assert external(stage, "nothing", "web-0").code == 404


def test_the_real_hpa_takes_a_deployment_through_a_peak_and_back(stage):
    stage.deploy("hpa", replicas=2, startup_s=2.0)
    behavior = {"scaleUp": AT_ONCE, "scaleDown": AT_ONCE}
    stage.make(HPAS, an_hpa("hpa", target_rps=70, maximum=20, app="web-0", behavior=behavior))
    wait_for(lambda: stage.replicas("hpa"), lambda seen: seen == (2, 2))
    stage.load.play()
    top, _ = wait_for(lambda: stage.replicas("hpa"), lambda seen: seen[0] >= 9)
    assert top <= 12
    wait_for(lambda: stage.replicas("hpa")[1], lambda ready: ready >= 9)
    wait_for(lambda: stage.replicas("hpa"), lambda seen: seen == (2, 2))


def test_some_applications_are_stepped_at_once_and_the_others_play_on(stage):
    stage.load.set(["web-1", "web-2"], 40.0)
    wait_for(lambda: stage.prometheus.number("count(queue_length == 40)"), lambda seen: seen == 2)
    wait_for_demand(stage, "web-2", 40.0)
    wait_for_demand(stage, "web-0", 100.0)
    with pytest.raises(RuntimeError, match="HTTP 400"):
        stage.load.set(["nobody"], 1.0)


def test_a_killed_prometheus_answers_nobody_and_comes_back_with_what_it_had(stage):
    wait_for_demand(stage, "web-0", 100.0)
    wait_for(lambda: len(queue_until(stage, time.time())), lambda known: known == 4)
    stage.prometheus.daemon.kill()
    killed_s = time.time()
    with pytest.raises(OSError, match="refused"):
        stage.prometheus.query("1")
    assert external(stage, METRIC, "web-0").code == 503
    stage.prometheus.daemon.start()
    assert queue_until(stage, killed_s) == [100.0] * 4
    wait_for_demand(stage, "web-0", 100.0)


def queue_until(stage, at_s):
    """The gauge from 5 to 2 s before a Unix time, a sample for each second that is known."""
    samples = stage.prometheus.series('queue_length{app="web-0"}', at_s - 5, at_s - 2, 1.0)
    return [value for _, value in samples]


def test_a_paused_prometheus_answers_when_it_goes_on(stage):
    stage.prometheus.daemon.pause()
    with pytest.raises(TimeoutError):
        ask(stage.prometheus.port, None, "GET", "/-/ready", timeout_s=0.3)
    stage.prometheus.daemon.resume()
    assert stage.prometheus.number("1 + 1") == 2.0


STAND_IN = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
print(*sys.argv[1:], flush=True)
port = next(int(word.split("=")[1]) for word in sys.argv if word.startswith("--port="))
http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""


def test_an_operator_is_given_the_scene_and_is_ready_by_its_own_word(stage):
    command = (sys.executable, "-c", STAND_IN)
    one, two = (operator(stage, "--dry-run", name=name, command=command) for name in ("one", "two"))
    with running(one), running(two):
        assert f"--prometheus-url={stage.prometheus.url}" in one.last_words()
        assert "--dry-run" in one.last_words()
        assert one.last_words() != two.last_words()
        (kubeconfig,) = re.findall(r"(--kubeconfig=\S+)", two.last_words())
        assert stage.cluster.kubectl("get", "namespaces", kubeconfig).returncode == 0
    users = {event["user"]["username"] for event in stage.cluster.audited()}
    assert "two" in users
    assert "one" not in users


# Each part by itself


@pytest.mark.parametrize(
    ("speed_up", "seconds", "rate", "count"),
    [
        pytest.param(1.0, -5.0, 10.0, 50.0, id="before-the-play-the-first-value"),
        pytest.param(1.0, 5.0, 10.0, 150.0, id="first-interval"),
        pytest.param(1.0, 15.0, 30.0, 100.0 + 100.0 + 150.0, id="second-interval"),
        pytest.param(10.0, 1.5, 30.0, 100.0 + 10.0 + 15.0, id="faster-with-the-same-requests-a-second"),
        pytest.param(1.0, 25.0, 30.0, 100.0 + 100.0 + 300.0 + 150.0, id="after-the-end-the-last-value"),
    ],
)
def test_a_counter_is_the_integral_of_what_is_played(speed_up, seconds, rate, count):
    """Ten seconds pass before the play."""
    played = Played(Load(np.array([10.0, 30.0]), 10.0), 2, speed_up, now_s=1000.0)
    if seconds > 0:
        played.play(1010.0)
    assert played.rates(1010.0 + seconds).tolist() == [rate, rate]
    assert played.counts(1010.0 + seconds).tolist() == pytest.approx([count, count])


def test_an_application_that_leaves_the_play_keeps_what_it_had():
    played = Played(steady(10.0), 2, 1.0, now_s=0.0)
    played.set([1], 50.0, 4.0)
    assert played.counts(6.0).tolist() == [60.0, 40.0 + 100.0]
    assert played.rates(6.0).tolist() == [10.0, 50.0]


def test_counters_never_fall_whatever_is_asked_of_them():
    played = Played(PEAK, 2, 20.0, now_s=0.0)
    steps = {3.0: lambda: played.play(3.0), 9.0: lambda: played.set([1], 7.0, 9.0), 20.0: lambda: played.play(20.0)}
    before = played.counts(0.0)
    for now_s in np.arange(0.5, 60.0, 0.5).tolist():
        steps.get(now_s, lambda: None)()
        now = played.counts(now_s)
        assert (now > before).all()
        before = now
    assert played.counts(60.5)[1] - before[1] == pytest.approx(7.0 * 1.0)


def test_a_peak_goes_up_and_comes_back():
    assert PEAK.values.min() == PEAK.values[0] == PEAK.values[-1] == 100.0
    assert PEAK.values.max() == pytest.approx(800.0, rel=0.01)
    assert len(PEAK.values) * PEAK.interval_s == 600.0


def test_an_exporter_has_two_series_for_each_of_thousands_and_ends_by_itself(tmp_path):
    with load_exporter(tmp_path, steady(20.0), apps=5000, for_s=8.0) as exporter:
        lines = ask(exporter.port, None, "GET", "/metrics").body.splitlines()
        assert 'queue_length{namespace="default",app="web-4999"} 20.000' in lines
        assert len(lines) == 2 + 2 * 5000
        assert exporter.apps == app_names("web", 5000)
        wait_for(exporter.daemon.is_running, lambda lives: not lives)


def test_targets_that_come_later_are_scraped(tmp_path):
    require("prometheus")
    with prometheus(tmp_path) as own, load_exporter(tmp_path, steady(5.0)) as exporter:
        assert own.query("queue_length") == []
        own.scrape({"later": exporter.port})
        (sample,) = wait_for(lambda: own.query("queue_length"), lambda seen: seen != [])
    assert (sample.labels["job"], sample.value) == ("later", 5.0)


def test_nothing_that_a_hostile_prometheus_does_is_a_reading():
    async def read(port):
        async with metrics_of(port, deadline_s=1.5) as metrics:
            return await metrics.read("up", 120.0, 0.0)

    with hostile_prometheus() as server:
        port = server.port
        for manner in MANNERS:
            server.manner = manner
            reading, asked = asyncio.run(read(server.port)), server.asked
            assert isinstance(reading, Unknown), (manner, reading)
            assert (asked == 0) == (manner == "refuse"), manner
            server.asked = 0
        assert server.port == port
        with pytest.raises(ValueError, match="'kindly'"):
            server.manner = "kindly"
