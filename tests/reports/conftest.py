"""A fabricated run and its page, and a browser that has no network to lean on."""

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports import page

sys.path.append(str(Path(__file__).parent))

EVIL = "</script><img src=x onerror=alert(1)>"
BIDI = "\u202egnikaerb\u202c\u2066x\u2069\x07"
NAME = "<img src=x onerror=document.title='broken'>{{7*7}}"
LINK = "<a href='javascript:alert(1)'>link</a><b>bold</b>"
LONG = "w" * 400
QUOTES = "\"'`{% raw %}"
ALL = f"{EVIL}{LINK}{BIDI}{QUOTES}{LONG}{NAME}"
"""What turns up in the place of every text that comes from a model, a data set, a plugin or a path."""

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--window-size=1280,900"),
)


@pytest.fixture(scope="session")
def fabricate() -> Any:
    """The helper that writes run folders."""
    return importlib.import_module("fabricate")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, fabricate: Any) -> Path:
    """A finished run with three seeds."""
    return fabricate.run_folder(tmp_path_factory.mktemp("runs") / "finished", fabricate.Recipe(curve=True))


def hostile(fabricate: Any) -> Any:
    """A run with bad strings in every place that a string comes to from elsewhere."""
    suite = f"{NAME} {LINK.replace('/', '')} {QUOTES}"
    worlds = {facts["suite"] for facts in fabricate.TASKS.values()}
    tasks = {name: facts | {"suite": f"{facts['suite']} {suite}"} for name, facts in fabricate.TASKS.items()}
    tasks |= {NAME: tasks["facts"] | {"about": ALL}, f"text {ALL}": tasks["text_stories"]}
    arm = "kl:note=<img src'x' onerror'broken'>{{7*7}}"
    learned = {"name": ALL, "about": ALL, "licence": ALL, "notes": [ALL], "key": ALL, "documents": 1, "rows": 1, "tokens": 9}
    return fabricate.Recipe(
        arms={name: fabricate.ARMS[name.partition(":")[0]] for name in ("none", arm, "low_lr")},
        seeds=(0,),
        tasks=tasks,
        failed=(("low_lr", 0),),
        error=f"{ALL} \x00 \ud800",
        prompts=(f"{ALL} \x00", "%{customdata}"),
        completion=f"{ALL} \x00",
        option=f"{ALL} \x00",
        plan={
            "command": f"harness run --output '/tmp/{ALL}'",
            "base": {"name": ALL, "digest": ALL, "parameters": 10},
            "sources": {"new": learned, "old": learned, ALL: learned},
            "suites": {f"{world} {suite}": ALL for world in worlds},
            "suite_notes": {f"{world} {suite}": ALL for world in worlds},
            "strategies": {"none": {f"1 {ALL}": {ALL: ALL, "code": ALL}}, arm: {ALL: [ALL]}},
            "notes": [ALL],
            "versions": {ALL: ALL},
        },
    )


@pytest.fixture(scope="session")
def evil(tmp_path_factory: pytest.TempPathFactory, fabricate: Any) -> Path:
    """The page of that run; its strategies tell and log bad strings too."""
    folder = fabricate.run_folder(tmp_path_factory.mktemp("runs") / "<b>evil", hostile(fabricate))
    for path in folder.glob("*/seed-*/result.json"):
        facts = json.loads(path.read_text())
        if facts["status"] == "done":
            path.write_text(json.dumps(facts | {"facts": {ALL: ALL, "distance": 0.1}}))
            log = path.with_name("training.jsonl")
            rows = [json.loads(line) | {f"strategy.{ALL}": 1.0} for line in log.read_text().splitlines()[:-1]]
            log.write_text("\n".join(map(json.dumps, rows)))
    return page.write(folder)


@pytest.fixture(scope="session")
def finished(run: Path) -> Path:
    """The page of the finished run."""
    return page.write(run)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium that logs its console and every request."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("Chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chromium
    chromium.quit()


@pytest.fixture
def requests(browser: Any) -> Any:
    """Addresses that were asked for since the last call."""

    def asked() -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    return asked
