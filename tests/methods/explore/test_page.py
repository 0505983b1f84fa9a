"""The page of `explore` in a real browser without a window; skipped where there is none."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from explore_testing import HOSTILE, png, served, tiny, wide

selenium = pytest.importorskip("selenium", reason="no selenium here: pip install selenium")

from selenium import webdriver  # noqa: E402
from selenium.common.exceptions import StaleElementReferenceException  # noqa: E402
from selenium.webdriver import ActionChains  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
DROP = """
const [text, name] = arguments;
const data = new DataTransfer();
const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
data.items.add(new File([bytes], name, {type: "image/png"}));
document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
"""  # noqa: E501


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    browser.downloads = downloads
    yield browser
    browser.quit()


@pytest.fixture(autouse=True)
def silence(browser):
    """No test leaves an error in the browser's console; a killed server's are its own."""
    browser.set_window_size(1300, 1000)
    yield
    said = [entry["message"] for entry in browser.get_log("browser")]
    assert not [line for line in said if "ERR_CONNECTION" not in line and "400" not in line]


def until(found, seconds=20):
    """Return what `found()` gives as soon as that is true; what is replaced is looked at again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(StaleElementReferenceException, IndexError):
            if value := found():
                return value
        time.sleep(0.02)
    raise AssertionError("it does not come")


class Page:
    """The page of a server, loaded."""

    def __init__(self, browser, server, address=""):
        self.browser = browser
        browser.get(server.url + address)
        until(self.settled)

    def click(self, selector, number=0):
        """Click one of the elements as soon as there are so many."""
        until(lambda: self.all(selector)[number].click() is None)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.all(selector)[0]

    def text(self, selector):
        return self.one(selector).get_attribute("textContent")

    def settled(self):
        """Whether the views of the unit that is told are there."""
        views = self.all(".views figure:last-child figcaption")
        return views and all(view.text for view in views)

    def who(self):
        return [head.get_attribute("textContent") for head in self.all(".who")]

    def press(self, key):
        """Press a key where the focus is."""
        ActionChains(self.browser).send_keys(key).perform()

    def key(self, *keys):
        """Press keys, each of which leads elsewhere."""
        for key in keys:
            before = self.who()
            self.press(key)
            until(lambda before=before: self.who() != before)

    def point(self, selector):
        """Click a little below and to the right of the middle."""
        node = self.one(selector)
        ActionChains(self.browser).move_to_element_with_offset(node, 6, 6).click().perform()

    def drop(self, data, name):
        self.browser.execute_script(DROP, base64.b64encode(data).decode(), name)


@pytest.fixture
def page(browser):
    with served(tiny()) as server:
        yield Page(browser, server)


def test_a_dropped_picture_is_looked_at(page, rng):
    before = page.one(".seen img").get_attribute("src")
    page.drop(png(np.random.default_rng(7)), "dropped.png")
    until(lambda: "dropped.png, 30 x 20" in page.text("#name"))
    until(lambda: page.one(".seen img").get_attribute("src") != before)


def test_what_is_no_picture_is_a_line(page):
    page.drop(b"no picture", HOSTILE)
    line = until(lambda: page.text("#line"))
    assert "not a picture" in line
    assert "\n" not in line
    assert "first.png" in page.text("#name")  # that one is shown still
    page.click(".units button", 1)
    until(lambda: not page.one("#line").is_displayed())


def test_a_layer_a_unit_a_position_are_clicked(page):
    page.click(".layers button", 3)
    until(lambda: page.who()[0].startswith("conv2 unit"))
    until(lambda: len(page.all(".units button")) == 6)
    page.click(".units button", 4)
    until(lambda: page.who()[0].startswith("conv2 unit 4: "))
    page.point(".map")
    until(lambda: "at row 3, column 3" in page.who()[0])
    page.click(".units button", 4)
    page.point(".seen")
    until(lambda: page.text(".field") == "sees rows 3 to 10, columns 3 to 10")
    views = [image.get_attribute("src") for image in page.all(".views img")]
    assert len(set(views)) == 5


def test_a_class_is_shown_by_grad_cam(page):
    plain = page.one(".seen img").get_attribute("src")
    page.click(".classes button", 1)
    until(lambda: page.text(".note").startswith("Grad-CAM of "))
    assert page.one(".seen img").get_attribute("src") != plain
    page.one(".find input").send_keys("goldf\n")
    until(lambda: "Grad-CAM of goldfish (0)" in page.text(".note"))
    page.one(".find input").clear()
    page.one(".find input").send_keys("whale\n")
    assert "no class is called 'whale'" in until(lambda: page.text("#line"))
    page.one(".plain").click()
    until(lambda: page.one(".seen img").get_attribute("src") == plain)


def test_keys_walk_through_units_and_layers(page):
    page.key("n", "n")  # from relu2 to the scores and the probabilities
    page.key("p", "p")
    page.click(".units button", 0)
    until(lambda: page.who()[0].startswith("relu2 unit 0"))
    page.key(Keys.ARROW_RIGHT, "l", "h")
    assert page.who()[0].startswith("relu2 unit 1")
    chosen = page.browser.switch_to.active_element
    assert "unit 1" in chosen.get_attribute("aria-label")  # the focus goes along, and is seen
    page.point(".map")
    until(lambda: "at row 3, column 3" in page.who()[0])
    page.key("K", "H")
    assert "at row 2, column 2" in page.who()[0]
    page.press("?")
    assert "the next layer" in page.text("#keys")
    page.one("#keys button").click()
    box = page.one(".patch .inner").get_attribute("style")
    page.press("z")
    assert page.one(".patch .inner").get_attribute("style") != box
    page.one(".find input").send_keys("nnn")  # typing walks nowhere
    assert page.who()[0].startswith("relu2 unit 1")


def test_the_place_outlives_loading_again(page):
    page.click(".layers button", 1)
    until(lambda: page.who()[0].startswith("relu1 unit"))
    page.click(".units button", 2)
    until(lambda: page.who()[0].startswith("relu1 unit 2"))
    page.browser.refresh()
    until(page.settled)
    assert page.who()[0].startswith("relu1 unit 2")


def test_two_networks_go_together_where_their_layers_are_the_same(browser):
    with served(tiny(), tiny(names=None)) as server:
        page = Page(browser, server)
        page.click(".units button", 2)
        until(lambda: all(" unit 2: " in head for head in page.who()))
        assert len(page.all(".unit")) == 2
        until(lambda: len({unit.text for unit in page.all(".unit")}) == 1)  # projections come later
    with served(tiny(), wide()) as server:
        page = Page(browser, server)
        page.click(".units button", 2)
        until(lambda: " unit 2: " in page.who()[0])
        assert len(page.who()) == 2


def test_a_narrow_window_cuts_nothing_off(page):
    page.browser.set_window_size(500, 900)
    wide, shown = page.browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= shown


def test_ten_thousand_units_are_turned_by_pages(browser):
    with served(wide()) as server:
        page = Page(browser, server)
        page.click(".layers button", 3)
        until(lambda: "relu2: 10000 units" in page.text(".where"))
        assert len(page.all(".units button")) == 256
        pages = page.text(".pages output")  # that of the unit that fires most
        number = int(pages.split()[1])
        page.click(".units button", -1)
        until(lambda: f"relu2 unit {256 * number - 1}:" in page.who()[0])
        page.key("l")  # onto the next page
        assert f"relu2 unit {256 * number}:" in page.who()[0]
        assert page.text(".pages output") == f"page {number + 1} of 40"


def test_hostile_names_are_text_on_the_page(browser):
    with served(wide()) as server:
        page = Page(browser, server)
        page.drop(png(np.random.default_rng(5)), HOSTILE)
        until(lambda: "script" in page.text("#name"))
        assert len(page.all("main script, header script")) == 0
        until(lambda: "<b>bold</b>" in [row.text for row in page.all(".classes b")])
        page.click(".classes button", 0)
        until(lambda: "Grad-CAM" in page.text(".note"))
        assert not page.all(".classes b b")


def test_two_tabs_keep_their_own_places(browser):
    with served(tiny()) as server:
        page = Page(browser, server)
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        other = Page(browser, server)
        other.drop(png(np.random.default_rng(8)), "second.png")
        until(lambda: "second.png" in other.text("#name"))
        browser.switch_to.window(first)
        page.click(".units button", 3)
        until(lambda: " unit 3: " in page.who()[0])
        assert "first.png" in page.text("#name")
        browser.switch_to.window(browser.window_handles[1])
        assert "second.png" in other.text("#name")
        browser.close()
        browser.switch_to.window(first)


def test_a_killed_server_is_told(browser, tmp_path):
    command = [sys.executable, "-m", "minicnn", "explore", "random:minialexnet", "--json"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}  # a killed server leaves its folder
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=env) as process:
        url = json.loads(process.stdout.readline())["url"]
        page = Page(browser, SimpleNamespace(url=url))
        assert not page.one("#gone").is_displayed()
        process.kill()
    page.click(".units button", 1)
    until(lambda: page.one("#gone").is_displayed())
    assert "Start minicnn explore again" in page.text("#gone")


def made(page, verb, **values):
    """Fill the form, and start."""
    if not page.one("#maker").is_displayed():
        page.one("#make").click()
    page.one(f"#verb option[value={verb}]").click()
    for name, value in values.items():
        field = page.one(f"#fields [name={name}]")
        field.clear()
        field.send_keys(value)
    page.one("#start").click()


def test_a_texture_is_made_stopped_and_saved(browser, rng):
    with served(tiny(), picture=png(rng, (64, 64))) as server:
        stopped_and_saved(Page(browser, server))


def stopped_and_saved(page):
    made(page, "texture", width="40", iterations="100000")
    until(lambda: "iteration 2" in page.text("#told"))
    assert not page.one("#start").is_enabled()
    page.click(".units button", 1)  # looking goes on meanwhile
    until(lambda: " unit 1: " in page.who()[0])
    page.browser.refresh()  # it is followed still
    until(lambda: "iteration" in page.text("#told"))
    page.one("#stop").click()
    until(lambda: page.one("#save").is_displayed())
    assert "interrupted" in page.text("#told")
    assert page.one("#made").get_attribute("src").startswith("data:image/png")
    page.one("#save").click()
    file = until(lambda: list(page.browser.downloads.glob("*.png")))[0]
    from minicnn.pictures.writer import read_metadata

    told = read_metadata(file)
    assert (told["verb"], told["settings"]["sources"]) == ("texture", ["first.png"])


def test_a_style_is_painted(browser, rng, tmp_path):
    (tmp_path / "style.png").write_bytes(png(np.random.default_rng(4), (64, 64)))
    with served(tiny(), picture=png(rng, (64, 64))) as server:
        page = Page(browser, server)
        page.one("#make").click()
        browser.execute_script("HTMLInputElement.prototype.click = () => {}")  # opens no window
        page.one("#style").click()
        page.one("#file").send_keys(str(tmp_path / "style.png"))
        until(lambda: page.one("#stylepicture").is_displayed())
        made(page, "style", iterations="2", size="48")
        until(lambda: "all 2 iterations are done" in page.text("#told"))
        assert page.one("#losses polyline").get_attribute("points").count(",") == 2
        assert page.one("#save").is_displayed()


def test_a_style_needs_its_picture(page):
    made(page, "style", iterations="2", size="32")
    assert "choose a style picture first" in until(lambda: page.text("#line"))
    made(page, "texture", width="wide")
    assert "width = 'wide'" in until(lambda: "width" in page.text("#line") and page.text("#line"))
