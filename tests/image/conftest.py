"""The base image that all images of these tests are built on."""

import pytest

from tests.cluster.build_controlplane import cache_folder
from tests.image.test_image import BASE, PACKAGES, PROGRAMS, did
from tests.required import require_command


@pytest.fixture(scope="session")
def base():
    """An image of Debian with Python, as small as it gets."""
    for program in PROGRAMS:
        require_command(program)
    archive = cache_folder() / f"base-{PACKAGES.replace(',', '-')}.tar"
    if not archive.exists():
        draft = archive.with_suffix(".new.tar")
        did("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(draft))
        draft.rename(archive)
    container = did("buildah", "from", "scratch").strip()
    did("buildah", "add", "--quiet", container, str(archive), "/")
    did("buildah", "commit", "--quiet", container, BASE)
    did("buildah", "rm", container)
    yield BASE
    did("buildah", "rmi", "--force", BASE)
