"""The page in a real browser: draw, drop, slide, undo, download, keyboard, narrow window."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import psutil
import pytest
from foreign_masks import hand
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from canet.core.console import REPOSITORY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
expect.set_options(timeout=30_000)


@dataclass(frozen=True)
class Served:
    """The page as a process."""

    process: subprocess.Popen
    url: str
    temporary: Path

    def files(self) -> list[Path]:
        """All that it keeps."""
        return [path for path in self.temporary.rglob("*") if path.is_file()]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    temporary = tmp_path_factory.mktemp("temporary")
    process = subprocess.Popen(
        [sys.executable, "src/app.py", "--no-browser", "--port", str(free_port())],
        cwd=REPOSITORY,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    said = ""
    while not (found := re.search(r"http://\S+", said)):
        line = process.stdout.readline()
        assert line, f"ended after saying {said}"
        said += line
    yield Served(process, found.group(), temporary)
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, served) -> Iterator[Page]:
    """The page with its first example, in a context of its own; nothing is asked of others."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page, asked, faults = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(served.url)
    expect(page.locator("#said")).to_contain_text("branches")
    yield page
    context.close()
    elsewhere = [url for url in asked if not url.startswith((served.url, "data:", "blob:"))]
    assert (elsewhere, faults) == ([], [])


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def said(page: Page):
    return page.locator("#said")


def stroke(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw from one place of the canvas to another, in shares of its sides."""
    box = page.locator("canvas").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=5)
    page.mouse.up()


def png(mask: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(mask * np.uint8(255)).save(content, "PNG")
    return content.getvalue()


def upload(page: Page, name: str, content: bytes) -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    page.set_input_files("#canvas input[type=file]", file)


def clear(page: Page) -> None:
    button(page, "clear").click()
    expect(said(page)).to_contain_text("Nothing is inside.")


def test_what_is_drawn_gets_its_skeleton_and_can_be_undone(page):
    clear(page)
    stroke(page, (0.2, 0.5), (0.8, 0.5))
    expect(said(page)).to_contain_text("1 branch, 2 ends, 0 junctions")
    stroke(page, (0.5, 0.2), (0.5, 0.8))
    expect(said(page)).to_contain_text("4 branches, 4 ends, 1 junction")
    button(page, "undo").click()
    expect(said(page)).to_contain_text("1 branch, 2 ends, 0 junctions")
    page.keyboard.press("Control+z")
    expect(said(page)).to_contain_text("Nothing is inside.")
    page.keyboard.press("Control+y")
    expect(said(page)).to_contain_text("1 branch, 2 ends, 0 junctions")
    button(page, "redo").click()
    expect(said(page)).to_contain_text("4 branches, 4 ends, 1 junction")
    expect(button(page, "redo")).to_be_disabled()


def test_what_is_erased_or_inverted_is_seen(page):
    clear(page)
    stroke(page, (0.2, 0.5), (0.8, 0.5))
    expect(said(page)).to_contain_text("1 branch, 2 ends")
    button(page, "erase").click()
    stroke(page, (0.5, 0.3), (0.5, 0.7))
    expect(said(page)).to_contain_text("2 branches, 4 ends")
    button(page, "invert").click()
    expect(said(page)).to_contain_text("2 rings")


def test_a_dropped_file_is_drawn_on_and_undone(page):
    content = png(hand(200)).hex()
    page.evaluate(
        """(hex) => {
            const bytes = Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "hand.png"));
            const event = new DragEvent("drop", { dataTransfer: data, bubbles: true });
            document.querySelector("canvas").dispatchEvent(event);
        }""",
        content,
    )
    expect(page.locator("#view svg")).to_have_attribute("viewBox", "0 0 200 200")
    expect(page.locator("canvas")).to_have_js_property("width", 200)
    before = said(page).inner_text()
    stroke(page, (0.1, 0.1), (0.9, 0.1))
    expect(said(page)).not_to_have_text(before)
    button(page, "undo").click()
    expect(said(page)).to_contain_text(before.strip())
    button(page, "undo").click()
    expect(page.locator("#view svg")).to_have_attribute("viewBox", "0 0 256 256")


def test_the_last_of_several_changes_is_what_is_seen_and_downloaded(page):
    upload(page, "noise.png", png(np.random.default_rng(0).random((150, 150)) < 0.5))
    expect(page.locator("canvas")).to_have_js_property("width", 150)
    for name in ("clear", "undo", "invert", "ray", "key"):  # while that is in work
        button(page, name).click()
    expect(page.locator("#view svg")).to_have_attribute("viewBox", "0 0 256 256")
    expect(said(page)).to_contain_text("1 ring")
    page.wait_for_timeout(3000)
    expect(page.locator("#view svg")).to_have_attribute("viewBox", "0 0 256 256")
    expect(said(page)).to_contain_text("1 ring")
    with page.expect_download() as download:
        button(page, "CSV").click()
    rows = page.locator("#branches tbody tr").count()
    assert len(pd.read_csv(download.value.path())) == rows > 2


def test_the_last_of_two_files_is_what_is_opened(page):
    upload(page, "large.png", png(hand(1400)))
    upload(page, "small.png", png(hand(100)))
    expect(page.locator("#view svg")).to_have_attribute("viewBox", "0 0 100 100")
    page.wait_for_timeout(3000)
    expect(page.locator("canvas")).to_have_js_property("width", 100)


def test_grey_levels_are_told_with_the_file(page):
    levels = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    content = io.BytesIO()
    Image.fromarray(levels).save(content, "TIFF")
    upload(page, "scan.tiff", content.getvalue())
    expect(said(page)).to_contain_text("scan.tiff: 256 grey levels: cut at 127.5")
    expect(page.locator("#view svg")).to_have_attribute("viewBox", "0 0 256 64")
    button(page, "tree").click()
    expect(said(page)).not_to_contain_text("scan.tiff")
    button(page, "undo").click()
    expect(said(page)).to_contain_text("scan.tiff: 256 grey levels")  # it is of that drawing


def test_what_is_no_file_is_told_and_a_file_that_is_being_read_goes_on(page):
    drop = """(text) => {
        const data = new DataTransfer();
        data.setData("text/plain", text);
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    page.evaluate(drop, "words")
    expect(page.get_by_role("alert")).to_contain_text("what was dropped is no file")
    button(page, "hand").click()  # the one that is there
    expect(page.get_by_role("alert")).to_have_count(0)
    upload(page, "large.png", png(hand(1400)))
    page.evaluate(drop, "words")
    expect(page.locator("canvas")).to_have_js_property("width", 1400)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_keys_undo_and_redo_whatever_the_capitals(page):
    clear(page)
    for key, words in (("Z", "branches"), ("y", "Nothing is inside."), ("z", "branches")):
        page.evaluate(
            """(key) => document.body.dispatchEvent(
                new KeyboardEvent("keydown", { key, ctrlKey: true, bubbles: true }))""",
            key,
        )
        expect(said(page)).to_contain_text(words)
    page.keyboard.press("Control+Shift+z")
    expect(said(page)).to_contain_text("Nothing is inside.")


def test_a_stroke_ends_where_the_pointer_is_taken_away(page):
    clear(page)
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 60, steps=5)
    page.evaluate("document.querySelector('canvas').releasePointerCapture(1)")
    page.mouse.move(box["x"] + 210, box["y"] + 60)  # when it is noticed
    expect(said(page)).to_contain_text("1 branch, 2 ends")
    expect(button(page, "undo")).to_be_enabled()
    button(page, "clear").click()
    expect(said(page)).to_contain_text("Nothing is inside.")


def test_an_emptied_box_is_no_fault_of_the_page(page):
    box = page.get_by_role("spinbutton", name="Tolerance")
    box.fill("")
    expect(said(page)).to_contain_text("branches")
    before = said(page).inner_text()
    box.fill("9")
    expect(said(page)).not_to_have_text(before)
    box.fill("15")  # on the way to 1.5
    page.wait_for_timeout(1000)
    expect(page.locator(".toast-body.error")).to_have_count(0)
    box.fill("1.5")
    expect(said(page)).to_contain_text("branches")


def test_downloads_are_never_those_of_before(page):
    with page.expect_download() as download:
        button(page, "CSV").click()
    assert page.request.get(download.value.url).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", b"hello", "notes.txt: is none of png, jpg"),
        ("photo.png", b"hello", "photo.png: is not a PNG that can be read"),
        ("cut.png", png(hand(64))[:150], "cut.png: is damaged"),
    ],
)
def test_a_file_that_is_no_image_is_told_and_the_page_goes_on(page, served, name, content, words):
    upload(page, name, content)
    expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    assert not [path for path in served.files() if path.name.startswith("file")]
    button(page, "key").click()
    expect(said(page)).to_contain_text("1 ring")
    expect(page.get_by_role("alert").filter(has_text=words)).to_have_count(0)


def test_a_higher_tolerance_leaves_a_shorter_skeleton(page):
    lengths = []
    slider = page.get_by_role("slider", name="Tolerance").last
    for key in ("Home", "End"):
        before = said(page).inner_text().strip()
        slider.press(key)
        expect(said(page)).not_to_contain_text(before)
        lengths.append(float(re.search(r"length ([\d.]+)", said(page).inner_text())[1]))
    assert lengths[1] < 0.8 * lengths[0]


@pytest.mark.parametrize("method", ["CANet", "medial_axis", "scikit-image: thin"])
def test_every_method_draws(page, method):
    before = page.locator("#view").inner_html()
    page.get_by_label("Method").click()
    page.get_by_role("option", name=method).click()
    expect(said(page)).to_contain_text("branch")
    page.wait_for_function(
        "before => document.querySelector('#view').innerHTML !== before", arg=before
    )
    expect(page.get_by_role("alert")).to_have_count(0)


def test_circles_are_shown_and_hidden(page):
    circles = page.locator("#view #radii circle")
    expect(circles.first).to_be_attached()
    page.get_by_role("checkbox", name="Radii").uncheck()
    expect(circles).to_have_count(0)


READERS = {
    "PNG": ("skeleton.png", lambda path: np.array(Image.open(path)).any()),
    "SVG": ("skeleton.svg", lambda path: "<path" in path.read_text()),
    "CSV": ("branches.csv", lambda path: "branch-distance" in pd.read_csv(path)),
    "CSV, nodes": ("nodes.csv", lambda path: "kind" in pd.read_csv(path)),
    "GraphML": ("skeleton.graphml", lambda path: len(nx.read_graphml(path))),
    "GeoJSON": ("skeleton.geojson", lambda path: json.loads(path.read_text())["features"]),
}


def test_downloads_are_of_what_is_seen(page):
    button(page, "key").click()
    expect(said(page)).to_contain_text("1 ring")
    rows = page.locator("#branches tbody tr").count()
    for name, (file, read) in READERS.items():
        expect(button(page, name)).to_be_enabled()
        with page.expect_download() as download:
            button(page, name).click()
        assert download.value.suggested_filename == file
        assert read(Path(download.value.path()))
        if name == "CSV":
            assert len(pd.read_csv(download.value.path())) == rows
    clear(page)
    expect(button(page, "PNG")).to_be_enabled()  # an empty mask has an empty skeleton


def test_nothing_is_wider_than_a_telephone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    stroke(page, (0.1, 0.1), (0.9, 0.1))
    expect(button(page, "undo")).to_be_enabled()


def test_the_keyboard_is_enough(page):
    def tab_to(wanted: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({json.dumps(wanted)})"):
                return
        raise AssertionError(f"{wanted} is not reached")

    choosers = []  # listened for from the start, since that takes effect a moment later
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    tab_to("input[type=range][aria-label*=Tolerance]")
    before = said(page).inner_text()
    page.keyboard.press("End")
    expect(said(page)).not_to_have_text(before)
    tab_to("[data-do=clear]")
    page.keyboard.press("Enter")
    expect(said(page)).to_contain_text("Nothing is inside.")
    page.evaluate("document.activeElement.blur()")
    tab_to("#key")
    page.keyboard.press("Enter")
    expect(said(page)).to_contain_text("1 ring")
    page.evaluate("document.activeElement.blur()")
    tab_to("[data-do=open]")
    page.keyboard.press("Enter")
    for _ in range(200):
        page.wait_for_timeout(50)
        if choosers:
            break
    assert choosers
    tab_to("#download-svg")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "skeleton.svg"


def test_it_listens_to_this_machine_alone_and_forbids_what_comes_from_elsewhere(page, served):
    listening = psutil.Process(served.process.pid).net_connections("inet")
    assert {c.laddr.ip for c in listening if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    policy = page.request.get(served.url).headers["content-security-policy"]
    assert policy.startswith("default-src 'self';") and "http" not in policy


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Length": str(2**30)}, 413),
    ],
)
def test_other_sites_and_endless_requests_are_refused(served, headers, status):
    host = served.url.removeprefix("http://").rstrip("/")
    connection = HTTPConnection(host, timeout=30)
    connection.putrequest("GET", "/", skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_a_server_that_has_ended_is_told(page):
    page.route("**/component_server*", lambda route: route.abort())
    page.route("**/component_server/**", lambda route: route.abort())
    upload(page, "a.png", png(hand(64)))
    expect(page.get_by_role("alert")).to_contain_text("a.png: was not answered; does the server")


def test_a_file_beyond_the_limit_is_refused(page, tmp_path):
    with (tmp_path / "large.npy").open("wb") as file:
        file.truncate(65 * 2**20)
    page.set_input_files("#canvas input[type=file]", tmp_path / "large.npy")
    expect(page.get_by_role("alert")).to_contain_text("large.npy: is of 65 MB; at most 64 are read")
    button(page, "key").click()
    expect(said(page)).to_contain_text("1 ring")


def test_what_was_uploaded_and_made_is_gone_when_it_ends(browser, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "src/app.py", "--no-browser", "--port", str(free_port())],
        cwd=REPOSITORY,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = [process.stdout.readline() for _ in range(3)]
    page = browser.new_page()
    page.goto(re.search(r"http://\S+", said[-1]).group())
    expect(button(page, "PNG")).to_be_enabled()
    assert any(tmp_path.rglob("skeleton.png"))
    process.send_signal(signal.SIGHUP)  # as when the terminal is closed
    _, errors = process.communicate(timeout=30)
    page.close()
    assert (process.returncode, errors) == (0, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("port", ["0", "-5", "99999"])
def test_a_port_that_is_none_is_said_in_one_line(port):
    words = [sys.executable, "src/app.py", f"--port={port}"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == f"error: --port {port}: expected 1 to 65535\n"


def test_a_port_that_is_taken_is_said_in_one_line(served):
    port = served.url.rstrip("/").rpartition(":")[2]
    words = [sys.executable, "src/app.py", "--no-browser", "--port", port]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: --port {port}: ") and done.stderr.count("\n") == 1
