"""The compiler: it knows every kernel, and without numba it leaves plain Python behind."""

import ast
from pathlib import Path

import numpy as np
import pytest

import sim.fleet
from scaling.kernel import KERNELS, push
from sim import compiled

SOURCES = Path(sim.fleet.__file__).parents[1]


def test_without_numba_loops_stay_plain(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "COMPILED", False)
    jit, prange = compiled.compiler()
    assert jit(compiled.compiler) is compiled.compiler
    assert list(prange(3)) == [0, 1, 2]


def kernels_called_by(path: Path) -> set[str]:
    """Names of the module's own functions and imports that its kernels call."""
    tree = ast.parse(path.read_text())
    known = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} | {
        alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    kernels = [node for node in tree.body if isinstance(node, ast.FunctionDef) and is_kernel(node)]
    calls = {
        call.func.id
        for kernel in kernels
        for call in ast.walk(kernel)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }
    return calls & known


def is_kernel(function: ast.FunctionDef) -> bool:
    return any(isinstance(mark, ast.Name) and mark.id == "kernel" for mark in function.decorator_list)


@pytest.mark.parametrize("module", ["sim/cluster.py", "sim/latency.py", "sim/rivals.py", "sim/row.py"])
def test_kernels_call_nothing_but_kernels(module: str) -> None:
    names = {kernel.__name__ for kernel in KERNELS} | {"push"}  # which has a compiled form of its own
    called = kernels_called_by(SOURCES / module)
    assert called
    assert called <= names


def test_both_forms_of_push_do_the_same() -> None:
    plain, looped = np.arange(5.0), np.arange(5.0)
    push(plain, 9.0)
    compiled._push_in_a_loop(looped, 9.0)
    assert plain.tolist() == looped.tolist() == [1.0, 2.0, 3.0, 4.0, 9.0]
