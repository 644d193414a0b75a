"""The demo from start to stop: what it shows, and that nothing of it is left."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import demo
from tests.cluster.scene import NEEDED, wait_for
from tests.required import require

MODULE = (sys.executable, "-m", "tests.cluster.demo")


def processes_of(folder):
    """Those that were told of a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder.encode() in place.read_bytes():
                found.append(place)
        except OSError:  # it has just ended
            continue
    return found


def test_the_demo_shows_decisions_and_leaves_nothing_behind_when_it_is_interrupted(tmp_path):
    require(*NEEDED)
    shown = tmp_path / "shown"
    with shown.open("wb") as output:
        process = subprocess.Popen([*MODULE, "--minutes", "1.5"], stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for(shown.read_text, lambda text: " Add " in text or process.poll() is not None, within_s=150)
        folder = re.search(r"=(/\S*forescale-demo-\w+)/", shown.read_text())
        assert folder is not None, shown.read_text()
        assert len(processes_of(folder[1])) >= len(NEEDED)
    finally:
        os.kill(process.pid, signal.SIGINT)
        code = process.wait(timeout=60)
    text = shown.read_text()
    assert code == 0, text
    assert "stopped: etcd, kube-apiserver" in text
    assert re.search(r"^ 0:\d\d +[\d.]+ +\d+ +web ", text, re.MULTILINE), text
    assert processes_of(folder[1]) == []
    assert not Path(folder[1]).exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--minutes", "0"], "--minutes: 0 is outside", id="no-time"),
        pytest.param(["--minutes", "nan"], "--minutes: nan is outside", id="no-number"),
        pytest.param(["--trace", "absent.csv"], "absent.csv", id="no-trace"),
        pytest.param(["--trace", "x", "--speed-up", "0"], "--speed-up: 0 is not", id="no-speed"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_in_one_line(options, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo", *options])
    with pytest.raises(SystemExit):
        demo.main()
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_without_the_programs_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo"])
    monkeypatch.setattr(demo, "absent", lambda names: "no etcd: build with `make controlplane`")
    assert demo.main() == 1
    assert capsys.readouterr().err == "cluster-demo: no etcd: build with `make controlplane`\n"
