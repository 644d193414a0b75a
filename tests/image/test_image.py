"""The images, really built and run, without Docker: buildah on a base of Debian's packages, podman with runc.

The base is kept in a cache outside the tree. The settings of this machine's package index reach the build as volumes.
"""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.daemon import free_ports
from tests.cluster.scene import wait_for

ROOT = Path(__file__).parents[2]
BASE, TAG = "localhost/forescale-test-base", "localhost/forescale-test:{target}"
PACKAGES = "python3,python3-venv,ca-certificates"
PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap")
SETTINGS = ("/etc/pip.conf", "/etc/ssl/certs")
MOST_MEBIBYTES = 200
TIMEOUT_S = 900


def did(*command):
    """What a command printed; it must succeed."""
    environment = {**os.environ, "STORAGE_DRIVER": "vfs"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module", params=["operator", "api"])
def image(request, base):
    tag = TAG.format(target=request.param)
    build(tag, base, f"--target={request.param}", str(ROOT))
    yield tag
    did("buildah", "rmi", "--force", tag)


def build(tag, base, *options):
    """Build an image on the base."""
    volumes = [f"--volume={path}:{path}:ro" for path in SETTINGS if Path(path).exists()]
    building = ["buildah", "bud", "--isolation=chroot", "--network=host", *volumes, f"--build-arg=BASE={base}"]
    did(*building, f"--tag={tag}", *options)


LIMITS = (
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
    "--network=host",
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
)
"""No rights, nothing to write to, and limits that a machine without Docker can set."""


def ran(image, *command, entrypoint=None):
    """What a container printed that has no rights and cannot write."""
    chosen = [] if entrypoint is None else [f"--entrypoint={entrypoint}"]
    return did("podman", "--runtime=runc", "run", "--rm", *LIMITS, *chosen, image, *command)


@pytest.mark.slow
def test_it_runs_as_nobody_on_a_root_that_is_read_only(image):
    assert ran(image, "--version").startswith("forescale ")
    document = ran(image, "dry-run", "--hours", "0.5", "--no-report", "-q", "-o", "json")
    assert '"policies"' in document
    seen = ran(image, "-c", "id -u; (touch /x 2>&1 || true); command -v pip gcc || echo neither", entrypoint="sh")
    assert seen.splitlines()[0] == "65532"
    assert "Read-only file system" in seen
    assert seen.splitlines()[-1] == "neither"


@pytest.mark.slow
def test_it_is_small_and_has_nothing_that_trains_or_draws(image):
    size, *names = ran(
        image, "-c", "du -sm /opt/forescale; ls /opt/forescale/lib/*/site-packages", entrypoint="sh"
    ).split("\n")
    assert int(size.split()[0]) < MOST_MEBIBYTES
    assert {"torch", "matplotlib", "gymnasium", "kubernetes", "pip", "setuptools"}.isdisjoint(names)


@pytest.mark.slow
def test_the_api_answers_over_http_where_it_is_in_the_image(image):
    if not image.endswith("api"):
        pytest.skip("the operator's image has no API")
    (port,) = free_ports(1)
    command = ("serve", "--host=127.0.0.1", f"--port={port}")
    container = did("podman", "--runtime=runc", "run", "--detach", *LIMITS, image, *command).strip()
    try:
        wait_for(lambda: answer(port, "/healthz"), bool)
        body = json.dumps({"normalized_servers": 0.5, "current_load": 0.95}).encode()
        assert json.loads(answer(port, "/predict", body))["action_name"] == "ADD_SERVER"
    finally:
        did("podman", "--runtime=runc", "rm", "--force", "--time=5", container)


def answer(port, path, body=None):
    """What a service on the loopback says; empty while nobody listens."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as response:
            return response.read()
    except OSError:
        return b""
