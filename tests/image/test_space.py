"""The Hugging Face Space: assembled, built and run as user 1000 on port 7860, and it answers."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cluster.scene import wait_for
from tests.image.test_image import LIMITS, answer, build, did

pytestmark = pytest.mark.slow

SPACE = Path(__file__).parents[2] / "deploy" / "huggingface"
TAG = "localhost/forescale-test:space"
PORT = 7860


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("space")
    did(str(SPACE / "assemble.sh"), str(folder))
    return folder


def test_its_readme_says_what_a_docker_space_needs(space):
    _, front, _ = (space / "README.md").read_text().split("---\n", 2)
    wishes = yaml.safe_load(front)
    assert (wishes["sdk"], wishes["app_port"], wishes["license"]) == ("docker", 7860, "apache-2.0")


def test_a_folder_that_is_not_empty_is_left_alone(space):
    done = subprocess.run([SPACE / "assemble.sh", space], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"assemble.sh: {space} is not empty\n"


def test_it_answers_on_its_port_as_a_user_without_rights(space, base):
    build(TAG, base, str(space))
    try:
        container = did("podman", "--runtime=runc", "run", "--detach", "--rm", *LIMITS, TAG).strip()
        try:
            wait_for(lambda: answer(PORT, "/healthz"), bool)
            body = json.dumps({"normalized_servers": 0.5, "current_load": 0.92}).encode()
            assert json.loads(answer(PORT, "/predict", body))["action_name"] == "ADD_SERVER"
            assert b"forescale" in answer(PORT, "/")
            assert did("podman", "--runtime=runc", "exec", container, "id", "-u").strip() == "1000"
        finally:
            did("podman", "--runtime=runc", "stop", "--time=5", container)
    finally:
        did("buildah", "rmi", "--force", TAG)
