"""The page in a real browser: Chromium, without a screen."""

import io
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from oasis_tf.data.image import to_uint8
from oasis_tf.data.label_map import one_hot
from oasis_tf.data.label_map import restore
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.data.toy_scenes import scenes
from oasis_tf.exporters import page
from oasis_tf.exporters.installed import InstallationError
from oasis_tf.models.noise import placed_noise
from tests import trained
from tests.serving import running
from tests.web import make_model

MODEL = make_model.FOLDER
INFO = Builder.INFO
WIDE = 64  # Of the first example: its ends do not see each other.
GRASS = INFO.class_names.index("grass")
SKY = INFO.class_names.index("sky")

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and shutil.which("npm")),
    reason="Needs chromium, chromedriver and npm.",
)


def label_map(height=16, width=WIDE):
    """Returns sky above, grass below."""
    labels = np.full([height, width], SKY, np.int32)
    labels[height // 2 :] = GRASS
    return labels


def build(folder):
    folder.mkdir()
    scene = scenes.draw_scene(0, 3, 16, 16)[1].astype(np.int32)
    try:
        page.build(folder, MODEL, [label_map(), scene], INFO)
    except InstallationError as error:
        if "needs its registry" not in str(error):
            raise
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("web") / "page")


@pytest.fixture(scope="module")
def address(folder):
    port = running.free_port()
    program = "import sys; from oasis_tf.exporters import page; "
    program += "page.serve(sys.argv[1], '127.0.0.1', int(sys.argv[2]))"
    server = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(port)],
        cwd=pathlib.Path(__file__).parents[2],
    )
    address = f"http://127.0.0.1:{port}"

    def answers():
        try:
            return urllib.request.urlopen(address).status == 200
        except urllib.error.URLError:
            return False

    try:
        running.wait_until(answers)
        yield address
    finally:
        server.kill()
        server.wait()


def start_browser(downloads, *more):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in """
        headless no-sandbox disable-quic no-first-run
        disable-background-networking disable-component-update disable-sync
        window-size=1100,1000
    """.split():
        options.add_argument(f"--{argument}")
    for argument in more:
        options.add_argument(f"--{argument}")
    options.add_experimental_option(
        "prefs", {"download.default_directory": str(downloads)}
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.downloads = downloads
    driver.set_script_timeout(running.PATIENCE)
    return driver


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("downloads"), "disable-gpu")
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def browser_with_gpu(tmp_path_factory):
    """With a GPU that is the processor's work."""
    driver = start_browser(
        tmp_path_factory.mktemp("downloads"),
        "ignore-gpu-blocklist",
        "enable-unsafe-swiftshader",
        "enable-unsafe-webgpu",
        "enable-features=Vulkan",
        "use-vulkan=swiftshader",
        "use-angle=swiftshader",
        "use-webgpu-adapter=swiftshader",
    )
    yield driver
    driver.quit()


class Page:
    """What a user does on the page and sees of it."""

    def __init__(self, browser, address, query="backend=wasm"):
        self.browser = browser
        browser.get_log("browser")  # Of what was open before.
        browser.get(f"{address}/?{query}")
        self.wait_for_picture(1)

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def num_drawn(self):
        return self.browser.execute_script(
            "return Number(document.body.dataset.drawn || 0)"
        )

    def wait_for_picture(self, number):
        def is_so():
            message = self.find("#message")
            is_progress = "progress" in message.get_attribute("class")
            assert is_progress or not message.text, message.text
            return self.num_drawn() >= number

        running.wait_until(is_so)

    def pixels(self, canvas):
        size, values = self.browser.execute_script(
            "const canvas = document.getElementById(arguments[0]);"
            "const [w, h] = [canvas.width, canvas.height];"
            "const { data } = canvas.getContext('2d').getImageData(0, 0, w, h);"
            "return [[h, w], Array.from(data)]",
            canvas,
        )
        return np.array(values, int).reshape([*size, 4])[..., :3]

    def labels(self):
        distances = np.abs(
            self.pixels("map")[:, :, None] - np.array(INFO.colors)
        ).sum(-1)
        assert not distances.min(-1).any()
        return distances.argmin(-1)

    def choose(self, name, value):
        self.find(f"input[name={name}][value='{value}'] + span").click()

    def press(self, *points):
        """Begins a stroke through pixels (x, y), and leaves it down."""
        height, width = self.pixels("map").shape[:2]
        canvas = self.find("#map")
        box = canvas.size
        actions = webdriver.ActionChains(self.browser, duration=20)
        for i, (x, y) in enumerate(points):
            actions.move_to_element_with_offset(
                canvas,
                round(((x + 0.5) / width - 0.5) * box["width"]),
                round(((y + 0.5) / height - 0.5) * box["height"]),
            )
            if i == 0:
                actions.click_and_hold()
        actions.perform()

    def release(self):
        webdriver.ActionChains(self.browser).release().perform()

    def stroke(self, *points):
        """Draws with the pointer through pixels (x, y) of the label map."""
        before = self.num_drawn()
        self.press(*points)
        self.release()
        self.wait_for_picture(before + 1)
        time.sleep(0.2)  # A stroke is drawn while it is made, too.

    def click(self, selector):
        before = self.num_drawn()
        self.find(selector).click()
        self.wait_for_picture(before + 1)

    def downloaded(self, selector, name):
        path = self.browser.downloads / name
        path.unlink(missing_ok=True)
        self.find(selector).click()
        running.wait_until(path.is_file)
        return np.array(Image.open(io.BytesIO(path.read_bytes())))

    def errors(self):
        return [
            entry
            for entry in self.browser.get_log("browser")
            if entry["level"] == "SEVERE"
        ]


@pytest.fixture
def shown(browser, address):
    page = Page(browser, address)
    yield page
    assert not page.errors()


def test_draws_what_the_network_draws(shown):
    # The page holds its first picture against the network's; see check.json.
    text = shown.find("#runtime").text
    assert "Drawn by wasm." in text
    assert "at most 0 of 255" in text or "at most 1 of 255" in text
    assert " ms" in shown.find("#status").text
    assert (shown.labels() == label_map()).all()
    assert shown.pixels("picture").shape == (16, WIDE, 3)
    assert shown.pixels("picture").std() > 10


class TestSameNoise:
    """Draws in the browser what Keras draws, with noise in three places."""

    SIZE = (16, 32)

    def inputs(self, network):
        rng = np.random.default_rng(5)
        z = np.float32(rng.normal(size=[1, 3, network.noise_channels]))
        labels = rng.integers(len(INFO.class_names), size=[1, *self.SIZE])
        return labels, z, rng.integers(3, size=[1, *self.SIZE])

    def drawn(self, browser, address, model, backend, network):
        """Returns the browser's picture."""
        labels, z, place_map = self.inputs(network)
        browser.get(f"{address}/style.css")  # Nothing runs there.
        answer = browser.execute_async_script(
            """
            const [address, folder, backend, size, labels, placeMap, vectors,
              done] = arguments;
            (async () => {
              const { BrowserModel } = await import(`${address}/drawing.js`);
              const model = await BrowserModel.load(
                `${address}/${folder}`, backend, () => {});
              const [height, width] = size;
              const { image } = await model.draw({ width, height, labels }, {
                placeMap: Int32Array.from(placeMap),
                vectors: vectors.map((vector) => Float32Array.from(vector)),
              });
              model.close();
              return { backend: model.backend, pixels: Array.from(image.data) };
            })().then(done, (error) => done({ error: error.message }));
            """,
            *(address, model, backend, self.SIZE, labels.ravel().tolist()),
            *(place_map.ravel().tolist(), z[0].tolist()),
        )
        error = answer.get("error", "")
        if "webgpu: this browser has none" in error:
            pytest.skip(error)
        assert not error
        assert answer["backend"] == backend
        return np.reshape(answer["pixels"], [*self.SIZE, 4])[..., :3]

    def difference(self, browser, address, model, backend):
        """Returns the largest difference, in levels."""
        network = make_model.make_generator()
        labels, z, place_map = self.inputs(network)
        semantic_map = one_hot(labels, network.semantic_channels)
        image = network(placed_noise(z, place_map), semantic_map)
        expected = to_uint8(image).numpy()[0].astype(int)
        assert expected.std() > 10
        picture = self.drawn(browser, address, model, backend, network)
        return np.abs(picture - expected).max()

    @pytest.mark.parametrize("backend", ["wasm", "webgl", "webgpu"])
    def test_in_every_back_end(self, browser_with_gpu, address, backend):
        assert self.difference(browser_with_gpu, address, "model", backend) <= 1

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("precision", "levels"), [("float32", 1), ("float16", 2)]
    )
    def test_converted_now(
        self, browser_with_gpu, address, folder, precision, levels
    ):
        """With the real converter, 3 GB that are installed once."""
        try:
            make_model.export(folder / precision, precision)
        except InstallationError as error:
            if "pip needs its package index" not in str(error):
                raise
            pytest.skip(str(error))
        for backend in "wasm", "webgl", "webgpu":
            difference = self.difference(
                browser_with_gpu, address, precision, backend
            )
            assert difference <= levels


def test_a_stroke_is_painted_and_drawn(shown):
    before = shown.pixels("picture")
    shown.choose("class", GRASS)
    shown.find("body").send_keys("]" * 4)  # From 2 to 6 pixels.
    assert shown.find("#size-shown").text == "6 px"
    shown.stroke((10, 3), (20, 3))
    labels = shown.labels()
    assert (labels[1:6, 10:21] == GRASS).all()
    assert (labels[3, 10:21] == GRASS).all()
    assert (labels[:, 40:] == label_map()[:, 40:]).all()
    picture = shown.pixels("picture")
    assert np.abs(picture - before)[:, 10:21].max() > 5
    assert (picture == before)[:, 50:].all()
    shown.click("#undo")
    assert (shown.labels() == label_map()).all()
    assert (shown.pixels("picture") == before).all()
    shown.click("#redo")
    assert (shown.labels() == labels).all()


def test_fill_is_of_a_region(shown):
    shown.choose("tool", "fill")
    shown.choose("class", GRASS)
    shown.stroke((5, 2))
    assert (shown.labels() == GRASS).all()


def test_new_look_inside_leaves_the_outside(shown):
    before = shown.pixels("picture")
    shown.choose("tool", "look-drawn")
    shown.stroke((2, 2), (2, 13), (6, 13), (6, 2))
    picture = shown.pixels("picture")
    assert (shown.labels() == label_map()).all()
    assert np.abs(picture - before)[:, 1:8].mean() > 1
    assert (picture == before)[:, 35:].all()
    # Back on the way to the look before.
    shown.browser.execute_script(
        "const share = document.getElementById('share'); share.value = 0;"
        "share.dispatchEvent(new Event('input'))"
    )
    running.wait_until(lambda: (shown.pixels("picture") == before).all())


def test_a_class_is_picked_from_the_map(shown):
    shown.choose("tool", "pick")
    before = shown.pixels("picture")
    canvas = shown.find("#map")
    webdriver.ActionChains(shown.browser).move_to_element_with_offset(
        canvas, 0, canvas.size["height"] // 4
    ).click().perform()
    checked = "return document.querySelector('input[name=%s]:checked').value"
    assert shown.browser.execute_script(checked % "class") == str(GRASS)
    assert shown.browser.execute_script(checked % "tool") == "brush"
    assert (shown.labels() == label_map()).all()
    assert (shown.pixels("picture") == before).all()


@pytest.mark.parametrize(
    ("tool", "point"), [("look-region", (5, 2)), ("look-class", (5, 14))]
)
def test_new_look_of_what_is_clicked(shown, tool, point):
    before = shown.pixels("picture")
    shown.choose("tool", tool)
    shown.stroke(point)
    assert np.abs(shown.pixels("picture") - before).mean() > 1
    assert (shown.labels() == label_map()).all()


def test_new_look_is_everywhere(shown):
    before = shown.pixels("picture")
    shown.click("#new-look")
    change = np.abs(shown.pixels("picture") - before)
    assert change[:, :16].mean() > 1 and change[:, -16:].mean() > 1


def test_works_by_keyboard(shown):
    shown.choose("class", GRASS)
    before = shown.num_drawn()
    canvas = shown.find("#map")
    canvas.send_keys(Keys.ARROW_UP, Keys.ARROW_UP, Keys.SPACE)
    shown.wait_for_picture(before + 1)
    assert shown.labels()[6, WIDE // 2] == GRASS
    assert (shown.labels() != label_map()).any()
    canvas.send_keys(Keys.CONTROL, "z")
    running.wait_until(lambda: (shown.labels() == label_map()).all())


@pytest.fixture
def phone(browser, address):
    """The page in a narrow window of something that is touched."""
    metrics = {"width": 360, "height": 740}
    metrics |= {"deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    touch = {"enabled": True, "maxTouchPoints": 2}
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", touch)
    page = Page(browser, address)
    yield page
    assert not page.errors()
    touch = {"enabled": False}
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", touch)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_works_by_touch_in_a_narrow_window(phone):
    def touch(kind, *points):
        phone.browser.execute_cdp_cmd(
            "Input.dispatchTouchEvent",
            {
                "type": kind,
                "touchPoints": [{"x": x, "y": y} for x, y in points],
            },
        )

    widths = "return [document.documentElement.scrollWidth, innerWidth]"
    content, window = phone.browser.execute_script(widths)
    assert content <= window == 360
    phone.choose("class", GRASS)
    box = phone.browser.execute_script(
        "const canvas = document.getElementById('map');"
        "canvas.scrollIntoView({ block: 'center' });"
        "return canvas.getBoundingClientRect().toJSON()"
    )
    before = phone.num_drawn()

    def place(x, y):
        """Returns where a pixel of the label map is."""
        return (
            box["left"] + (x + 0.5) / WIDE * box["width"],
            box["top"] + (y + 0.5) / 16 * box["height"],
        )

    scroll = phone.browser.execute_script("return scrollY")
    touch("touchStart", place(10, 3))
    for y in 4, 5, 6:
        touch("touchMove", place(10, y))
    touch("touchEnd")
    phone.wait_for_picture(before + 1)
    assert (phone.labels()[3:7, 10] == GRASS).all()
    # A second finger neither joins the stroke nor ends it.
    before = phone.labels()
    touch("touchStart", place(30, 3))
    touch("touchStart", place(30, 3), place(60, 3))
    touch("touchMove", place(31, 3), place(60, 4))
    touch("touchEnd")
    running.wait_until(lambda: (phone.labels() != before).any())
    assert (phone.labels()[:, 40:] == label_map()[:, 40:]).all()
    phone.click("#undo")
    # It painted instead of moving the page.
    assert phone.browser.execute_script("return scrollY") == scroll
    phone.click("#undo")
    assert (phone.labels() == label_map()).all()


class TestStrokeIsCutOff:
    """What happens while the pointer is down loses nothing."""

    def test_undo_forgets_the_stroke_alone(self, shown):
        shown.choose("class", GRASS)
        shown.stroke((40, 3), (44, 3))
        painted = shown.labels()
        shown.press((10, 3), (20, 3))
        shown.find("body").send_keys(Keys.CONTROL, "z")
        shown.release()
        assert (shown.labels() == painted).all()
        shown.click("#undo")
        assert (shown.labels() == label_map()).all()
        assert not shown.find("#undo").is_enabled()

    def test_new_look_ends_it(self, shown):
        shown.choose("class", GRASS)
        shown.press((10, 3), (20, 3))
        before = shown.num_drawn()
        shown.find("body").send_keys("n")
        shown.wait_for_picture(before + 1)
        shown.release()
        painted = shown.labels()
        assert (painted[3, 10:21] == GRASS).all()
        shown.click("#undo")
        assert (shown.labels() == painted).all()  # The look before.
        shown.click("#undo")
        assert (shown.labels() == label_map()).all()

    def test_tool_of_its_beginning_counts(self, shown):
        shown.choose("class", GRASS)
        shown.press((10, 3), (20, 3))
        shown.find("body").send_keys("l")
        shown.release()
        assert (shown.labels()[3, 10:21] == GRASS).all()
        shown.click("#undo")
        assert (shown.labels() == label_map()).all()


def test_slider_and_undo(shown):
    before = shown.pixels("picture")
    shown.click("#new-look")
    after = shown.pixels("picture")
    assert (after != before).any()
    shown.find("#share").send_keys(Keys.ARROW_LEFT * 50)
    running.wait_until(
        lambda: (
            (shown.pixels("picture") != after).any()
            and (shown.pixels("picture") != before).any()
        )
    )
    shown.find("#share").send_keys(Keys.CONTROL, "z")
    running.wait_until(lambda: (shown.pixels("picture") == before).all())
    shown.find("#redo").click()
    running.wait_until(lambda: (shown.pixels("picture") != before).any())


def test_held_keys_act_once(shown):
    shown.choose("class", GRASS)
    shown.choose("tool", "fill")
    repeated = "new KeyboardEvent('keydown', { key: ' ', repeat: true })"
    shown.find("#map").send_keys(Keys.ARROW_UP, Keys.SPACE)
    running.wait_until(lambda: (shown.labels() != label_map()).any())
    shown.browser.execute_script(
        "const map = document.getElementById('map');"
        f"for (let i = 0; i < 9; i++) map.dispatchEvent({repeated})"
    )
    shown.click("#undo")
    assert (shown.labels() == label_map()).all()
    assert not shown.find("#undo").is_enabled()


def test_what_is_saved_is_what_is_shown(shown):
    shown.choose("class", GRASS)
    shown.stroke((10, 3), (20, 3))
    saved = shown.downloaded("#save-map", "label_map.png")
    np.testing.assert_array_equal(saved, restore(shown.labels(), INFO))
    picture = shown.downloaded("#save-picture", "picture.png")
    np.testing.assert_array_equal(picture[..., :3], shown.pixels("picture"))


def small_png(labels, bits):
    """Returns a grey PNG file of few bits, which Pillow does not write."""
    rows = b"".join(
        b"\0" + np.packbits(row_bits).tobytes()
        for row_bits in [
            ((row[:, None] >> np.arange(bits)[::-1]) & 1).ravel()
            for row in labels
        ]
    )
    height, width = labels.shape

    def chunk(kind, body):
        body = kind + body
        ends = len(body) - 4, zlib.crc32(body)
        return struct.pack(">I", ends[0]) + body + struct.pack(">I", ends[1])

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["L", "P", "16 bits", "4 bits", "filters"])
def test_label_files_are_loaded(shown, tmp_path, kind):
    labels = scenes.draw_scene(0, 7, 16, 32)[1].astype(np.int32)
    file = tmp_path / "map.png"
    ids = restore(labels, INFO)
    if kind == "4 bits":
        file.write_bytes(small_png(ids, 4))
    else:
        image = Image.fromarray(np.uint8(ids))
        if kind == "P":
            image.putpalette([7, 8, 9] * 256)
        if kind == "16 bits":
            image = Image.fromarray(np.uint16(ids))
        image.save(file, optimize=kind == "filters")
    assert shown.labels().shape != labels.shape
    shown.find("#load").send_keys(str(file))
    running.wait_until(lambda: shown.labels().shape == labels.shape)
    assert (shown.labels() == labels).all()


def test_other_sizes_are_brought_to_one_that_fits(shown, tmp_path):
    file = tmp_path / "map.png"
    Image.fromarray(restore(label_map(22, 35), INFO)).save(file)
    shown.find("#load").send_keys(str(file))
    running.wait_until(lambda: shown.labels().shape == (22, 36))
    message = "map.png has 35 x 22 pixels: it was brought to 36 x 22."
    assert shown.find("#message").text == message


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full([16, 16], 250, np.uint8), "ids of toy_scenes. Received: 250"),
        (np.zeros([16, 16, 3], np.uint8), "with one channel or a palette"),
        (None, "must be a PNG file"),
    ],
)
def test_files_that_are_no_label_maps_are_told(shown, tmp_path, image, message):
    path = tmp_path / "wrong.png"
    if image is None:
        path.write_text("no image")
    else:
        Image.fromarray(image).save(path)
    shown.find("#load").send_keys(str(path))
    running.wait_until(lambda: message in shown.find("#message").text)
    assert (shown.labels() == label_map()).all()


class TestServer:
    """The page with a model server instead of the model in the browser."""

    @pytest.fixture(scope="class")
    def folder_of_run(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("run")
        trained.make_workdir(path / "run", generator=trained.calm_generator())
        return path

    def test_draws_and_resamples(self, browser, address, folder_of_run):
        arguments = "--workdir=run", "--rest_api_enable_cors_support"
        with running.process(folder_of_run, *arguments) as server:
            rest = f"http://127.0.0.1:{server.rest_port}"
            shown = Page(browser, address, f"server={rest}")
            assert f"Drawn by server {rest}." in shown.find("#runtime").text
            before = shown.pixels("picture")
            assert before.shape == (16, WIDE, 3) and before.std() > 10
            shown.choose("tool", "look-drawn")
            shown.stroke((2, 2), (2, 13))
            picture = shown.pixels("picture")
            assert (picture != before)[:, :8].any()
            assert (picture == before)[:, 35:].all()
            assert not shown.errors()


class TestTroubles:
    def message(self, browser, address, query="backend=wasm"):
        browser.get(f"{address}/?{query}")
        element = browser.find_element(By.ID, "message")

        def text():
            is_progress = "progress" in element.get_attribute("class")
            return element.text if not is_progress else ""

        text = running.wait_until(text) or element.text
        browser.get_log("browser")
        return text

    def test_missing_back_end_is_told(self, browser, address):
        text = self.message(browser, address, "backend=webgpu")
        assert "This browser cannot run the model. webgpu: " in text
        # Another one can be chosen.
        backends = Select(browser.find_element(By.ID, "backends"))
        backends.select_by_visible_text("wasm")
        running.wait_until(browser.find_element(By.ID, "app").is_displayed)

    def test_unknown_back_end_is_told(self, browser, address):
        text = self.message(browser, address, "backend=/../../other.js")
        assert "it must be one of webgpu, webgl, wasm" in text

    def test_other_back_end_keeps_what_is_painted(self, browser, address):
        page = Page(browser, address)
        page.choose("class", GRASS)
        page.stroke((10, 3), (20, 3))
        painted, picture = page.labels(), page.pixels("picture")
        backends = Select(page.find("#backends"))
        backends.select_by_visible_text("webgpu")
        told = page.find("#message")
        running.wait_until(lambda: "cannot run the model" in told.text)
        assert (page.labels() == painted).all()
        backends.select_by_visible_text("automatic")
        running.wait_until(
            lambda: "Not available" in page.find("#runtime").text
        )
        running.wait_until(lambda: not told.text)
        assert (page.labels() == painted).all()
        assert np.abs(page.pixels("picture") - picture).max() <= 1
        browser.get_log("browser")

    def test_wrong_example_is_told_and_the_page_is_there(
        self, browser, address, folder
    ):
        path = folder / "examples/1.png"
        content = path.read_bytes()
        path.write_bytes(content[:60])
        try:
            text = self.message(browser, address)
            assert "examples/1.png: The PNG file is cut off." in text
            assert browser.find_element(By.ID, "map").is_displayed()
        finally:
            path.write_bytes(content)

    def test_address_of_a_server_must_be_one(self, browser, address):
        text = self.message(browser, address, "server=127.0.0.1:8501")
        assert "must be given as http://host:8501" in text

    def test_page_from_a_file_is_told(self, browser, folder):
        browser.get(f"file://{folder}/index.html")
        text = browser.find_element(By.ID, "message").text
        assert "must come from a web server" in text
        browser.get_log("browser")

    def test_server_that_is_not_there_is_told(self, browser, address):
        server = f"http://127.0.0.1:{running.free_port()}"
        text = self.message(browser, address, f"server={server}")
        assert f"{server} does not answer this page" in text
        assert "--rest_api_enable_cors_support" in text

    @pytest.mark.parametrize(
        ("name", "damage", "message"),
        [
            ("group1-shard1of1.bin", lambda b: b[:-9], "bytes. Received: "),
            (
                "group1-shard1of1.bin",
                lambda b: b[:-1] + bytes([b[-1] ^ 1]),
                "is not what was exported",
            ),
            ("model.json", lambda b: b[:1000], "bytes. Received: 1000"),
            ("oasis.json", lambda b: b[:1000], "must be JSON"),
            ("oasis.json", None, "must be there. Received: HTTP 404"),
        ],
    )
    def test_broken_model_is_told(
        self, browser, address, folder, name, damage, message
    ):
        path = folder / "model" / name
        content = path.read_bytes()
        path.unlink()
        try:
            if damage:
                path.write_bytes(damage(content))
            text = self.message(browser, address)
            assert message in text and name in text
        finally:
            path.write_bytes(content)


def test_what_threads_need_is_told_to_the_browser(address):
    headers = urllib.request.urlopen(address).headers
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_page_is_built_anew_over_an_old_one(folder):
    scene = scenes.draw_scene(0, 3, 16, 16)[1].astype(np.int32)
    page.build(folder, MODEL, [label_map(), scene], INFO)
    facts = json.loads((folder / "page.json").read_text())
    assert facts["examples"] == ["examples/1.png", "examples/2.png"]
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
