"""The page at ``/``, in headless Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.api_server.process import ApiServer
from tests.server import Server
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(
    shutil.which("chromedriver") is None and "CI" not in os.environ,
    reason="there is no chromedriver; tests/install_tools.sh installs it",
)


@pytest.fixture(scope="module")
def fleet() -> Iterator[ApiServer]:
    """Two agents that answer, and one that does not."""
    with (
        Server("examples.basic.app:app", "--workers", "2") as one,
        Server("tests.apps.streaming:app") as two,
        ApiServer() as api,
    ):
        api.put("one", {"type": "echo"}, {"type": "add"}, endpoint=one.wait_ready().address)
        api.put("two", {"type": "slow"}, {"type": "yielded"}, endpoint=two.wait_ready().address)
        api.put("gone", {"type": "<b>lost</b>"}, endpoint="127.0.0.1:9")
        yield api


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"):
        options.add_argument(argument)
    options.add_argument("--window-size=1440,900")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, fleet: ApiServer) -> webdriver.Chrome:
    browser.get(fleet.url)
    eventually(lambda: text(browser, "#link") == "live", "the console is live")
    return browser


def find(page: webdriver.Chrome, selector: str) -> Any:
    return page.find_element(By.CSS_SELECTOR, selector)


def text(page: webdriver.Chrome, selector: str) -> str:
    shown: str = find(page, selector).text
    return shown


def shows(page: webdriver.Chrome, selector: str, part: str) -> Callable[[], bool]:
    return lambda: part in text(page, selector)


def test_the_fleet_is_shown(page: webdriver.Chrome, tmp_path: Path) -> None:
    assert text(page, '[data-count="replicas"]') == "2 of 3"
    assert text(page, '[data-count="workers"]') == "3"
    assert find(page, '[data-replica="one"]').get_attribute("data-state") == "ok"
    assert len(page.find_elements(By.CSS_SELECTOR, '[data-replica="one"] .workers .ready')) == 2
    assert "{type: echo}" in text(page, '[data-replica="one"] .serves')
    assert find(page, '[data-replica="gone"]').get_attribute("data-state") == "silent"
    assert "does not answer" in text(page, '[data-replica="gone"] .facts')
    # What a replica says is never read as HTML.
    assert "type=<b>lost</b>" in text(page, "#capabilities")
    assert page.save_screenshot(str(tmp_path / "console.png"))
    assert (tmp_path / "console.png").stat().st_size > 20_000


def test_charts_follow_what_happens(page: webdriver.Chrome, fleet: ApiServer) -> None:
    def shown() -> bool:
        for _ in range(20):
            fleet.http.post("/infer", headers={"x-cap-type": "echo"}, json={"inputs": {"text": "x"}})
        rate, latency = text(page, '[data-chart="per_second"] .value'), text(page, '[data-chart="latency"] .value')
        return not rate.startswith("0") and latency.endswith(("ms", "µs"))

    eventually(shown, "the charts show requests, and how long they took")
    assert find(page, '[data-chart="per_second"] .line').get_attribute("d").startswith("M")


def test_a_request_is_sent(page: webdriver.Chrome) -> None:
    button = next(row for row in page.find_elements(By.CSS_SELECTOR, "#capabilities button") if "type=echo" in row.text)
    button.click()
    assert find(page, "#wanted").get_attribute("value") == "type=echo"
    find(page, "#send").click()
    eventually(shows(page, "#outcome", "answered in"), "the answer is there")
    assert 'output_text: ["hello"]' in text(page, "#answers")


def send(page: webdriver.Chrome, wanted: str, inputs: str) -> None:
    for selector, value in (("#wanted", wanted), ("#inputs", inputs)):
        field = find(page, selector)
        field.clear()
        field.send_keys(value)
    find(page, "#send").click()


def test_a_stream_is_watched_and_cancelled(page: webdriver.Chrome) -> None:
    find(page, "#as-stream").click()
    send(page, "type=yielded", '{"N": 3}')
    eventually(shows(page, "#outcome", "3 answers in"), "three answers are there")
    assert "SQUARE: [4]" in text(page, "#answers")
    send(page, "type=slow", '{"N": 1000000}')
    eventually(lambda: len(page.find_elements(By.CSS_SELECTOR, "#answers li")) > 5, "answers arrive")
    find(page, "#cancel").click()
    eventually(shows(page, "#outcome", "cancelled"), "it says so")


def test_mistakes_are_explained(page: webdriver.Chrome) -> None:
    send(page, "type=nothing", '{"N": 3}')
    eventually(shows(page, "#outcome", "404"), "nobody offers it")
    assert "no capability matches {type: nothing}" in text(page, "#answers")
    send(page, "type=echo", "{")
    assert "JSON" in text(page, "#outcome")
    send(page, "type echo", "{}")
    assert "is not KEY=VALUE" in text(page, "#outcome")


def test_a_phone_needs_no_sideways_scrolling(page: webdriver.Chrome) -> None:
    size = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.refresh()
        eventually(lambda: text(page, "#link") == "live", "the console is live")
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_says_when_the_server_is_gone_and_comes_back(browser: webdriver.Chrome) -> None:
    with ApiServer() as first:
        browser.get(first.url)
        eventually(lambda: text(browser, "#link") == "live", "the console is live")
        assert "No replica is registered" in text(browser, "#no-replicas")
        assert first.url in text(browser, "#no-replicas")
        first.kill()
        eventually(shows(browser, "#link", "does not answer"), "the server is gone")
        with ApiServer(port=first.port) as second:
            second.put("new", {"type": "x"})
            eventually(lambda: text(browser, "#link") == "live", "the server is back")
            eventually(lambda: text(browser, '[data-count="replicas"]') == "0 of 1", "and its replica")


def test_nothing_comes_from_elsewhere_and_nothing_is_blocked(page: webdriver.Chrome, fleet: ApiServer) -> None:
    resources = page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert resources
    assert all(name.startswith(fleet.url) for name in resources)
    # Of what the tests before have provoked, nothing is an error of the page itself.
    log: list[dict[str, Any]] = page.get_log("browser")  # type: ignore[no-untyped-call]
    problems = [entry["message"] for entry in log if "Content Security Policy" in entry["message"]]
    assert problems == []
    policy = fleet.http.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_replicas_are_asked_only_while_somebody_looks(fleet: ApiServer, browser: webdriver.Chrome) -> None:
    browser.get("about:blank")
    with fleet.events("GET", "/console/state") as events:
        names = [events.next()[0] for _ in range(3)]
        assert names == ["history", "capabilities", "state"]
    # A second one begins with what the first has seen.
    with fleet.events("GET", "/console/state") as events:
        name, data = events.next()
        assert name == "history"
        assert data["points"]
