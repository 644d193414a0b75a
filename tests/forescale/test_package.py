"""The wheel and the sdist: what is in them, and that a plain installation outside the tree works, without network."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.forescale.commands import ROOT

pytestmark = pytest.mark.slow

PACKAGES = ("scaling", "sim", "training", "controller", "forescale")
FILES = {
    *(f"{package}/py.typed" for package in PACKAGES),
    "controller/api/static/docs.html",
    "controller/api/static/docs.js",
    "controller/api/static/icon.svg",
    "controller/api/static/index.html",
    "controller/api/static/page.js",
    "controller/api/static/style.css",
    "controller/policies/default.json",
    "controller/policies/default.safetensors",
    "forescale/examples/web.yaml",
    "forescale/templates/report.html.j2",
}
BUILD = """
import sys
from setuptools import build_meta
target = sys.argv[1]  # setuptools changes the arguments
for build in (build_meta.build_wheel, build_meta.build_sdist):
    build(target)
"""


def build(source: Path, target: Path) -> tuple[Path, Path]:
    """The wheel and the sdist of a source tree."""
    target.mkdir()
    subprocess.run([sys.executable, "-c", BUILD, str(target)], cwd=source, check=True, capture_output=True)
    (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist of a copy of the tree, so that nothing is left in it."""
    folder = tmp_path_factory.mktemp("build")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / "tree" / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "tree" / name)
    return build(folder / "tree", folder / "built")


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_every_module_and_file_and_nothing_else(built):
    names = names_in(built[0])
    modules = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == modules | FILES
    assert {name.partition("/")[2] for name in names if ".dist-info/licenses" in name} == {"licenses/LICENSE"}


def test_the_sdist_builds_the_same_wheel(built, tmp_path):
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert names_in(build(source, tmp_path / "again")[0]) == names_in(wheel)


def runtime_distributions() -> set[str]:
    """What `pip install forescale` brings: its dependencies and theirs, without extras."""
    found, wanted = set(), ["forescale"]
    while wanted:
        name = wanted.pop()
        for requirement in importlib.metadata.requires(name) or []:
            needed, _, marker = requirement.partition(";")
            (needed,) = re.findall(r"^[\w.-]+", needed)
            if "extra" not in marker and needed not in found and is_there(needed):
                found.add(needed)
                wanted.append(needed)
    return found


def is_there(name: str) -> bool:
    """Whether it is installed: a dependency for another platform is not."""
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="module")
def plain(built, tmp_path_factory):
    """The bin folder of an environment with the wheel and links to its dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("plain")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for distribution in map(importlib.metadata.distribution, sorted(runtime_distributions())):
        for top in {file.parts[0] for file in distribution.files or [] if ".." not in file.parts}:
            link = packages / top
            if not link.exists() and top != "__pycache__":
                link.symlink_to(Path(str(distribution.locate_file(top))))
    zipfile.ZipFile(built[0]).extractall(packages)
    (script,) = importlib.metadata.distribution("forescale").entry_points.select(group="console_scripts")
    module, _, function = script.value.partition(":")
    (folder / "venv" / "bin" / "forescale").write_text(f"from {module} import {function}\n{function}()\n")
    return folder / "venv" / "bin"


def run(plain: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FORESCALE"))}
    return subprocess.run(
        [plain / "python", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_a_plain_installation_imports_from_itself_and_has_no_extras(plain, tmp_path):
    code = """
import importlib.util, forescale, sim, scaling
print(forescale.__file__); print(sim.__file__); print(forescale.load_policy("default").sha256)
print([name for name in ("torch", "matplotlib", "gymnasium", "numba", "pytest") if importlib.util.find_spec(name)])
"""
    done = run(plain, "-c", code, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    places = done.stdout.splitlines()
    assert all(place.startswith(str(plain.parent)) for place in places[:2])
    assert places[2] == json.loads((ROOT / "controller" / "policies" / "default.json").read_text())["sha256"]
    assert places[3] == "[]"


def test_a_plain_installation_runs_a_dry_run(plain, tmp_path):
    command = str(plain / "forescale")
    done = run(plain, command, "dry-run", "--hours", "1", "--no-report", "-o", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["policies"]) == {"forescale", "hpa", "clairvoyant"}
    assert list(tmp_path.iterdir()) == []


def test_a_plain_installation_is_not_led_astray_by_a_folder_of_the_users(plain, tmp_path):
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "__init__.py").write_text("raise RuntimeError('the wrong one')\n")
    for arguments in ([str(plain / "forescale")], ["-m", "forescale"]):
        done = run(plain, *arguments, "dry-run", "--hours", "1", "--no-report", "-o", "json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = run(plain, "-c", "import forescale", cwd=tmp_path)
    assert f"ImportError: {tmp_path / 'sim'} shadows the package sim of forescale" in done.stderr
