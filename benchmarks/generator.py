"""Time and memory of a picture: fast, dense, and in plain PyTorch.

    python -m benchmarks.generator
    python -m benchmarks.generator --label_maps=FOLDER --sizes=256 --pytorch
    python -m benchmarks.generator --classes=35,151,183 --regions=100 \
        --batches=1,8 --sizes=128

Dense is SPADE at every pixel, with direct convolutions; "Pieces" is SPADE at
each distinct neighbourhood; "Fast" has Winograd's convolutions besides, as what
is exported. All have the same weights and as many threads, and take turns, so
that what slows the machine down slows all; told are medians, and medians of the
turns' ratios to the fast form. Maps are drawn: from one region to a label for
every pixel, the worst case; or they are those of `--label_maps`. Memory is by
how much a picture's peak is above what the process had before it. "Limit" is
the fast form's time at least: its arithmetic (see `benchmarks/costs.py`) at the
rate that a product of large matrices has in the same turns. Writes the table to
stdout, and a plot to `--plot`.

A network that was not trained draws no less: its kernels are spread until what
it draws varies; or take the averaged generator of a run, `--workdir`.
"""

import contextlib
import dataclasses
import pathlib
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import flags
from matplotlib import figure

from benchmarks import costs
from benchmarks import label_maps
from benchmarks import peak_memory
from benchmarks.pytorch_process import PyTorchProcess
from benchmarks.pytorch_process import num_processors
from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf.data.label_map import one_hot
from oasis_tf.inference import networks
from oasis_tf.models.generator import build_generator
from oasis_tf.models.inference_form import inference_form
from oasis_tf.models.noise import global_noise
from oasis_tf.models.noise import sample_z
from oasis_tf.models.piecewise import Neighbourhoods
from oasis_tf.models.piecewise import Pieces

_DATASET = flags.DEFINE_string(
    "dataset", "coco_stuff", "Experiment in configs/, for the widths."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "", "Run whose averaged generator is taken instead."
)
_SIZES = flags.DEFINE_list("sizes", "128,256,512", "Heights, also widths.")
_CLASSES = flags.DEFINE_list("classes", "183", "Numbers of classes, S.")
_REGIONS = flags.DEFINE_list(
    "regions", "1,10,100,1000,0", "In a drawn map; 0 for as many as pixels."
)
_LABEL_MAPS = flags.DEFINE_string(
    "label_maps", "", "Folder of label files to take instead."
)
_NUM_MAPS = flags.DEFINE_integer("num_maps", 6, "Label files of the folder.")
_BATCHES = flags.DEFINE_list("batches", "1", "Label maps at a time.")
_TURNS = flags.DEFINE_integer("turns", 5, "Of each form for each map.")
_PYTORCH = flags.DEFINE_bool("pytorch", False, "Compare with plain PyTorch.")
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python",
    "",
    "Interpreter with PyTorch; empty: an environment made once, in the cache.",
)
_PLOT = flags.DEFINE_string("plot", "", "PNG file to write.")

_DENSE, _PIECES, _FAST, _TORCH = "Dense", "Pieces", "Fast", "PyTorch"
_MATRIX = 1024  # Rows and columns of the product that tells the rate.


@dataclasses.dataclass
class _Row:
    """What was measured of one kind of map.

    Args:
        name: of the maps.
        size: height and width in pixels.
        classes: S.
        batch: B.
        share: of the pixels, in the finest resolution, whose neighbourhood of
            5 x 5 pixels is another one than those before.
        seconds: {form: list, one for each turn}.
        limits: seconds that the fast form's arithmetic takes at least,
            likewise.
        memory: {form: bytes}, the most of all maps.
        difference: {form: largest difference from the fast form's pictures,
            of numbers in [-1, 1]}.
    """

    name: str
    size: int
    classes: int
    batch: int
    share: float
    seconds: dict
    limits: list
    memory: dict
    difference: dict

    def ratio(self, form):
        """Returns by how much the fast form is faster than another."""
        pairs = zip(self.seconds[form], self.seconds[_FAST])
        return statistics.median(a / b for a, b in pairs)

    def cells(self, forms):
        """Returns the texts of a table's row."""
        median = {f: statistics.median(self.seconds[f]) for f in forms}
        others = [f for f in forms if f != _FAST]
        limit = statistics.median(self.limits)
        return [
            self.name,
            str(self.size),
            str(self.classes),
            str(self.batch),
            f"{100 * self.share:.1f} %",
            *[f"{1e3 * median[f]:.0f} ms" for f in forms],
            f"{1e3 * limit:.0f} ms",
            *[f"{self.ratio(f):.2f}" for f in others],
            *[f"{self.memory[f] / 1e6:.0f} MB" for f in forms],
            *[f"{self.difference[f]:.0e}" for f in others],
        ]


def main():
    tf.config.threading.set_intra_op_parallelism_threads(num_processors())
    forms = [_DENSE, _PIECES, _FAST] + ([_TORCH] if _PYTORCH.value else [])
    others = [f for f in forms if f != _FAST]
    header = ["Maps", "Size", "S", "B", "Distinct", *forms, "Limit"]
    header += [f"{f} / fast" for f in others]
    header += [f"{f}, memory" for f in forms]
    header += [f"{f} - fast" for f in others]
    rows = []
    for generator in _make_generators():
        with _Forms(generator) as running:
            for name, size, maps, batch in _cases(generator):
                if not rows:
                    print(f"| {' | '.join(header)} |")
                    print(f"|{' --- |' * len(header)}")
                rows.append(_measure(running, name, size, maps, batch))
                cells = " | ".join(rows[-1].cells(forms))
                print(f"| {cells} |", flush=True)
    if _PLOT.value:
        _plot(rows, others)


def _make_generators():
    """Yields generators, one for each number of classes."""
    if _WORKDIR.value:
        yield networks.averaged_generator(_WORKDIR.value)[0]
        return
    config = config_lib.load(_DATASET.value)
    config = dataclasses.replace(config.generator, initial_gain=1.0)
    for classes in map(int, _CLASSES.value):
        generator = build_generator(config, classes)
        spread(generator)
        yield generator


def spread(generator):
    """Lets an untrained generator draw pictures that vary.

    Brings singular vectors and batch statistics to those of what it draws, and
    the last kernel to a scale that does not saturate.
    """
    size = 2 * generator.size_multiple
    rng = np.random.default_rng(0)
    for _ in range(8):
        labels = rng.integers(generator.semantic_channels, size=[2, 2, 2])
        labels = labels.repeat(size // 2, axis=1).repeat(size // 2, axis=2)
        z = rng.normal(size=[2, generator.noise_channels])
        noise = global_noise(tf.constant(z, tf.float32), (size, size))
        semantic_map = one_hot(labels, generator.semantic_channels)
        image = generator(noise, semantic_map, training=True)
    kernel = generator.conv_out.kernel
    spread = np.arctanh(np.clip(image, -0.999999, 0.999999)).std()
    kernel.assign(kernel * 0.5 / spread)


def _cases(generator):
    """Yields the maps' name, size, the maps `[N, H, W]` and B."""
    channels = generator.semantic_channels
    for n in map(int, _SIZES.value):
        size = (n, n)
        if _LABEL_MAPS.value:
            folder = pathlib.Path(_LABEL_MAPS.value)
            maps = label_maps.read(folder, _NUM_MAPS.value, size, channels)
            named = [(folder.name, maps)]
        else:
            rng = np.random.default_rng(0)
            named = [
                (
                    f"{regions} regions" if regions else "a label a pixel",
                    label_maps.draw(regions, size, channels, rng)[None],
                )
                for regions in map(int, _REGIONS.value)
            ]
        for name, maps in named:
            for batch in map(int, _BATCHES.value):
                yield name, n, maps, batch


class _Forms:
    """A generator in every form.

    Attributes:
        generator: `Generator`.
        fast_network: its fast form.
        draw: {form: function of z `[B, Z]`, a label map `[B, H, W]` and
            `is_measured` that returns the image `[B, H, W, 3]` and the
            seconds}.
        memory: {form: function that returns the bytes of its last drawing that
            was measured, which takes time}.
    """

    def __init__(self, generator):
        self.generator = generator
        direct = inference_form(generator)
        self.fast_network = inference_form(generator, has_winograd=True)
        self._peak = None
        self._stack = contextlib.ExitStack()
        self.draw = {
            _DENSE: self._timed(self._dense(direct)),
            _PIECES: self._timed(self._pieces(direct)),
            _FAST: self._timed(self._pieces(self.fast_network)),
        }
        self.memory = dict.fromkeys(self.draw, lambda: self._peak.increase)
        if _PYTORCH.value:
            pytorch = self._stack.enter_context(
                PyTorchProcess(python=_TORCH_PYTHON.value)
            )
            pytorch.load_generator(generator)
            self.draw[_TORCH] = pytorch.draw
            self.memory[_TORCH] = lambda: pytorch.peak_memory().increase

    def _dense(self, network):
        def draw(z, label_map):
            noise = global_noise(z, tf.unstack(tf.shape(label_map)[1:]))
            return network(noise, one_hot(label_map, network.semantic_channels))

        return draw

    def _pieces(self, network):
        channels = network.semantic_channels
        return lambda z, label_map: network.draw_pieces(
            _pieces_of(z, label_map, channels)
        )

    def _timed(self, form):
        function = tf.function(form, reduce_retracing=True, autograph=False)

        def draw(z, label_map, is_measured):
            z, label_map = tf.constant(z), tf.constant(label_map)
            with contextlib.ExitStack() as stack:
                if is_measured:
                    self._peak = stack.enter_context(peak_memory.measure())
                start = time.perf_counter()
                image = function(z, label_map).numpy()
                seconds = time.perf_counter() - start
            return image, seconds

        return draw

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()


def _pieces_of(z, label_map, classes):
    return Pieces.of(z[:, None], tf.zeros_like(label_map), label_map, classes)


def _measure(forms, name, size, maps, batch):
    generator = forms.generator
    row = _Row(
        name,
        size,
        generator.semantic_channels,
        batch,
        share=0.0,
        seconds={form: [] for form in forms.draw},
        limits=[],
        memory=dict.fromkeys(forms.draw, 0),
        difference=dict.fromkeys(forms.draw, 0.0),
    )
    for i, label_map in enumerate(maps):
        label_map = np.stack([label_map] * batch)
        numbers = tf.range(batch, dtype=tf.int64) + i
        z = sample_z([0, 0], numbers, generator.noise_channels).numpy()
        images = {}
        for form, draw in forms.draw.items():
            # The first one is slower, in any case.
            images[form], _ = draw(z, label_map, is_measured=True)
            row.memory[form] = max(row.memory[form], forms.memory[form]())
        for form, image in images.items():
            difference = float(np.abs(image - images[_FAST]).max())
            row.difference[form] = max(row.difference[form], difference)
        share, flops = _arithmetic(forms.fast_network, z[:1], label_map[:1])
        row.share += share / len(maps)
        for _ in range(_TURNS.value):
            for form, draw in forms.draw.items():
                _, seconds = draw(z, label_map, is_measured=False)
                row.seconds[form].append(seconds)
            row.limits.append(batch * flops / _matrix_rate())
    return row


def _arithmetic(generator, z, label_map):
    """Returns the share of distinct neighbourhoods, and flops."""
    pieces = _pieces_of(tf.constant(z), label_map, generator.semantic_channels)
    distinct = [None] + [
        costs.Distinct.of(here) if Neighbourhoods(here).are_few else None
        for here in map(pieces.at, generator.strides)
    ]
    flops = costs.piecewise_flops(generator, label_map.shape[1:], distinct)
    return costs.Distinct.of(pieces).outer / label_map.size, flops


def _matrix_rate():
    """Returns flops per second of a product of large matrices."""
    matrix = tf.ones([_MATRIX, _MATRIX])
    start = time.perf_counter()
    tf.matmul(matrix, matrix).numpy()
    return 2 * _MATRIX**3 / (time.perf_counter() - start)


def _plot(rows, others):
    """Draws the ratios over the share of distinct neighbourhoods."""
    fig = figure.Figure(figsize=(7, 4.5), layout="constrained")
    axes = fig.subplots()
    for i, form in enumerate(others):
        for j, size in enumerate(sorted({row.size for row in rows})):
            mine = sorted(
                (100 * row.share, row.ratio(form))
                for row in rows
                if row.size == size
            )
            axes.plot(
                *zip(*mine),
                ["o-", "^:", "s--"][i],
                color=f"C{j}",
                label=f"{form}, {size} x {size}",
            )
    axes.axhline(1, color="gray", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("Pixels with another 5 x 5 neighbourhood / %")
    axes.set_ylabel("Time / time of the fast form")
    axes.legend()
    fig.savefig(_PLOT.value, dpi=120)


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
