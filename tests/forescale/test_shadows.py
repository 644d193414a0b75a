"""A user's own folder that is named as one of our packages is told by name, and never imported in its place."""

import os
import subprocess
import sys

import pytest

from tests.forescale.commands import ROOT


def start(arguments, folder, before=None):
    """Run Python in a folder, with ours further back on its path, and `before` in between."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(part) for part in (before, ROOT) if part)}
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(params=["sim", "scaling", "training", "controller"])
def shadow(request, tmp_path):
    """A package of the user's own."""
    folder = tmp_path / request.param
    folder.mkdir()
    (folder / "__init__.py").write_text("print('the wrong one')\n")
    return folder


def test_a_folder_that_shadows_a_package_is_named(shadow):
    done = start(["-c", "import forescale"], shadow.parent)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {shadow} shadows the package {shadow.name} of forescale in {ROOT}: rename it")
    assert "the wrong one" not in done.stdout


def test_the_module_as_a_command_takes_nothing_from_the_working_directory(shadow):
    done = start(["-m", "forescale", "--version"], shadow.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("forescale ")


def test_another_module_that_imports_forescale_keeps_its_working_directory(tmp_path):
    (tmp_path / "mine.py").write_text("import forescale, other; print(other.NAME)\n")
    (tmp_path / "other.py").write_text("NAME = 'beside it'\n")
    assert start(["-m", "mine"], tmp_path).stdout == "beside it\n"


@pytest.mark.parametrize("command", [["-m", "forescale"], ["SCRIPT"]], ids=["module", "script"])
def test_the_command_names_a_folder_further_up_the_path_in_one_line(shadow, tmp_path, command):
    script = tmp_path / "bin" / "forescale"
    script.parent.mkdir()
    script.write_text("from forescale.cli import main\nmain()\n")
    arguments = [str(script) if word == "SCRIPT" else word for word in command]
    done = start([*arguments, "--version"], tmp_path / "bin", before=shadow.parent)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"forescale: error: {shadow} shadows the package {shadow.name} of forescale in {ROOT}: ")


def test_a_file_that_shadows_a_package_is_named(tmp_path):
    (tmp_path / "sim.py").write_text("print('the wrong one')\n")
    done = start(["-c", "import forescale"], tmp_path)
    assert f"ImportError: {tmp_path / 'sim.py'} shadows the package sim of forescale" in done.stderr
    assert "the wrong one" not in done.stdout


def test_a_shadow_that_was_imported_before_is_named(shadow):
    done = start(["-c", f"import {shadow.name}, forescale"], shadow.parent)
    assert f"shadows the package {shadow.name} of forescale" in done.stderr


def test_a_safe_path_leaves_the_shadow_aside(shadow):
    done = start(["-P", "-m", "forescale", "--version"], shadow.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("forescale ")


def test_a_folder_of_data_that_is_no_package_stands_in_nobodys_way(tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "data.csv").write_text("1\n")
    done = start(["-c", "import forescale, training; print(training.__file__)"], tmp_path)
    assert done.stdout.strip() == str(ROOT / "training" / "__init__.py"), done.stderr
