"""The commands that README and docs show: where they stand, what they would call, and a folder to run them in."""

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/runbooks/*.md"))
)

SHELLS = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\.venv/bin/)?forescale [a-z][^`\n]*|make [a-z][^`\n]*)`")

NOT_RUN = {
    r"kubectl ": "needs a cluster",
    r".*\| kubectl ": "needs a cluster",
    r"helm ": "needs a cluster",
    r"deploy/kind/": "needs Docker",
    r"docker ": "needs Docker",
    r".*forescale export .* --apply": "needs a cluster",
    r"forescale tune --storage postgresql": "needs a database",
    r"curl ": "asks what another command serves meanwhile",
    r"(\.venv/bin/)?forescale operator ": "needs a cluster",
    r"(\.venv/bin/)?forescale trace ": "needs a Prometheus",
    r"(\.venv/bin/)?forescale --install-completion": "changes the user's shell",
    r"(\.venv/bin/)?forescale serve ": "serves until stopped",
    r"\.venv/bin/tensorboard ": "serves until stopped",
    r"\.venv/bin/(ruff|mypy|lint-imports|pytest) ?": "is what runs this test, or beside it",
    r"make (test|check|lint)\b": "is what runs this test, or beside it",
    r"make (controlplane|cluster-(test|demo)|bench(-api|-operator)?|image-test)\b": "builds or needs a control plane",
    r"make (docs|dashboard)\b": "has a test of its own",
    r"make (constraints|clean)\b": "changes the installation",
    r"(\.venv/bin/python|python3?) -m (tests|benchmarks)\.": "builds or needs a control plane, or takes hours",
    r"(\.venv/bin/)?(pip|uv|python3?) (-m (pip|venv) |install |sync )": "needs the network",
    r"(git|cd|source|export) ": "is about the user's own shell",
    r"\.venv/bin/python -m controller\.crd\.(docs|schema) ": "writes to the tree; what it writes has a test of its own",
}
"""Commands that only a cluster, a network or hours can show, by how they begin. Their options are checked, too."""

SHORTER = {
    "--trials 20 --steps 500000": "--trials 2 --steps 2048 --rows 32",
    "--steps 8000000": "--steps 2048 --rows 32 --no-progress",
    'make train ARGS="--out runs/default"': 'make train ARGS="--out runs/default --steps 2048 --rows 32 --no-progress"',
    "--out controller/policies": "--out policies/default",
    "--speed 60 --metrics-port 9100": "--speed 0 --hours 1 --metrics-port {port}",
    "--resume": "--resume --no-progress",
}
"""What is run in place of it: the same command on less, on a free port, or into a folder of its own."""

TARGETS = {"demo": ["dry-run"], "train": ["train"], "evaluate": ["evaluate", "--traces", "DIR"]}
"""What a target of the Makefile calls `forescale` with, before ARGS."""


@dataclass(frozen=True)
class Documented:
    """One command of a page."""

    page: str
    text: str

    @property
    def why_not_run(self) -> str | None:
        """Why no test can run it; None for one that is run."""
        command = re.sub(r"^([A-Z_]+=\S+ )+", "", self.text)
        return next((reason for start, reason in NOT_RUN.items() if re.match(start, command)), None)


def shown_on(page: str) -> list[Documented]:
    """The commands in the shell blocks of a page, in order, without comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [line for block in SHELLS.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    commands = [re.sub(r"\s+#\s.*$|^\s*#.*$|^\s*\$ ", "", line).strip() for line in lines]
    return [Documented(page, command) for command in commands if command]


def mentioned_on(page: str) -> list[Documented]:
    """Commands within sentences; they may be cut short."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [Documented(page, found) for found in INLINE.findall(text)]


def calls(text: str) -> list[list[str]]:
    """The simple commands of a line, as lists of words; redirections end one."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    redirected = False
    for word in lexer:
        if set(word) <= set("|&;"):
            found.append([])
            redirected = False
        elif set(word) <= set("<>"):
            redirected = True
        elif not redirected:
            found[-1].append(word)
    return [words for words in map(_without_variables, found) if words]


def _without_variables(words: list[str]) -> list[str]:
    """The command behind assignments such as NAME=value."""
    return list(dropwhile(lambda word: re.match(r"[A-Z_]+=", word), words))


def forescale_arguments(words: list[str]) -> list[str] | None:
    """The arguments of `forescale` that a command comes to, by way of make as well; None for another program."""
    if words[0] == "make":
        given = next((word.removeprefix("ARGS=") for word in words if word.startswith("ARGS=")), "")
        return TARGETS[words[1]] + shlex.split(given) if words[1] in TARGETS else None
    return words[1:] if Path(words[0]).name == "forescale" else None


def a_working_copy(folder: Path) -> dict[str, str]:
    """Lay the tree out in a folder whose make installs nothing; returns the environment to run commands in."""
    for entry in ("Makefile", "README.md", "LICENSE", "deploy", "docs", "controller", "forescale", "scaling", "sim"):
        (folder / entry).symlink_to(ROOT / entry)
    shutil.copytree(ROOT / "constraints", folder / "constraints")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for source in (*(folder / "constraints").iterdir(), folder / "pyproject.toml"):
        os.utime(source, (0, 0))  # older than any installation
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    for stamp in (".installed-runtime", ".installed-dev"):
        (folder / ".venv" / stamp).touch()
    (folder / "policy.yaml").symlink_to(ROOT / "deploy" / "examples" / "web.yaml")
    rows = "".join(f"{60 * minute},{120 + minute % 90}\n" for minute in range(240))
    (folder / "traces").mkdir()
    for path in (folder / "my-load.csv", folder / "load.csv", folder / "traces" / "steps.csv"):
        path.write_text(f"t_seconds,value\n{rows}")
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": search, "PYTHONPATH": str(ROOT), "FORESCALE_TRACES": str(folder / "traces")}
    of_make = ("MAKEFLAGS", "MAKELEVEL")  # a make within a make says which folder it enters
    return {**{name: value for name, value in os.environ.items() if name not in of_make}, **own}
