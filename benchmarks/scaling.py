"""Cost as classes, resolution and replicas grow: the tables of scaling.md.

    python -m benchmarks.scaling --label_maps=FOLDER
    python -m benchmarks.scaling --measure

Worked out from the layers of the networks (`benchmarks/costs.py`) for
`--dataset`'s widths, and for a GPU from what its maker says of it. `--measure`
then takes times on this machine. Prints Markdown.
"""

import dataclasses
import functools
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import flags
from matplotlib import figure
from matplotlib import ticker

from benchmarks import costs
from benchmarks import label_maps
from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf.data.colors import distinct_colors
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.data.label_map import one_hot
from oasis_tf.models.discriminator import build_discriminator
from oasis_tf.models.generator import build_generator
from oasis_tf.models.piecewise import Neighbourhoods
from oasis_tf.models.piecewise import Pieces
from oasis_tf.training.train_step import compile_step
from oasis_tf.training.train_step import create_state

_DATASET = flags.DEFINE_string(
    "dataset", "coco_stuff", "Experiment in configs/, for the widths."
)
_SIZES = flags.DEFINE_list("sizes", "128,256,512", "Heights, also widths.")
_CLASSES = flags.DEFINE_list("classes", "35,151,183", "Numbers of classes, S.")
_LABEL_MAPS = flags.DEFINE_string(
    "label_maps", "", "Folder of label files for the piecewise form."
)
_NUM_MAPS = flags.DEFINE_integer("num_maps", 12, "Label files of the folder.")
_REGIONS = flags.DEFINE_list(
    "regions", "10,100,1000", "In drawn maps, for the piecewise form."
)
_BATCHES = flags.DEFINE_list("batches", "1,32", "Images for a GPU.")
_REPLICAS = flags.DEFINE_list("replicas", "1,8,64", "Numbers of GPUs.")
_MEASURE = flags.DEFINE_bool("measure", False, "Take times here, too.")
_MEASURED_SIZES = flags.DEFINE_list("measured_sizes", "128,256", "As sizes.")
_TURNS = flags.DEFINE_integer("turns", 3, "Of what is measured.")
_SHRINK = flags.DEFINE_integer(
    "shrink", 8, "Divides the widths of the measured training step."
)
_PLOT = flags.DEFINE_string("plot", "", "PNG file to write.")


@dataclasses.dataclass(frozen=True)
class _Link:
    """What replicas are connected by.

    Args:
        name: of it.
        bandwidth: bytes per second, each way.
        latency: seconds of a small all-reduce; assumed.
        most: GPUs that it connects.
    """

    name: str
    bandwidth: float
    latency: float
    most: int = 1024


_LINKS = (
    _Link("NVLink 4", 450e9, 20e-6, most=8),
    _Link("PCIe 5.0 x16", 64e9, 30e-6, most=8),
    _Link("400 Gbit/s network", 50e9, 40e-6),
    _Link("100 Gbit/s Ethernet", 12.5e9, 60e-6),
)

_FEW_IMAGES = 8  # A GPU's share of a batch in the plan.


class _Networks:
    """Both networks' shapes, for a number of classes.

    Args:
        config: `Config`.
        semantic_channels: S.
    """

    def __init__(self, config, semantic_channels):
        self.semantic_channels = semantic_channels
        self.has_labelmix = config.train.lambda_labelmix > 0
        self.generator = build_generator(config.generator, semantic_channels)
        self.discriminator = build_discriminator(
            config.discriminator, semantic_channels
        )
        self.weights = [
            sum(int(np.prod(v.shape)) for v in network.trainable_variables)
            for network in (self.generator, self.discriminator)
        ]
        self.has_momentum = config.train.beta_1 > 0

    def operations(self, size):
        """Returns both networks' lists of `Operation`."""
        size = (size, size)
        return (
            costs.generator_operations(self.generator, size),
            costs.discriminator_operations(self.discriminator, size),
        )

    def passes(self, size):
        """Returns what `costs.step_passes` does."""
        return costs.step_passes(*self.operations(size), self.has_labelmix)

    def step_flops(self, size):
        """Returns the flops of a training step for an image."""
        return costs.step_flops(*self.operations(size), self.has_labelmix)

    def each_step_bytes(self, size):
        """Returns the traffic that a step has for any number of images."""
        return costs.spectral_bytes(
            *self.operations(size), self.has_labelmix
        ) + costs.update_bytes(*self.weights, self.has_momentum)

    def step_seconds(self, size, arithmetic, batch):
        """Returns the least time of a step on one GPU."""
        working = costs.step_seconds(
            self.passes(size), costs.H100, arithmetic, batch
        )
        return working + self.each_step_bytes(size) / costs.H100.bandwidth

    @property
    def num_small_reduces(self):
        """All-reduces of batch statistics in a step.

        Mean and variance, in two forward passes and one backward pass.
        """
        norms = sum(len(block.batch_norms) for block in self.generator.blocks)
        return norms * 2 * 3

    def reduce_seconds(self, link, replicas):
        """Returns the times of the gradients' and the small all-reduces."""
        if replicas == 1:
            return 0.0, 0.0
        gradients = costs.FLOAT_BYTES * sum(self.weights)
        return (
            costs.ring_seconds(gradients, replicas, link.bandwidth),
            # One more for the counts of classes.
            (self.num_small_reduces + 1) * link.latency,
        )


def main():
    config = config_lib.load(_DATASET.value)
    if _MEASURE.value:  # Before TensorFlow computes anything.
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * 2,
        )
    sizes = _numbers(_SIZES)
    networks = [_Networks(config, s) for s in _numbers(_CLASSES)]
    _print_arithmetic(networks, sizes)
    _print_pieces(networks[-1], sizes)
    _print_memory(networks, sizes)
    _print_roofline(networks[-1], sizes)
    _print_each_step(networks[-1], sizes[0])
    _print_replicas(networks[-1], config)
    if _MEASURE.value:
        _print_forward_times(networks, config)
        _print_step_times(config)
    if _PLOT.value:
        _plot(networks, sizes, config)


def _numbers(flag):
    return [int(n) for n in flag.value]


def _print_table(title, header, rows):
    """Prints a Markdown table with a title; rows are lists of texts."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("| " + " | ".join("---" for _ in header) + " |")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def _print_arithmetic(networks, sizes):
    rows = []
    for one in networks:
        for size in sizes:
            generator, discriminator = one.operations(size)
            parts = [
                costs.total(generator, "flops", part=part) / 1e9
                for part in ("main", "shared", "modulation")
            ]
            rows.append(
                [
                    one.semantic_channels,
                    size,
                    *(f"{part:.1f}" for part in parts),
                    f"{sum(parts):.1f}",
                    f"{costs.total(discriminator, 'flops') / 1e9:.1f}",
                    f"{one.step_flops(size) / 1e12:.2f}",
                ]
            )
    _print_table(
        "Arithmetic of an image (computed)",
        [
            "S",
            "Size",
            "Generator's own convolutions, GFLOP",
            "SPADE's first",
            "SPADE's second",
            "Generator",
            "Discriminator",
            "Training step, TFLOP",
        ],
        rows,
    )


def _print_pieces(networks, sizes):
    generator = networks.generator
    rows = []
    for size in sizes:
        dense = costs.total(networks.operations(size)[0], "flops")
        for name, maps in _named_maps(size, networks.semantic_channels):
            counted = [_distinct(generator, label_map) for label_map in maps]
            flops = statistics.mean(
                costs.piecewise_flops(
                    generator,
                    (size, size),
                    [None] + [here if few else None for here, few in one],
                )
                for one in counted
            )
            shares = [
                _mean_shares([one[i] for one in counted], size, stride)
                for i, stride in enumerate(generator.strides)
                if size // stride >= 32
            ]
            rows.append(
                [
                    name,
                    size,
                    ", ".join(shares),
                    f"{flops / 1e9:.1f}",
                    f"{dense / flops:.2f}",
                ]
            )
    _print_table(
        f"The generator by neighbourhoods, S = {networks.semantic_channels} "
        "(computed, for maps that were counted)",
        [
            "Maps",
            "Size",
            "Distinct 3 x 3 / 5 x 5, % of the pixels, from 32 x 32 on",
            "GFLOP",
            "Dense / by neighbourhoods",
        ],
        rows,
    )


def _named_maps(size, semantic_channels):
    """Yields names and label maps `[N, size, size]`."""
    size = (size, size)
    rng = np.random.default_rng(0)
    if _LABEL_MAPS.value:
        yield (
            "real",
            label_maps.read(
                _LABEL_MAPS.value, _NUM_MAPS.value, size, semantic_channels
            ),
        )
    for regions in _numbers(_REGIONS):
        drawn = label_maps.draw(regions, size, semantic_channels, rng)
        yield f"{regions} regions", drawn[None]


def _distinct(generator, label_map):
    """Returns pairs, from the second block on: `Distinct`, are they few."""
    label_map = tf.constant(label_map[None], tf.int32)
    pieces = Pieces.of(
        tf.zeros([1, 1, generator.noise_channels]),
        tf.zeros_like(label_map),
        label_map,
        generator.semantic_channels,
    )
    found = []
    for stride in generator.strides:
        here = pieces.at(stride)
        are_few = bool(Neighbourhoods(here).are_few)
        found.append((costs.Distinct.of(here), are_few))
    return found


def _mean_shares(found, size, stride):
    pixels = (size // stride) ** 2
    inner = statistics.mean(distinct.inner for distinct, _ in found)
    outer = statistics.mean(distinct.outer for distinct, _ in found)
    return f"{100 * inner / pixels:.0f} / {100 * outer / pixels:.0f}"


def _print_memory(networks, sizes):
    rows = []
    for one in networks:
        state = costs.state_bytes(*one.weights, one.has_momentum)
        for size in sizes:
            kept = [
                costs.kept_bytes(
                    *one.operations(size), arithmetic, one.has_labelmix
                )
                for arithmetic in ("float32", "bfloat16")
            ]
            rows.append(
                [
                    one.semantic_channels,
                    size,
                    *(f"{n / 1e6:.1f}" for n in one.weights),
                    f"{state / 1e9:.2f}",
                    *(f"{n / 1e9:.2f}" for n in kept),
                    *(int((costs.H100.memory - state) / n) for n in kept),
                ]
            )
    gigabytes = f"{costs.H100.memory / 1e9:.0f} GB"
    _print_table(
        "Memory of the training step (computed)",
        [
            "S",
            "Size",
            "Generator, 10^6 weights",
            "Discriminator",
            "Weights, average, moments, gradients, GB",
            "Activations of an image, float32, GB",
            "bfloat16",
            f"Images in {gigabytes}, float32, at most",
            "bfloat16",
        ],
        rows,
    )


def _print_roofline(networks, sizes):
    rows = []
    for size in sizes:
        generator, _ = networks.operations(size)
        for arithmetic, peak in costs.H100.flops.items():
            for batch in _numbers(_BATCHES):
                step = networks.step_seconds(size, arithmetic, batch)
                flops = batch * networks.step_flops(size)
                moved = costs.step_bytes(
                    networks.passes(size), arithmetic, batch
                )
                drawing = costs.forward_seconds(
                    generator, costs.H100, arithmetic, batch
                )
                rows.append(
                    [
                        size,
                        arithmetic,
                        batch,
                        f"{1e3 * drawing / batch:.2f}",
                        f"{moved / 1e9 / batch:.1f}",
                        f"{1e3 * step / batch:.2f}",
                        f"{batch / step:.0f}",
                        f"{100 * flops / peak / step:.0f} %",
                    ]
                )
    _print_table(
        f"The least times on one {costs.H100.name}, S = "
        f"{networks.semantic_channels} (computed)",
        [
            "Size",
            "Arithmetic",
            "Batch",
            "Generator, ms a picture",
            "Step, GB moved for an image",
            "Step, ms an image",
            "Images/s, at most",
            "Of the peak arithmetic",
        ],
        rows,
    )


def _print_each_step(networks, size):
    spectral = costs.spectral_bytes(
        *networks.operations(size), networks.has_labelmix
    )
    update = costs.update_bytes(*networks.weights, networks.has_momentum)
    gradients = costs.FLOAT_BYTES * sum(networks.weights)
    rows = [
        [name, f"{moved / 1e9:.2f}", f"{1e3 * seconds:.2f}"]
        for name, moved, seconds in (
            (
                "spectral normalization",
                spectral,
                spectral / costs.H100.bandwidth,
            ),
            (
                "both optimizers, the average",
                update,
                update / costs.H100.bandwidth,
            ),
            *(
                (
                    f"gradients of 8 GPUs over {link.name}",
                    gradients,
                    networks.reduce_seconds(link, 8)[0],
                )
                for link in _LINKS
            ),
        )
    ]
    _print_table(
        "What a step costs for any number of images, S = "
        f"{networks.semantic_channels} (computed)",
        ["What", "GB", "ms"],
        rows,
    )


def _print_replicas(networks, config):
    size = config.image_size[0]
    global_batch = config.train.global_batch_size
    rows = []
    for arithmetic in ("TF32", "bfloat16"):
        for replicas in _numbers(_REPLICAS):
            links = [link for link in _LINKS if replicas <= link.most]
            for link in links if replicas > 1 else [_Link("none", 1, 0)]:
                parts, weak = _replicated(
                    networks, size, arithmetic, replicas, link, _FEW_IMAGES
                )
                row = [arithmetic, replicas, link.name]
                row += [f"{1e3 * seconds:.1f}" for seconds in parts] + weak
                if global_batch % replicas == 0:
                    batch = global_batch // replicas
                    _, strong = _replicated(
                        networks, size, arithmetic, replicas, link, batch
                    )
                else:
                    strong = ["", ""]
                rows.append(row + strong)
    _print_table(
        f"Replicas, {size} x {size}, S = {networks.semantic_channels} "
        "(computed from the least times)",
        [
            "Arithmetic",
            "GPUs",
            "Link",
            f"{_FEW_IMAGES} images a GPU: work, ms",
            "gradients, ms",
            "statistics, ms",
            "images/s",
            "share of work",
            f"{global_batch} images in all: images/s",
            "share of work",
        ],
        rows,
    )


def _replicated(networks, size, arithmetic, replicas, link, batch):
    """Returns a step's seconds by part, and texts of images/s and a share.

    Nothing is reduced while the backward pass still works.

    Args:
        networks: `_Networks`.
        size, arithmetic: as for `_Networks.step_seconds`.
        replicas: GPUs.
        link: `_Link`.
        batch: images for each.
    """
    working = networks.step_seconds(size, arithmetic, batch)
    gradients, statistics_ = networks.reduce_seconds(link, replicas)
    step = working + gradients + statistics_
    return (working, gradients, statistics_), [
        f"{replicas * batch / step:.0f}",
        f"{100 * working / step:.0f} %",
    ]


def _print_forward_times(networks, config):
    rows = []
    for one in networks:
        network = tf.function(one.generator)
        for size in _numbers(_MEASURED_SIZES):
            label_map = tf.zeros([1, size, size], tf.int32)
            inputs = (
                tf.zeros([1, size, size, one.generator.noise_channels]),
                one_hot(label_map, one.semantic_channels),
            )
            [seconds] = _core_seconds([functools.partial(network, *inputs)])
            generator, _ = one.operations(size)
            flops = costs.total(generator, "flops")
            rows.append(
                [
                    one.semantic_channels,
                    size,
                    f"{flops / 1e9:.0f}",
                    f"{seconds:.2f}",
                    f"{flops / 1e9 / seconds:.0f}",
                ]
            )
    _print_table(
        f"The dense generator of {config.dataset}, batch 1, float32 (measured)",
        ["S", "Size", "GFLOP", "Seconds of a core", "GFLOP/s for a core"],
        rows,
    )


def _print_step_times(config):
    rows = []
    small = _shrunken(config)
    for classes, size, replicas in _measured_steps():
        networks = _Networks(small, classes)
        flops = small.train.global_batch_size * networks.step_flops(size)
        steps = _make_steps(small, classes, size, replicas)
        for number, seconds in zip(replicas, _core_seconds(steps)):
            rows.append(
                [
                    classes,
                    size,
                    number,
                    f"{flops / 1e9:.1f}",
                    f"{seconds:.2f}",
                    f"{flops / 1e9 / seconds:.0f}",
                ]
            )
    _print_table(
        f"The dense training step at 1/{_SHRINK.value} of the widths, "
        f"{small.train.global_batch_size} images, float32 (measured)",
        [
            "S",
            "Size",
            "Replicas",
            "GFLOP",
            "Seconds of a core",
            "GFLOP/s for a core",
        ],
        rows,
    )


def _shrunken(config):
    """Returns the `Config` with narrow networks, dense, and two images."""

    def narrow(section, *fields):
        changes = {}
        for field in fields:
            value = getattr(section, field)
            changes[field] = (
                tuple(max(1, n // _SHRINK.value) for n in value)
                if isinstance(value, tuple)
                else max(1, value // _SHRINK.value)
            )
        return dataclasses.replace(section, **changes)

    return dataclasses.replace(
        config,
        generator=narrow(config.generator, "channels", "spade_channels"),
        discriminator=narrow(config.discriminator, "channels", "last_channels"),
        train=dataclasses.replace(
            config.train, global_batch_size=2, form="dense"
        ),
    )


def _measured_steps():
    """Yields S, size and numbers of replicas, one thing changed at a time."""
    classes, sizes = _numbers(_CLASSES), _numbers(_MEASURED_SIZES)
    for s in classes:
        yield s, sizes[0], [1, 2] if s == classes[-1] else [1]
    for size in sizes[1:]:
        yield classes[-1], size, [1]


def _make_steps(config, classes, size, replicas):
    """Returns functions that take a step, for each number of replicas."""
    config = dataclasses.replace(
        config,
        image_size=(size, size),
        data=dataclasses.replace(config.data, load_size=None),
    )
    info = DatasetInfo(
        "made",
        [f"class {i}" for i in range(classes)],
        distinct_colors(classes),
        {i: i for i in range(classes)},
        has_dont_care=False,
    )
    shape = (config.train.global_batch_size, size, size)
    rng = np.random.default_rng(0)
    examples = {
        "image": rng.integers(0, 256, (*shape, 3), np.uint8),
        "label_map": rng.integers(0, classes, shape, np.int32),
        "sample_number": np.arange(shape[0]),
    }
    dataset = tf.data.Dataset.from_tensors(examples).repeat()

    def make(number):
        strategy = tf.distribute.MirroredStrategy(
            [f"/cpu:{i}" for i in range(number)]
        )
        with strategy.scope():
            state = create_state(config, classes)
        step = compile_step(state, config, info, strategy)
        batch = next(iter(strategy.experimental_distribute_dataset(dataset)))
        return lambda: list(step(batch).values())

    return [make(number) for number in replicas]


def _core_seconds(calls):
    """Returns each function's median of the processors' time, by turns.

    Other programs on the machine do not count in it.

    Args:
        calls: list of functions returning something with `numpy`, or a list.
    """
    times = [[] for _ in calls]
    for turn in range(_TURNS.value + 1):
        for call, mine in zip(calls, times):
            start = time.process_time()
            tf.nest.map_structure(lambda x: x.numpy(), call())
            if turn > 0:  # The first one compiles.
                mine.append(time.process_time() - start)
    return [statistics.median(mine) for mine in times]


def _plot(networks, sizes, config):
    """Draws arithmetic over the size, and images/s over the GPUs."""
    fig = figure.Figure(figsize=(10, 4), layout="constrained")
    left, right = fig.subplots(1, 2)
    for one in networks:
        flops = [one.step_flops(size) / 1e12 for size in sizes]
        left.plot(sizes, flops, "o-", label=f"S = {one.semantic_channels}")
    left.set_xscale("log", base=2)
    left.set_yscale("log", base=2)
    left.set_xticks(sizes, [f"{n} x {n}" for n in sizes])
    left.yaxis.set_major_formatter(ticker.ScalarFormatter())
    left.set_ylabel("TFLOP of a training step for an image")
    left.legend()
    replicas = _numbers(_REPLICAS)
    for link in _LINKS:
        connected = [number for number in replicas if number <= link.most]
        rates = []
        for number in connected:
            parts, _ = _replicated(
                networks[-1],
                config.image_size[0],
                "bfloat16",
                number,
                link,
                _FEW_IMAGES,
            )
            rates.append(number * _FEW_IMAGES / sum(parts))
        right.plot(connected, rates, "o-", label=link.name)
    right.set_xscale("log", base=2)
    right.set_yscale("log", base=2)
    right.set_xticks(replicas, replicas)
    right.yaxis.set_major_formatter(ticker.ScalarFormatter())
    right.set_xlabel(f"GPUs, {_FEW_IMAGES} images each, bfloat16")
    right.set_ylabel("Images/s, at most")
    right.legend()
    fig.savefig(_PLOT.value, dpi=120)


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
