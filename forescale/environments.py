"""Registers the simulated cluster with Gymnasium, without importing Gymnasium for those who do not use it.

Gymnasium 1.x reads no entry points of other packages, so somebody must call `gymnasium.register`. That happens at once
where Gymnasium is imported already, and otherwise when it is.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

ENVIRONMENT = "forescale/Cluster-v0"


def register_environments() -> None:
    """Make `gymnasium.make("forescale/Cluster-v0")` and `make_vec` work, now or once Gymnasium is imported."""
    if "gymnasium" in sys.modules:
        _register(sys.modules["gymnasium"])
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())


def _register(gymnasium: ModuleType) -> None:
    if ENVIRONMENT not in gymnasium.registry:
        gymnasium.register(ENVIRONMENT, entry_point="sim.env:ClusterEnv", vector_entry_point="sim.vector_env:FleetEnv")


class _WhenImported(MetaPathFinder):
    """Finds Gymnasium as it would be found without us, with a loader that registers when it has loaded it."""

    def __init__(self) -> None:
        self.asking = False  # whether the other finders are asked right now

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium" or self.asking:
            return None
        self.asking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenRegister(spec.loader)
        return spec


class _ThenRegister(Loader):
    """Loads a module as its own loader would, and leaves that loader in its place."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _register(module)
