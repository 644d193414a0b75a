"""Every command of README and docs is run, or is one that says why it cannot be; the options of all of them exist."""

import importlib.util
import json
import re
import socket
import subprocess
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from forescale.app import app
from tests.documented import (
    PAGES,
    ROOT,
    SHORTER,
    Documented,
    a_working_copy,
    calls,
    forescale_arguments,
    mentioned_on,
    shown_on,
)

SHOWN = [command for page in PAGES for command in shown_on(page)]
MENTIONED = [command for page in PAGES if page != "CHANGELOG.md" for command in mentioned_on(page)]


def name_of(command: Documented) -> str:
    return f"{command.page}: {command.text[:60]}"


def commands() -> TyperGroup:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


@pytest.mark.parametrize("command", SHOWN, ids=name_of)
def test_what_a_documented_command_calls_exists(command):
    """Each option and value of forescale is parsed, as it would be before the command runs."""
    for words in calls(command.text):
        arguments = forescale_arguments(words)
        if arguments is not None and not (arguments and arguments[0].startswith("-")):
            name, *options = arguments
            assert name in commands().commands, command.text
            commands().commands[name].make_context(name, options)
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words[1]
        elif words[1:2] == ["-m"] and "." in words[2]:
            assert importlib.util.find_spec(words[2]) is not None, words[2]


@pytest.mark.parametrize("command", MENTIONED, ids=name_of)
def test_the_options_of_a_command_within_a_sentence_exist(command):
    for words in calls(command.text.replace("'", "").replace("...", "").replace("\N{HORIZONTAL ELLIPSIS}", "")):
        arguments = forescale_arguments(words)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words[1]
        if not arguments or arguments[0] not in commands().commands:
            continue
        known = {flag for option in commands().commands[arguments[0]].params for flag in option.opts} | {"-h", "--help"}
        flags = {word.partition("=")[0] for word in arguments if re.match(r"--[a-z]|-[a-zA-Z]$", word)}
        assert flags <= known, command.text


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(not shown.why_not_run for shown in shown_on(page))])
def test_every_command_of_a_page_runs_in_its_order(page, tmp_path):
    environment = a_working_copy(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for command in shown_on(page):
        if command.why_not_run:
            continue
        text = command.text
        for long, short in SHORTER.items():
            text = text.replace(long, short.format(port=port))
        done = subprocess.run(
            ["bash", "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.slow
def test_make_passes_a_document_on_and_nothing_else(tmp_path):
    environment = a_working_copy(tmp_path)
    wish = "--trace my-load.csv --hours 1 --no-report --json"
    done = subprocess.run(
        ["make", "demo", f"ARGS={wish}"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert "policies" in json.loads(done.stdout)


def test_a_new_command_is_run_unless_the_table_says_why_not(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n```sh\n# only this\nfrobnicate --hard \\\n  now   # at once\nKUBECONFIG=a kubectl get pods\n```\n"
    )
    monkeypatch.setattr("tests.documented.ROOT", tmp_path)
    frobnicate, kubectl = shown_on("page.md")
    assert (frobnicate.text, frobnicate.why_not_run) == ("frobnicate --hard    now", None)
    assert kubectl.why_not_run == "needs a cluster"


def test_lines_are_taken_apart_as_a_shell_does():
    assert calls("HOME=/tmp forescale crd | kubectl apply -f - > log 2>&1 && echo 'a | b'") == [
        ["forescale", "crd"],
        ["kubectl", "apply", "-f", "-"],
        ["echo", "a | b"],
    ]


def test_the_pages_are_found():
    assert {"README.md", "docs/operations.md"} <= set(PAGES)
    assert len(SHOWN) > 20
    assert Path(ROOT, "Makefile").exists()
