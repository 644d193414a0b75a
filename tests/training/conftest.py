"""Training in tests takes one thread: a second one waits for a core that other work has."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("training.train.THREADS", 1)
        yield
