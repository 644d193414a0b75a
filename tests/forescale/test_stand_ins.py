"""Signs on terminals that do not have them."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from forescale.sparkline import BLOCKS
from forescale.stand_ins import register
from forescale.words import ABSENT, MINUS

ROOT = Path(__file__).parents[2]


def written(text: str, encoding: str) -> str:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding, errors=register())
    stream.write(text)
    stream.flush()
    return buffer.getvalue().decode(encoding)


def test_a_sign_that_is_missing_has_one_character_in_its_place():
    text = f"{MINUS}14.8 % {ABSENT} 3 \N{RIGHTWARDS ARROW} 4 {BLOCKS} \N{SNOWMAN}"
    assert written(text, "ascii") == "-14.8 % - 3 > 4 _.-=+*%# ?"
    assert written(text, "utf-8") == text


def test_latin_1_keeps_the_signs_that_it_has():
    assert written(f"caf\N{LATIN SMALL LETTER E WITH ACUTE} {MINUS}1", "latin-1") == "caf\xe9 -1"


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"TERM": "dumb"},
    ],
    ids=["latin-1", "ascii", "C", "dumb"],
)
def test_a_dry_run_ends_well_on_any_terminal(environment, tmp_path):
    command = [sys.executable, "-m", "forescale", "dry-run", "--hours", "1", "--no-report"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"forescale used" in done.stdout
    if "LC_ALL" in environment or "PYTHONIOENCODING" in environment:
        done.stdout.decode("ascii")
