"""The chart's training Job: the very command lines of its containers, killed and continued, on the real API server."""

import os
import signal
import subprocess
import sys

import pytest
import yaml

from controller.crd.config_map import ConfigMapRef
from controller.policy_config_map import policy_in_config_map
from tests.cluster.chart import NAMESPACE, Helm, as_account
from tests.cluster.scene import wait_for
from tests.required import require

pytestmark = pytest.mark.slow

JOB = "a-job"
VALUES = ("training.job=true", "training.steps=16384", "training.extraArgs={--rows=32,--checkpoint-minutes=0}")
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
WITHIN_S = 300.0


@pytest.fixture(scope="module")
def job(cluster, tmp_path_factory):
    """The chart's objects for training, made in the cluster; the Job's pod."""
    require("helm")
    folder = tmp_path_factory.mktemp("job")
    bodies = Helm(cluster, folder).rendered(*VALUES)
    cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    wanted = [body for body in bodies if body["metadata"]["name"].startswith("forescale-training")]
    applied = cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(wanted))
    assert applied.returncode == 0, applied.stderr
    (found,) = [body for body in wanted if body["kind"] == "Job"]
    return found["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def environment(cluster, job, tmp_path_factory):
    """As the pod has it: its account, its name, a writable home."""
    folder = tmp_path_factory.mktemp("account")
    kubeconfig = as_account(cluster, job["serviceAccountName"], folder)
    return {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(folder)}


def command(job, name, runs):
    """What a container runs, with its volume in another place."""
    (container,) = [each for each in (*job["initContainers"], *job["containers"]) if each["name"] == name]
    words = [word.replace("$(JOB_NAME)", JOB).replace("/runs", str(runs)) for word in container["args"]]
    words = [word.replace("--metrics-host=0.0.0.0", "--metrics-host=127.0.0.1") for word in words]
    return [sys.executable, "-m", "forescale", *(word for word in words if not word.startswith("--metrics-port"))]


def ran(job, name, runs, environment):
    done = subprocess.run(command(job, name, runs), env=environment, capture_output=True, text=True, timeout=WITHIN_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_killed_job_goes_on_and_publishes_what_it_trained(cluster, job, environment, tmp_path):
    assert job["restartPolicy"] == "OnFailure"
    checkpoint = tmp_path / JOB / "checkpoint.pt"
    with subprocess.Popen(command(job, "train", tmp_path), env=environment, stdout=subprocess.PIPE, text=True) as run:
        wait_for(checkpoint.exists, bool, WITHIN_S)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
    lines = ran(job, "train", tmp_path, environment).splitlines()
    progress = [line for line in lines if line.startswith("step ")]
    assert progress[0].startswith("step ")
    assert not progress[0].startswith("step 0 ")
    assert progress[-1].startswith("step 16,384 of 16,384 (100%)")
    assert "finished before" in ran(job, "train", tmp_path, environment)

    for name in ("export", "evaluate", "publish"):
        ran(job, name, tmp_path, environment)
    body = cluster.request("GET", f"{CONFIG_MAPS}/forescale-policy").body
    policy = policy_in_config_map(body, ConfigMapRef(name="forescale-policy", key="trained"))
    assert policy.manifest.training["total_steps"] == 16384
    assert body["metadata"]["labels"]["forescale.dev/policy"] == "trained"
    annotations = body["metadata"]["annotations"]
    assert float(annotations["forescale.dev/traces.j30-over-hpa-70"]) > 0


def test_the_account_of_training_may_write_its_config_map_and_do_nothing_else(cluster, job, environment):
    def may(*words):
        account = f"--as=system:serviceaccount:{NAMESPACE}:{job['serviceAccountName']}"
        return cluster.kubectl("auth", "can-i", *words, account, f"--namespace={NAMESPACE}").stdout.strip()

    assert may("patch", "configmaps/forescale-policy") == "yes"
    assert may("patch", "configmaps/other") == "no"
    assert may("get", "configmaps/forescale-policy") == "no"
    assert may("list", "configmaps") == "no"
    assert may("get", "secrets") == "no"
    assert may("patch", "deployments/scale") == "no"


def test_another_run_begins_only_when_what_runs_changes(cluster, job, tmp_path):
    def name(*values):
        rendered = Helm(cluster, tmp_path).rendered(*VALUES, *values)
        return next(body["metadata"]["name"] for body in rendered if body["kind"] == "Job")

    assert name() == name("operator.replicas=3", "api.enabled=true")
    assert name() != name("training.seed=1")
