"""Sizes and times of one picture: Keras, SavedModel, TFLite and TensorFlow.js.

    python -m benchmarks.light --model=runs/demo

For each size of picture all formats take turns, so that what slows the machine
down slows all of them; told is each one's median. TensorFlow.js needs chromium,
chromedriver and what `oasis_tf.demo_page` needs; without them it is left out.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import flags

from oasis_tf import command_line
from oasis_tf import model_files
from oasis_tf.data.label_map import one_hot
from oasis_tf.exporters import page
from oasis_tf.exporters import sample_maps
from oasis_tf.exporters import tfjs
from oasis_tf.exporters import tflite
from oasis_tf.inference import networks

_MODEL = flags.DEFINE_string("model", "runs/demo", "Work directory of a run.")
_SIZES = flags.DEFINE_list("sizes", "64,128", "Heights, which are the widths.")
_ROUNDS = flags.DEFINE_integer("rounds", 30, "Pictures of each format.")

_PORT = 8699
_NUM_MAPS = 20


def main():
    workdir = pathlib.Path(_MODEL.value)
    config, info, _ = model_files.find_checkpoints(workdir)
    generator, _ = networks.averaged_generator(workdir)
    sizes = [(int(n), int(n)) for n in _SIZES.value]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        facts = generator, config, info
        rows = {}  # Of format -> (`_Format`, [seconds per picture by size])
        with _browser(folder, facts) as browser:
            for size in sizes:
                maps = sample_maps.read(
                    config, info, size, generator.size_multiple
                )[:_NUM_MAPS] or sample_maps.draw(size, info, _NUM_MAPS)
                formats = _formats(folder, workdir, facts, size, maps)
                if browser:
                    formats["TF.js float16, WASM"] = browser.prepare(maps[0])
                times = _take_turns(formats)
                for name, one in formats.items():
                    rows.setdefault(name, (one, []))[1].append(times[name])
    header = [f"{h} x {w}" for h, w in sizes]
    print("| Format | MB | PSNR | Levels |", *(f"{h} |" for h in header))
    print("| --- | --- | --- | --- |", *("--- |" for _ in header))
    for name, (one, medians) in rows.items():
        row = [f"{1000 * median:.1f} ms |" for median in medians]
        print(f"| {name} | {one.num_bytes / 1e6:.2f} | {one.told()} |", *row)


@dataclasses.dataclass
class _Format:
    """A model in a format.

    Args:
        num_bytes: of its files.
        draw: function that draws a picture; it may return its seconds.
        difference: `Difference` from the network, in the first size; or None.
    """

    num_bytes: int
    draw: object
    difference: object = None

    def told(self):
        if self.difference is None:
            return " |"
        return (
            f"{self.difference.psnr:.0f} dB | {self.difference.largest_level}"
        )


def _formats(folder, workdir, facts, size, maps):
    """Returns a dict of format -> `_Format`."""
    generator = facts[0]
    label_map = maps[0][None]
    z = np.random.default_rng(0).normal(size=[1, generator.noise_channels])
    z = z.astype(np.float32)
    compiled = tf.function(lambda *inputs: generator(*inputs))
    noise = np.tile(z[:, None, None], [1, *size, 1])

    def keras():
        semantic_map = one_hot(label_map, generator.semantic_channels)
        return compiled(noise, semantic_map).numpy()

    export = model_files.find_export(workdir)
    loaded = tf.saved_model.load(str(export))
    signature = loaded.signatures["synthesize_from_noise"]

    def saved_model():
        inputs = {"label_map": tf.constant(label_map), "z": tf.constant(z)}
        return signature(**inputs)["image"].numpy()

    weights = sum(4 * int(np.prod(v.shape)) for v in generator.variables)
    formats = {
        "Keras": _Format(weights, keras),
        "SavedModel": _Format(_num_bytes(export), saved_model),
    }
    for precision in tflite.PRECISIONS:
        path = folder / f"{precision}-{size[0]}.tflite"
        differences = tflite.export_generator(
            *facts, path, precision, size, maps, _quiet
        )
        model = tflite.Model(path.read_bytes(), num_threads=2)
        formats[f"TFLite {precision}"] = _Format(
            path.stat().st_size,
            lambda model=model: model.run(
                "synthesize", {"label_map": label_map, "z": z}
            ),
            differences["synthesize"],
        )
    return formats


class _Browser:
    """TensorFlow.js in Chromium, without a screen."""

    def __init__(self, folder, facts, stack):
        from selenium import webdriver

        generator, config, info = facts
        model, site = folder / "model", folder / "page"
        size = config.image_size
        maps = sample_maps.read(
            config, info, size, generator.size_multiple
        ) or sample_maps.draw(size, info, _NUM_MAPS)
        differences = tfjs.export_generator(
            *facts, model, "float16", maps, _quiet
        )
        [self._difference] = differences.values()
        self._num_bytes = _num_bytes(model)
        self._channels = generator.noise_channels
        page.build(site, model, maps, info)
        program = "from oasis_tf.exporters import page; page.serve("
        program += f"{str(site)!r}, '127.0.0.1', {_PORT})"
        server = subprocess.Popen([sys.executable, "-c", program])
        stack.callback(server.kill)
        time.sleep(10)  # TensorFlow's start.
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in ("headless", "no-sandbox", "disable-gpu"):
            options.add_argument(f"--{argument}")
        self._driver = webdriver.Chrome(
            options, webdriver.ChromeService(shutil.which("chromedriver"))
        )
        stack.callback(self._driver.quit)
        self._driver.set_script_timeout(600)
        self._driver.get(f"http://127.0.0.1:{_PORT}/style.css")
        self._run(
            "const { BrowserModel } = await import('/drawing.js');"
            "window.model = await BrowserModel.load('/model', 'wasm', () => 0);"
        )

    def _run(self, script, *arguments):
        result, error = self._driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"(async (...given) => {{ {script} }})(...arguments)"
            ".then((result) => done([result, null]),"
            " (error) => done([null, String(error)]));",
            *arguments,
        )
        if error:
            raise RuntimeError(error)
        return result

    def prepare(self, label_map):
        """Returns a `_Format` that draws a label map."""
        height, width = label_map.shape
        self._run(
            "const [labels, width, height, channels] = given;"
            "window.inputs = [{ width, height, labels }, {"
            "  placeMap: new Int32Array(width * height),"
            "  vectors: [new Float32Array(channels).fill(0.5)] }];",
            label_map.ravel().tolist(),
            *(width, height, self._channels),
        )

        def draw():
            result = self._run(
                "return (await window.model.draw(...window.inputs))"
                ".milliseconds;"
            )
            return float(result) / 1000

        return _Format(self._num_bytes, draw, self._difference)


@contextlib.contextmanager
def _browser(folder, facts):
    with contextlib.ExitStack() as stack:
        if not (shutil.which("chromium") and shutil.which("chromedriver")):
            print("No chromium and chromedriver: TF.js is left out.")
            yield None
        else:
            yield _Browser(folder, facts, stack)


def _take_turns(formats):
    """Returns the median seconds of a picture, by format."""
    times = {name: [] for name in formats}
    for i in range(_ROUNDS.value + 3):
        for name, one in formats.items():
            start = time.perf_counter()
            told = one.draw()
            seconds = time.perf_counter() - start
            if isinstance(told, float):
                seconds = told  # Without the way to the browser.
            if i >= 3:  # The first ones are slower.
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def _num_bytes(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def _quiet(line):
    del line


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
