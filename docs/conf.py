"""The documentation site: `make docs` builds these Markdown pages with Sphinx into docs/_build/html.

Each warning fails the build, so every link within the documentation leads somewhere. The reference of the command line
is written from the command line itself, at each build.
"""

from importlib.metadata import version as version_of
from pathlib import Path

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from forescale.app import app

project = "forescale"
author = "the forescale authors"
project_copyright = "the forescale authors, Apache-2.0"
version = release = version_of("forescale")

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
nitpicky = True

html_theme = "furo"
html_title = f"forescale {version}"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"sidebar_hide_name": False}

GENERATED = Path(__file__).parent / "_generated"


def _write_cli_reference() -> None:
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="forescale"), name="forescale")
    title = "# Command reference\n\nAs `forescale COMMAND --help` prints it. How the commands work together: "
    title += "[the command line](../command-line.md).\n\n"
    GENERATED.mkdir(exist_ok=True)
    (GENERATED / "cli.md").write_text(title + text.replace("# `forescale`\n", "## `forescale`\n", 1), encoding="utf-8")


_write_cli_reference()
