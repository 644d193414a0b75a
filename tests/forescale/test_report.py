import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from forescale.provenance import Provenance
from forescale.report import MOST_ACTIONS, render_page, write_report
from forescale.summary import cells, figures, headline, rows, scaling_actions
from scaling.decision import Action, Reason
from scaling.errors import InputError
from tests.forescale.builders import a_run, replica_hours

VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """A page's cells, ids and addresses; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.labelled_by: list[str] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.stack.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src", "xlink:href"):
                self.addresses.append(value)
            elif name == "aria-labelledby":
                self.labelled_by.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] in ("td", "th"):
            self.cells[-1] += data


@pytest.fixture(scope="module")
def a_page():
    return render_page(*a_run())


def test_a_report_is_a_picture_and_a_page(tmp_path):
    paths = write_report(*a_run(), tmp_path / "new" / "folder")
    with Image.open(paths.png) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1500
    assert paths.html.read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in paths.html.parent.iterdir()) == ["report.html", "report.png"]


def test_the_page_shows_every_figure_of_the_table(a_page):
    run, _ = a_run()
    shown = Page(a_page).cells
    for row in rows(run):
        start = shown.index(cells(row)[0])
        assert tuple(shown[start : start + len(cells(row))]) == cells(row)
    assert f"{replica_hours(run, 'hpa'):,.1f}" in shown


def test_the_page_lists_every_scaling_action_with_its_reasons(a_page):
    _, decisions = a_run()
    shown, actions = Page(a_page).cells, scaling_actions(decisions)
    assert actions
    for decision in actions:
        assert f"{decision.current_replicas} → {decision.final_replicas}" in shown
    assert "fewer replicas than the band asks for" in shown
    assert sum(cell.startswith(("Add ", "Remove ")) for cell in shown) == len(actions)


def test_the_page_counts_holds_by_reason(a_page):
    _, decisions = a_run()
    within = sum(d.action is Action.HOLD and Reason.WITHIN_BAND in d.reasons for d in decisions)
    shown = Page(a_page).cells
    assert shown[shown.index("the replicas are within the band") + 1] == f"{within:,}"


def test_the_page_says_what_it_was_made_with():
    run, decisions = a_run(100)
    command = "forescale dry-run --file '<a b>.yaml'"
    page = render_page(run, decisions, Provenance("0.1.0", command, 7, "default", "83cf" * 16))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("<h2>Made with") :]))
    assert text.strip().startswith(
        f"Made with forescale 0.1.0 command {html.escape(command, quote=True)} seed 7 policy default"
        f" SHA-256 of its network {'83cf' * 16}".replace("&#x27;", "&#39;")
    )
    assert "Made with" not in render_page(run, decisions)


def test_a_narrow_page_labels_every_cell_of_its_tables(a_page):
    """Below 640 px each row is a list of cells, and a cell without a label would be a bare figure."""
    tables = re.findall(r'<table class="stacked">(.*?)</table>', a_page, flags=re.DOTALL)
    assert len(tables) == 2
    for table in tables:
        headings = re.findall(r"<th scope=.col.[^>]*>(.*?)</th>", table)
        for row in re.findall(r"<tr>(?!<th scope=.col)(.*?)</tr>", table, flags=re.DOTALL):
            labels = re.findall(r'<td[^>]*data-label="(.*?)"', row)
            assert labels == headings[-len(labels) :]
            assert len(labels) == row.count("<td")
    assert "@media (max-width: 640px)" in a_page


def test_the_page_asks_for_nothing_from_outside(a_page):
    page = Page(a_page)
    assert not re.search(r"https?://", a_page)
    assert all(address.startswith("#") or address == "data:," for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import|<script", a_page)


def test_charts_are_described_and_their_ids_are_unique(a_page):
    page = Page(a_page)
    assert len(page.ids) == len(set(page.ids))
    assert len(page.labelled_by) == 4
    assert set(page.labelled_by) <= set(page.ids)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)


def test_charts_take_their_colours_from_the_page(a_page):
    charts = "".join(re.findall(r"<svg.*?</svg>", a_page, flags=re.DOTALL))
    assert {"var(--forescale)", "var(--hpa)", "var(--clairvoyant)", "var(--ink)"} <= set(
        re.findall(r"var\(.*?\)", charts)
    )
    assert not re.search(r"#[0-9a-f]{6}\b", charts)
    assert "prefers-color-scheme: dark" in a_page


def test_names_are_escaped_in_page_and_picture(tmp_path):
    title = '<script>alert("$x^")</script> & $\\frac{1}$'
    run, decisions = a_run(100, title=title)
    odd = replace(run, policies=(*run.policies, replace(run.policies[-1], name="<b>x</b>")))
    paths = write_report(odd, [replace(decision, policy_name="<i>me</i>") for decision in decisions], tmp_path)
    page = paths.html.read_text()
    assert not re.search(r"<script|<b>x|<i>me", page)
    assert "&lt;script&gt;" in page
    assert "<b>x</b>" in Page(page).cells


@pytest.mark.parametrize("n_steps", [2, 100, pytest.param(40_000, marks=pytest.mark.slow)])
def test_short_and_long_runs_give_a_report_of_bearable_size(tmp_path, n_steps):
    paths = write_report(*a_run(n_steps, step_s=60.0), tmp_path)
    Page(paths.html.read_text())
    assert paths.html.stat().st_size < 2_000_000


def test_more_actions_than_the_page_lists_are_counted(monkeypatch):
    monkeypatch.setattr("forescale.report.MOST_ACTIONS", 3)
    run, decisions = a_run(2000)
    page = render_page(run, decisions)
    assert f"{len(scaling_actions(decisions)):,} decisions changed the replicas; the first 3 are listed" in page
    assert MOST_ACTIONS > 3


def test_a_run_without_requests_decisions_or_finite_latency_still_gives_a_report(tmp_path):
    run, _ = a_run(100)
    nothing = np.zeros(100)
    policies = tuple(
        replace(p, requests=nothing, late=nothing, latency_p95_s=np.full(100, filler))
        for p, filler in zip(run.policies, (np.nan, np.inf, 0.0, 0.1), strict=True)
    )
    paths = write_report(replace(run, demand_rps=nothing, policies=policies), [], tmp_path)
    page = paths.html.read_text()
    assert "No decision changed the replicas." in page
    assert "nan" not in "".join(Page(page).cells)


def test_a_clairvoyant_that_runs_nothing_leaves_the_cost_undefined():
    run, _ = a_run(100)
    policies = tuple(replace(p, replicas=np.zeros(100)) if p.name == "clairvoyant" else p for p in run.policies)
    run = replace(run, policies=policies)
    ours = figures(run, price=30.0)["forescale"]
    assert (ours["cost_ratio"], ours["j"], ours["j30"]) == (None, None, None)
    assert cells(rows(run)[0])[3] == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("factor", "sign"),
    [pytest.param(0.5, "\N{MINUS SIGN}", id="cheaper"), pytest.param(3.0, "+", id="dearer")],
)
def test_the_headline_says_whether_forescale_used_more_or_less(factor, sign):
    run, _ = a_run()
    hpa = run.policy("hpa")
    ours = replace(hpa, name="forescale", replicas=hpa.replicas * factor, late=hpa.requests * 0.02)
    run = replace(run, policies=(ours, *run.policies[1:]))
    assert f"({sign}" in headline(run)
    assert "with 2.00 % bad requests against" in headline(run)
    assert f"forescale used {replica_hours(run, 'forescale'):,.1f} replica-hours" in headline(run)


def test_a_report_folder_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken: cannot be made") as refusal:
        write_report(*a_run(100), tmp_path / "taken")
    assert "\n" not in str(refusal.value)


def test_drawing_leaves_matplotlib_as_it_was():
    before = dict(mpl.rcParams)
    render_page(*a_run(100))
    assert dict(mpl.rcParams) == before


def test_the_same_run_gives_the_same_bytes(tmp_path):
    first = write_report(*a_run(100), tmp_path / "a")
    second = write_report(*a_run(100), tmp_path / "b")
    assert first.html.read_bytes() == second.html.read_bytes()
    assert BytesIO(first.png.read_bytes()).getvalue() == second.png.read_bytes()
