"""Time of a picture: the dense form of the generator and the one by pieces.

    python -m benchmarks.generator
    python -m benchmarks.generator --label_maps=FOLDER --sizes=256

Both forms have the same weights and take turns, so that what slows the machine
down slows both; told are medians, and the median of the turns' ratios. Maps are
drawn: from one region to a label for every pixel, the worst case; or they are
those of `--label_maps`. Writes the table to stdout, and a plot to `--plot`.

A network that was not trained draws no less: its kernels are spread until what
it draws varies.
"""

import dataclasses
import pathlib
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import app
from absl import flags
from matplotlib import figure

from oasis_tf import config as config_lib
from oasis_tf.data.label_map import one_hot
from oasis_tf.data.reading import read_ids
from oasis_tf.models.generator import build_generator
from oasis_tf.models.inference_form import inference_form
from oasis_tf.models.noise import global_noise
from oasis_tf.models.noise import sample_z
from oasis_tf.models.piecewise import Neighbourhoods
from oasis_tf.models.piecewise import Pieces

_DATASET = flags.DEFINE_string(
    "dataset", "coco_stuff", "Experiment in configs/, for the widths."
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
_PLOT = flags.DEFINE_string("plot", "", "PNG file to write.")


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
        dense, pieces: seconds.
        ratio: median of dense / pieces.
        difference: largest, of numbers in [-1, 1].
    """

    name: str
    size: int
    classes: int
    batch: int
    share: float
    dense: float
    pieces: float
    ratio: float
    difference: float


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}.")
    rows = []
    print("| Maps | Size | S | B | Distinct | Dense | Pieces | Ratio | Diff. |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for classes in map(int, _CLASSES.value):
        forms = _make_forms(classes)
        for size in map(int, _SIZES.value):
            for name, label_maps in _label_maps(size, classes):
                for batch in map(int, _BATCHES.value):
                    row = _measure(forms, name, label_maps, batch, classes)
                    rows.append(row)
                    print(
                        f"| {name} | {size} | {classes} | {batch} | "
                        f"{100 * row.share:.1f} % | {1e3 * row.dense:.0f} ms | "
                        f"{1e3 * row.pieces:.0f} ms | {row.ratio:.2f} | "
                        f"{row.difference:.0e} |",
                        flush=True,
                    )
    if _PLOT.value:
        _plot(rows)


def _make_forms(classes):
    """Returns functions of z `[B, Z]` and a label map `[B, H, W]`."""
    config = config_lib.load(_DATASET.value)
    config = dataclasses.replace(config.generator, initial_gain=1.0)
    generator = build_generator(config, classes)
    _spread(generator)
    network = inference_form(generator)

    @tf.function(reduce_retracing=True)
    def dense(z, label_map):
        noise = global_noise(z, tf.unstack(tf.shape(label_map)[1:]))
        return network(noise, one_hot(label_map, classes))

    @tf.function(reduce_retracing=True)
    def pieces(z, label_map):
        places = tf.zeros_like(label_map)
        return network.draw_pieces(
            Pieces.of(z[:, None], places, label_map, classes)
        )

    return dense, pieces, generator.noise_channels


def _spread(generator):
    """Brings singular values and statistics to those of what it draws."""
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


def _label_maps(size, classes):
    """Yields names and label maps `[N, size, size]`."""
    if _LABEL_MAPS.value:
        files = sorted(pathlib.Path(_LABEL_MAPS.value).rglob("*.png"))
        files = files[: _NUM_MAPS.value]
        maps = [_resized(read_ids(f), size) % classes for f in files]
        yield pathlib.Path(_LABEL_MAPS.value).name, np.stack(maps)
        return
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    for regions in map(int, _REGIONS.value):
        if not regions:
            label_map = rng.integers(classes, size=[size, size])
            yield "a label for each pixel", label_map[None].astype(np.int32)
            continue
        nearest = np.zeros([size, size], int)
        least = np.full([size, size], np.inf)
        for i, (v, u) in enumerate(rng.uniform(0, size, [regions, 2])):
            distance = np.hypot(y - v, x - u)
            nearest[distance < least] = i
            least = np.minimum(distance, least)
        labels = rng.integers(classes, size=regions).astype(np.int32)
        yield f"{regions} regions", labels[nearest][None]


def _resized(label_map, size):
    height, width = label_map.shape
    rows = ((np.arange(size) + 0.5) * height / size).astype(int)
    columns = ((np.arange(size) + 0.5) * width / size).astype(int)
    return label_map[rows][:, columns].astype(np.int32)


def _measure(forms, name, label_maps, batch, classes):
    dense, pieces, channels = forms
    times, largest, shares = [], 0, []
    for i, label_map in enumerate(label_maps):
        label_map = tf.constant(np.stack([label_map] * batch))
        numbers = tf.range(batch, dtype=tf.int64) + i
        z = sample_z(tf.constant([0, 0]), numbers, channels)
        images = [form(z, label_map) for form in (dense, pieces)]
        largest = max(
            largest, float(tf.reduce_max(tf.abs(images[0] - images[1])))
        )
        known = Neighbourhoods(
            Pieces.of(z[:, None], tf.zeros_like(label_map), label_map, classes)
        )
        shares.append(int(known.outer.count) / label_map.numpy().size)
        for _ in range(_TURNS.value):
            turn = []
            for form in (dense, pieces):
                start = time.perf_counter()
                form(z, label_map).numpy()
                turn.append(time.perf_counter() - start)
            times.append(turn)
    return _Row(
        name,
        label_maps.shape[1],
        classes,
        batch,
        statistics.mean(shares),
        statistics.median(t[0] for t in times),
        statistics.median(t[1] for t in times),
        statistics.median(t[0] / t[1] for t in times),
        largest,
    )


def _plot(rows):
    """Draws the ratio over the share of distinct neighbourhoods."""
    fig = figure.Figure(figsize=(7, 4.5), layout="constrained")
    axes = fig.subplots()
    for size in sorted({row.size for row in rows}):
        mine = sorted((r.share, r.ratio) for r in rows if r.size == size)
        axes.plot(*zip(*mine), "o-", label=f"{size} x {size}")
    axes.axhline(1, color="gray", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("Share of pixels with another 5 x 5 neighbourhood")
    axes.set_ylabel("Time of the dense form / time by pieces")
    axes.legend()
    fig.savefig(_PLOT.value, dpi=120)


if __name__ == "__main__":
    app.run(main)
