"""The documentation site is built as `make docs` builds it: a broken link, or a page that no menu names, fails."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the pages, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--nitpicky", "docs", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_page_and_no_broken_link(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    pages = {page for page in pages if page.parts[0] != "_build"}
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert pages <= built


@pytest.mark.slow
def test_the_command_reference_has_every_command_and_option(site):
    text = (site / "_generated" / "cli.html").read_text(encoding="utf-8")
    for command in ("dry-run", "operator", "train", "evaluate"):
        assert f"forescale {command}" in re.sub(r"<[^>]*>", "", text)
    assert "FORESCALE_PROMETHEUS_URL" in text


@pytest.mark.slow
def test_pages_load_nothing_from_outside(site):
    """Furo's and Sphinx's files come with the site, so that it can be read without a network."""
    page = (site / "index.html").read_text(encoding="utf-8")
    loaded = re.findall(r"<(?:script|img|link)\b[^>]*(?:src|href)=\"(https?:[^\"]*)\"", page)
    assert loaded == []
