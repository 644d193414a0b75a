"""`import forescale` registers the environment, before or after Gymnasium is imported, and costs nothing without it."""

import subprocess
import sys

import pytest

from tests.forescale.commands import ROOT

MAKE = "env = gymnasium.make('forescale/Cluster-v0'); env.reset(seed=0); print(env.spec.id)"


def fresh(code: str) -> list[str]:
    """The lines that a new interpreter prints, with every warning an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "imports",
    [
        "import forescale; import gymnasium",
        "import gymnasium; import forescale",
        "import forescale; import sim.env; import gymnasium",
        "import sim.env; import gymnasium; import forescale",
        "import importlib.util, forescale; assert importlib.util.find_spec('gymnasium'); import gymnasium",
        "import importlib, forescale, gymnasium; importlib.reload(forescale)",
    ],
)
def test_the_environment_is_registered_whatever_is_imported_first(imports):
    assert fresh(f"{imports}; {MAKE}") == ["forescale/Cluster-v0"]


def test_gymnasium_is_left_as_it_was_found():
    code = "import forescale, gymnasium; print(type(gymnasium.__loader__) is type(gymnasium.__spec__.loader)); "
    assert fresh(code + "print(type(gymnasium.__loader__).__name__)") == ["True", "SourceFileLoader"]


def test_neither_gymnasium_nor_torch_is_imported_before_it_is_used():
    code = "import sys, forescale; print([name for name in ('gymnasium', 'torch', 'numpy') if name in sys.modules])"
    assert fresh(code) == ["[]"]


def test_a_vector_of_environments_is_one_fleet():
    code = "import forescale, gymnasium; from sim.episodes import EpisodeConfig as E; "
    code += "c = E(pool_series=3, pool_steps=400, episode_steps=30, history_steps=(0, 60)); "
    code += (
        "envs = gymnasium.make_vec('forescale/Cluster-v0', num_envs=3, config=c); print(type(envs.unwrapped).__name__)"
    )
    assert fresh(code + "; print(envs.reset(seed=0)[0].shape[0])") == ["FleetEnv", "3"]
