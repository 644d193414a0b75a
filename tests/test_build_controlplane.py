"""The cache of the control plane's programs: what makes one be built again, and what happens when two want it at once.

Nothing is compiled here: a script stands in for Go.
"""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.cluster import build_controlplane as module

ETCD = module.PROGRAMS[0]
GO = """#!/bin/sh
echo "$$" >> {log}
sleep 0.5
while [ "$1" != -o ]; do shift; done
{result}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache, a Go and pins of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    a_go(tmp_path)
    return tmp_path


def a_go(folder, result='echo built > "$2"'):
    file = folder / "go"
    file.write_text(GO.format(log=folder / "runs", result=result))
    file.chmod(0o700)


def runs(folder):
    """How often Go was asked to build."""
    log = folder / "runs"
    return len(log.read_text().split()) if log.exists() else 0


def with_pins(monkeypatch, folder, **files):
    """Copies of the pins, with text added to some files of etcd."""
    copies = folder / "controlplane"
    for program in module.PROGRAMS:
        (copies / program.folder).mkdir(parents=True, exist_ok=True)
        for file in ("go.mod", "go.sum"):
            text = (program.pins / file).read_text()
            changed = program.folder == "etcd" and file.replace(".", "_") in files
            (copies / program.folder / file).write_text(text + files[file.replace(".", "_")] if changed else text)
    monkeypatch.setattr(module, "MODULES", copies)


def paths():
    return {program.name: module.built_path(program) for program in module.PROGRAMS}


@pytest.mark.parametrize("file", ["go_mod", "go_sum"])
def test_a_program_is_built_again_when_its_pins_change_and_no_other(own_cache, monkeypatch, file):
    before = paths()
    with_pins(monkeypatch, own_cache)
    assert paths() == before
    with_pins(monkeypatch, own_cache, **{file: "\n// another"})
    after = paths()
    assert {name for name in before if before[name] != after[name]} == {"etcd"}


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"tags": "another"}, False),
        ({"variables": ("a.b=c",)}, False),
        ({"command": "/another"}, False),
        ({}, True),
    ],
)
def test_a_program_is_built_again_when_it_is_built_another_way(change, is_same):
    assert (module.built_path(replace(ETCD, **change)) == module.built_path(ETCD)) == is_same


def test_what_is_built_is_found_and_not_built_again(own_cache):
    assert module.find("etcd") is None
    assert module.build(ETCD)
    assert module.find("etcd") == module.built_path(ETCD)
    assert module.build(ETCD)
    assert runs(own_cache) == 1


def test_what_failed_to_build_leaves_nothing_and_is_tried_again(own_cache, capfd):
    a_go(own_cache, 'echo half > "$2"; exit 1')
    assert not module.build(ETCD)
    assert module.find("etcd") is None
    assert "FAILED to build etcd" in capfd.readouterr().out
    a_go(own_cache)
    assert module.build(ETCD)
    assert module.built_path(ETCD).read_text() == "built\n"


def test_two_processes_that_want_the_same_program_build_it_once(own_cache):
    command = [sys.executable, "-m", "tests.cluster.build_controlplane", "etcd"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("1 programs are there" in text for text in said)
    assert runs(own_cache) == 1
