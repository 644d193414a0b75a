"""`forescale serve` as it runs: the page in a real browser, and requests made from its own OpenAPI document."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from playwright.sync_api import expect, sync_playwright
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from controller.api.app import create_app
from forescale.cli import BAD_INPUT, run
from forescale.simulation import simulate
from tests.controller.api.serving import served
from tests.documented import shown_on
from tests.required import require_command

PICTURES = Path(__file__).parents[3] / "docs" / "images"
TOKEN = "a-token-of-the-tests"
PATIENCE_MS = 120_000

schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(simulate))


@pytest.mark.slow
@schema.exclude(path="/v1/simulations").parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_document_says(case):
    """Simulations take seconds each, so they are left out here and tested by hand."""
    checks = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
    case.call_and_validate(checks=list(checks))


@pytest.fixture(scope="module")
def browser():
    require_command("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def url():
    with served() as address:
        yield address


def opened(browser, url, width=1200, height=860):
    """A page, and what its console says."""
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme="light").new_page()
    page.set_default_timeout(PATIENCE_MS)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    settled(page)
    return page, said


def settled(page):
    page.wait_for_selector("#result[aria-busy=false]")


def replica_hours(page, side):
    return float(page.inner_text(f"#{side} dd >> nth=0"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width", "height"), [("page", 1200, 860), ("page-phone", 390, 844)])
def test_the_page_shows_forescale_beside_the_hpa(browser, url, name, width, height):
    page, said = opened(browser, url, width, height)
    page.focus("#chart")
    for key in (*["PageDown"] * 9, "ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator("#story")).to_contain_text("forescale")
    expect(page.locator("#story li").first).to_contain_text(":")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".ours-line").count() == page.locator(".rival-line").count() == 1
    assert said == []
    if "FORESCALE_PICTURES" in os.environ:
        page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@pytest.mark.slow
def test_a_higher_price_buys_more_replicas(browser, url):
    page, said = opened(browser, url)
    before = replica_hours(page, "forescale")
    page.focus("#price")
    page.keyboard.press("End")
    expect(page.locator("#price-shown")).to_have_text("1000")
    expect(page.locator("#forescale dd").first).not_to_have_text(f"{before:.1f}", timeout=PATIENCE_MS)
    settled(page)
    assert replica_hours(page, "forescale") > before
    assert said == []


@pytest.mark.slow
def test_a_load_of_ones_own_is_run_and_a_broken_one_is_told(browser, url, tmp_path):
    page, _ = opened(browser, url)
    page.click("text=Your own")
    broken, good = tmp_path / "broken.csv", tmp_path / "good.csv"
    broken.write_text("t_seconds,value\n0,10\n60,many\n")
    good.write_text("t_seconds,value\n" + "".join(f"{60 * row},{400 + row}\n" for row in range(90)))
    page.set_input_files("#file", broken)
    expect(page.locator("#problem")).to_contain_text('broken.csv: row 2, "60,many"')
    page.set_input_files("#file", good)
    expect(page.locator("#problem")).to_be_hidden(timeout=PATIENCE_MS)
    settled(page)
    expect(page.locator("#chart svg")).to_contain_text("1:30 h")


@pytest.mark.slow
def test_with_a_token_the_page_asks_for_it(browser):
    with served(TOKEN) as url:
        page, _ = opened(browser, url)
        expect(page.locator("#problem")).to_contain_text("bearer token")
        page.fill("#token", TOKEN)
        page.click("text=Use it")
        expect(page.locator("#problem")).to_be_hidden(timeout=PATIENCE_MS)
        assert httpx.post(f"{url}/predict", json={}).status_code == 401


@pytest.mark.slow
def test_the_documentation_lists_every_operation(browser, url):
    page = browser.new_context().new_page()
    page.goto(f"{url}/docs")
    page.wait_for_selector("#operations[aria-busy=false]", timeout=PATIENCE_MS)
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    assert page.locator(".operation").count() == sum(len(methods) for methods in paths.values())


@pytest.mark.slow
def test_the_documented_requests_are_answered(url):
    commands = [shown.text for shown in shown_on("docs/api.md") if shown.text.startswith("curl ")]
    decision, prediction = (
        subprocess.run(
            ["bash", "-c", command.replace("curl -s", "curl -sS --fail").replace("localhost:8000", url)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for command in commands
    )
    assert json.loads(decision)["action"] == "Add"
    assert json.loads(prediction) == {"action_code": 1, "action_name": "ADD_SERVER"}


def test_a_token_that_can_be_guessed_is_refused(capsys):
    assert run(["serve", "--token", "short"]) == BAD_INPUT
    assert "5 characters, needs 16" in capsys.readouterr().err
