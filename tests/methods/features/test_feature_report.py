import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from features_testing import small_network, write_set

from minicnn.data.picture_set import PictureSet
from minicnn.methods.features import page as features_page
from minicnn.methods.features import scan
from minicnn.methods.features.settings import DrawSettings
from minicnn.pictures.reader import load_image
from minicnn.pictures.writer import read_metadata

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def net():
    return small_network()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set.h5"
    return PictureSet(write_set(path, np.random.default_rng(1), 12, broken=(5,)))


@pytest.fixture(scope="module")
def features(net, pictures):
    layers = ["relu2", "both"]
    found = scan.begin(net, scan.settings_for(net, pictures, layers, top=4))
    scan.scan(found, net, pictures)
    found.names = {n: pictures.name(n) for n in range(12)}
    return found


@pytest.fixture(scope="module")
def folder(net, features, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    features_page.draw(features, net, pictures, folder, DrawSettings(patch=24))
    return folder


def data_of(page):
    text = page.read_text("utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_sheets_carry_their_settings(folder, features):
    sheets = sorted(p.name for p in (folder / "sheets").iterdir())
    assert sheets == ["both-01.png", "relu2-01.png"]
    told = read_metadata(folder / "sheets" / "relu2-01.png")
    assert told["layer"] == "relu2"
    assert told["units"] == [0, 1, 2, 4, 5, 6, 7, 8]  # 3 is dead
    assert told["dead"] == [3]
    first = told["activations"]["0"][0]
    assert first["value"] == features.layers["relu2"].value[0, 0]
    assert first["picture"] == features.names[features.layers["relu2"].picture[0, 0]]
    assert told["policy"]["overlap"] == "sum"
    assert told["pictures"] == 11
    assert set(told["scale"]) == {str(unit) for unit in told["units"]}


def test_the_page_knows_every_unit(folder, features):
    data = data_of(folder / "index.html")
    assert [layer["name"] for layer in data["layers"]] == ["relu2", "both"]
    units = data["layers"][0]["units"]
    records = features.layers["relu2"]
    assert [unit["unit"] for unit in units] == list(range(9))
    assert units[3]["hits"] == []
    for unit in units:
        held = [int(n) for n in records.picture[unit["unit"]] if n >= 0]
        assert [hit[0] for hit in unit["hits"]] == held
        assert unit["peak"] == records.value[unit["unit"], 0]
        assert sum(unit["counts"]) == 11
        assert all((folder / f"report/pictures/{n}.jpg").is_file() for n in held)
        assert (folder / f"report/relu2/{unit['unit']}.jpg").is_file() == bool(held)


def test_the_page_cuts_tiles_where_the_block_has_them(folder):
    layer = data_of(folder / "index.html")["layers"][0]
    block = load_image(folder / "report/relu2/0.jpg").pixels
    assert block.shape[1::-1] == tuple(layer["block"])
    (width, height), gap, columns = layer["tile"], layer["gap"], layer["columns"]
    square = columns * (width + gap) - gap
    assert layer["block"] == [2 * square + 3 * gap, columns * (height + gap) - gap]


def test_nothing_is_fetched_from_anywhere(folder):
    text = (folder / "index.html").read_text("utf-8")
    # the one address is the name of SVG's namespace, which nobody fetches
    assert re.findall(r"https?://[^\"']*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<(link|iframe)|<script[^>]*src=|@import|fetch\(|XMLHttp", text)


def test_names_cannot_end_the_script(folder):
    text = (folder / "index.html").read_text("utf-8")
    assert "<b>dog" not in text
    assert "val/1 <b>dog</b>" in data_of(folder / "index.html")["names"].values()
    evil = {"title": "</script><script>alert(1)</script>"}
    assert features_page.html(evil).count("</script>") == 2


def test_a_single_file_has_everything_inside(net, features, pictures, tmp_path):
    features_page.draw(features, net, pictures, tmp_path, DrawSettings(patch=24, single_file=True))
    assert not (tmp_path / "report").exists()
    files = data_of(tmp_path / "index.html")["files"]
    assert files["report/relu2/0.jpg"].startswith("data:image/jpeg;base64,/9j/")
    assert "report/pictures/0.jpg" in files


def test_the_same_scan_gives_the_same_bytes(net, features, pictures, folder, tmp_path):
    features_page.draw(features, net, pictures, tmp_path, DrawSettings(patch=24))
    for path in folder.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes()


def test_an_interrupted_drawing_goes_on_behind_the_sheets_that_are_there(
    net, features, pictures, folder, tmp_path, monkeypatch
):
    real, asked = features_page.projections, []

    def projections(*arguments, **options):
        asked.append(arguments[3])
        return real(*arguments, **options)

    def draw(patch=24):
        asked.clear()
        settings = DrawSettings(patch=patch, threads=1)  # not in a process, where none would count
        features_page.draw(features, net, pictures, tmp_path, settings, resume=True)
        for path in folder.rglob("*.*") if patch == 24 else ():
            assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes()
        return list(asked)

    monkeypatch.setattr(features_page, "projections", projections)
    assert draw() == ["relu2", "both"]
    assert draw() == []
    (tmp_path / "sheets" / "both-01.png").unlink()  # as if interrupted there
    assert draw() == ["both"]
    (tmp_path / "report" / "relu2" / "0.jpg").unlink()
    assert draw() == ["relu2"]
    shutil.copy(tmp_path / "report" / "relu2" / "0.jpg", tmp_path / "sheets" / "both-01.png")
    assert draw() == ["both"]
    assert draw(patch=30) == ["relu2", "both"]
    assert draw(patch=30) == []


def dom(page, hash_=""):
    """The page as a browser has it after its scripts have run."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]
    run = [browser, *options, "--dump-dom", f"{page.as_uri()}{hash_}"]
    return subprocess.run(run, capture_output=True, text=True, check=True, timeout=120).stdout


def shown(text):
    """The units of the cards, in order."""
    return [int(n) for n in re.findall(r'class="card" data-unit="(\d+)"', text)]


def test_a_browser_shows_all_units(folder):
    text = dom(folder / "index.html")
    assert shown(text) == list(range(9))
    assert "9 of 9 units shown, 1 of the layer dead" in text
    assert text.count('loading="lazy"') == 8
    assert re.search(r'class="dead"[^>]*>DEAD<', text)
    assert "<svg" in text


def test_a_browser_sorts_and_searches(folder, features):
    records = features.layers["relu2"]
    text = dom(folder / "index.html", "#layer=relu2&sort=peak&find=0-3,7")
    wanted = sorted([0, 1, 2, 3, 7], key=lambda unit: -records.value[unit, 0])
    assert shown(text) == wanted
    text = dom(folder / "index.html", "#layer=relu2&sort=sparse&find=dead")
    assert shown(text) == [3]


def test_a_browser_shows_the_pictures_of_a_unit(folder, features):
    text = dom(folder / "index.html", "#layer=both&unit=2")
    number = features.layers["both"].picture[2, 0]
    assert "both, unit 2" in text
    assert text.count('class="hit"') == 4
    assert f'src="report/pictures/{number}.jpg"' in text
    assert "val/" in text
    assert "<b>dog</b>" not in text  # a name is text


def test_a_browser_goes_from_unit_to_unit(folder, tmp_path):
    """Unit 3 is dead and has nothing to show, so the one behind 2 is 4."""
    press = "document.dispatchEvent(new KeyboardEvent('keydown', { key: '%s' }));"
    script = "<script>" + press % "ArrowRight" * 2 + press % "ArrowLeft" + "</script></body>"
    page = tmp_path / "index.html"
    page.write_text((folder / "index.html").read_text().replace("</body>", script))
    text = dom(page, "#layer=relu2&unit=2")
    assert "relu2, unit 4<" in text
    assert "<button>previous</button>" in text
    assert '<button disabled="">next</button>' in dom(folder / "index.html", "#find=7,8&unit=8")


def test_many_units_stay_quick(folder, tmp_path):
    data = data_of(folder / "index.html")
    unit = data["layers"][0]["units"][0]
    data["layers"][0]["units"] = [{**unit, "unit": i} for i in range(512)]
    page = tmp_path / "index.html"
    # what the script takes from its start to the last card, as the page itself measures it
    timed = features_page.html(data).replace(
        "</body>", "<script>document.title = `ready ${performance.now()}`</script></body>"
    )
    page.write_text(timed)
    text = dom(page)
    assert len(shown(text)) == 512
    assert text.count('loading="lazy"') == 512
    assert float(re.search(r"ready ([\d.]+)", text)[1]) < 10_000
