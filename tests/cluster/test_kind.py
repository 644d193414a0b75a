"""The kind quickstart without Docker: every object that it makes, taken by a real API server, and its two programs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster.chart import CHART, Helm
from tests.cluster.daemon import Daemon, free_ports, running
from tests.cluster.loopback import is_healthy
from tests.cluster.prometheus import prometheus
from tests.cluster.scene import CRDS, wait_for
from tests.required import require

KIND = Path(__file__).parents[2] / "deploy" / "kind"
SCALING_POLICIES = "/apis/forescale.dev/v1alpha1/scalingpolicies"


def objects(file):
    return [body for body in yaml.safe_load_all(file.read_text()) if body]


@pytest.fixture
def known(cluster):
    """A cluster that knows ScalingPolicy and the quickstart's namespaces."""
    for file in (CRDS, KIND / "manifests" / "namespaces.yaml"):
        applied = cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={file}")
        assert applied.returncode == 0, applied.stderr
    wait_for(lambda: cluster.request("GET", SCALING_POLICIES).code, lambda code: code == 200)
    return cluster


def test_the_api_server_takes_every_object_of_the_quickstart(known, tmp_path):
    require("helm")
    options = ("--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts")
    applied = known.kubectl("apply", *options, f"--filename={KIND / 'manifests'}")
    assert applied.returncode == 0, applied.stderr
    assert len(applied.stdout.splitlines()) == sum(len(objects(file)) for file in (KIND / "manifests").glob("*.yaml"))
    chart = Helm(known, tmp_path).did("template", "forescale", str(CHART), f"--values={KIND / 'values.yaml'}")
    applied = known.kubectl("apply", *options, "--filename=-", stdin=chart)
    assert applied.returncode == 0, applied.stderr
    rendered = {(body["kind"], body["metadata"]["name"]) for body in yaml.safe_load_all(chart) if body}
    (grafana,) = [body for body in objects(KIND / "manifests" / "grafana.yaml") if body["kind"] == "Deployment"]
    mounted = {volume["configMap"]["name"] for volume in grafana["spec"]["template"]["spec"]["volumes"]} - {"grafana"}
    assert {("ConfigMap", name) for name in mounted} <= rendered


def test_the_policys_queries_answer_on_what_the_sample_programs_do(tmp_path):
    """Both programs as processes, scraped by a real Prometheus; labels that relabelling adds are left out."""
    require("prometheus")
    (port,) = free_ports(1)
    app = [sys.executable, str(KIND / "app.py"), "--host=127.0.0.1", f"--port={port}"]
    load = [sys.executable, str(KIND / "load.py"), f"--url=http://127.0.0.1:{port}/", "--low=40", "--high=40"]
    (policy,) = [body for body in objects(KIND / "manifests" / "sample.yaml") if body["kind"] == "ScalingPolicy"]
    queries = policy["spec"]["demand"]["query"], policy["spec"]["service"]["badRatioQuery"]
    demand, bad = (re.sub(r"\{[^}]*\}", "", query) for query in queries)
    with (
        running(Daemon("app", app, tmp_path / "app.log", lambda: is_healthy(port, None, "/healthz"))),
        prometheus(tmp_path, {"app": port}) as seen,
        subprocess.Popen([*load, "--minutes=5"]) as playing,
    ):
        try:
            wait_for(lambda: seen.number(demand), lambda rps: rps is not None and rps > 20)
            wait_for(lambda: seen.number(bad), lambda ratio: ratio is not None and ratio > 0.1)  # twice what it serves
        finally:
            playing.kill()


def test_without_docker_it_says_what_is_missing_and_does_nothing(tmp_path):
    done = subprocess.run(
        ["/bin/sh", str(KIND / "up.sh")], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert re.fullmatch(r"up\.sh: (docker|kind) is not installed\n", done.stderr)
