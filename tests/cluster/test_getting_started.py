"""Getting started on a cluster, walked command by command on a real control plane with a real Prometheus.

The images are built and run by tests/image; here the operator is a process under the chart's account.
"""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cluster.build_controlplane import path_of
from tests.cluster.chart import NAMESPACE, as_account
from tests.cluster.daemon import running
from tests.cluster.load_exporter import steady
from tests.cluster.scene import NEEDED, Wishes, a_deployment, operator, scene, wait_for
from tests.documented import ROOT, calls, shown_on
from tests.required import require

PAGE = "docs/getting-started.md"
SHOP = "/apis/apps/v1/namespaces/shop/deployments"
WEB = "/apis/forescale.dev/v1alpha1/namespaces/shop/scalingpolicies/web"
NEEDS_DOCKER = ("docker",)


def commands():
    """What the page shows for a cluster, in its order."""
    shown = [command.text for command in shown_on(PAGE)]
    return shown[next(place for place, text in enumerate(shown) if text.startswith("docker ")) :]


@pytest.fixture
def stage(tmp_path_factory):
    require(*NEEDED, "helm")
    with scene(tmp_path_factory.mktemp("walk"), Wishes(load=steady(1400.0))) as running_scene:
        cluster = running_scene.cluster
        definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scalingpolicies.forescale.dev"
        cluster.request("DELETE", definition)  # the chart brings it
        wait_for(lambda: cluster.request("GET", definition).code, lambda code: code == 404)
        running_scene.make("/api/v1/namespaces", {"metadata": {"name": "shop"}})
        running_scene.make(SHOP, a_deployment("web", 3))
        yield running_scene


def walked(stage, text, folder):
    """Run one command as a person does, with the programs of these tests."""
    homes = {f"HELM_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    own = {"KUBECONFIG": str(stage.cluster.kubeconfig), "KUBERC": "off", **homes}
    words = shlex.split(text)
    words[0] = path_of(words[0]) if words[0] in ("helm", "kubectl") else str(ROOT / ".venv" / "bin" / words[0])
    done = subprocess.run(words, env=os.environ | own, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{text}: {done.stderr}"
    return done.stdout


def test_a_newcomer_gets_from_the_image_to_a_scaled_workload(stage, tmp_path):
    steps = [text for text in commands() if calls(text)[0][0] not in NEEDS_DOCKER]
    install, check, apply, shadow, get, describe, delete, auto = steps
    walked(stage, install, tmp_path)
    wait_for(lambda: stage.cluster.request("GET", WEB.rpartition("/")[0]).code, lambda code: code == 200)
    kubeconfig = as_account(stage.cluster, "forescale", tmp_path)
    own = ("--lease-name=forescale", f"--lease-namespace={NAMESPACE}", f"--kubeconfig={kubeconfig}")
    with running(operator(stage, *own, name="walk")):
        assert walked(stage, check, tmp_path) == "1 policy, no problems\n"
        walked(stage, apply, tmp_path)
        walked(stage, shadow, tmp_path)
        query = {"spec": {"demand": {"query": stage.demand("web")}, "service": None, "intervalSeconds": 5}}
        edited = stage.cluster.request("PATCH", WEB, query, "application/merge-patch+json")
        assert edited.code == 200, edited.body  # the example's load is not played here
        stage.load.play()
        wait_for(lambda: decided(stage), lambda wanted: wanted is not None and wanted >= 15)
        assert "Shadow" in walked(stage, get, tmp_path)
        assert "Shadow: nothing is written" in walked(stage, describe, tmp_path)
        assert size(stage) == 3
        walked(stage, delete, tmp_path)
        walked(stage, auto, tmp_path)
        wait_for(lambda: size(stage), lambda replicas: replicas >= 15)


def decided(stage):
    """Replicas that the last decision is for."""
    return stage.cluster.request("GET", WEB).body.get("status", {}).get("lastDecision", {}).get("proposedReplicas")


def size(stage):
    return stage.cluster.request("GET", f"{SHOP}/web").body["spec"]["replicas"]


def test_the_page_shows_a_way_for_each_step():
    assert Path(ROOT / PAGE).read_text().count("**") >= 2 * 5
    assert [calls(text)[0][0] for text in commands()] == [
        "docker", "docker", "helm", "forescale", "kubectl", "kubectl", "kubectl", "kubectl", "kubectl", "kubectl",
    ]  # fmt: skip
