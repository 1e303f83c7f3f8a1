"""Speed of the input pipeline alone, by number of workers and by stage.

    python -m benchmarks.input_pipeline
    python -m benchmarks.input_pipeline --dataset=cityscapes --data_dir=FOLDER

Without `--data_dir` the files are made: JPEGs of 640 x 480 pixels and about 150
KB with label maps, as those of COCO-Stuff, in a temporary folder. A worker is a
thread. The numbers of workers take turns, and told are medians; batches are
thrown away, so that nothing but the pipeline works. What a core does in a
second is worked out from the processors' time, so that other programs do not
count.
"""

import dataclasses
import pathlib
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import flags
from matplotlib import figure
from PIL import Image

from benchmarks import label_maps
from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import data
from oasis_tf.data import pipeline

_DATASET = flags.DEFINE_string(
    "dataset", "coco_stuff", "Experiment in configs/."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Folder of the data set's own files; empty: made ones."
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value; any setting of oasis_tf/config.py."
)
_WORKERS = flags.DEFINE_list("workers", "1,2,4", "Numbers of threads.")
_TURNS = flags.DEFINE_integer("turns", 5, "Of each number of threads.")
_BATCHES = flags.DEFINE_integer("batches", 8, "Measured in one turn.")
_NUM_IMAGES = flags.DEFINE_integer("num_images", 32, "Images that are made.")
_DEVICE_RATES = flags.DEFINE_list(
    "device_rates", "10,30,100,300", "Images/s that a device trains."
)
_PLOT = flags.DEFINE_string("plot", "", "PNG file to write.")

_WARM_UP = 3  # Batches, while the pipeline finds out how far to read ahead.
_NUM_EXAMPLES = 16  # That each stage is measured on.


def main():
    # An operation of TensorFlow would spread over more threads otherwise.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        config = config_lib.load(_DATASET.value)
        config = config_lib.override(config, _SET.value)
        dataset = _load(config, pathlib.Path(folder))
        rates = _rates_by_workers(dataset, config)
        _print_rates(rates)
        stages = _seconds_by_stage(dataset, config)
        _print_stages(stages)
    if _PLOT.value:
        _plot(rates, stages)


def _load(config, folder):
    """Returns the `Dataset`: the user's, or one that is made in a folder."""
    if _DATA_DIR.value or config.dataset == "toy_scenes":
        return data.load(
            config.dataset, _DATA_DIR.value, config.data, config.image_size
        )
    _make_files(folder / "made", _NUM_IMAGES.value)
    settings = dataclasses.replace(
        config_lib.DataConfig(), prepared_dir=str(folder / "prepared")
    )
    return data.load("coco_stuff", folder / "made", settings, config.image_size)


def _make_files(folder, count):
    """Makes images and label maps in the layout of COCO-Stuff."""
    rng = np.random.default_rng(0)
    for split, number in (("train", count), ("val", 1)):
        for kind in ("img", "label"):
            (folder / f"{split}_{kind}").mkdir(parents=True)
        for i in range(number):
            image, label_map = _draw_pair(rng, 480, 640)
            image.save(folder / f"{split}_img/{i:012d}.jpg", quality=90)
            label_map.save(folder / f"{split}_label/{i:012d}.png")


def _draw_pair(rng, height, width):
    """Returns clouds in colour, and a label map of 30 regions."""
    clouds = np.full([height, width, 3], 128.0)
    for cells in (3, 12, 48, 192):  # Details of photos are weaker, too.
        noise = rng.uniform(0, 255, [cells, cells, 3]).astype(np.uint8)
        noise = Image.fromarray(noise).resize((width, height), Image.BICUBIC)
        clouds += (np.asarray(noise) - 127.5) * 1.5 / cells**0.25
    label_map = label_maps.draw(30, (height, width), 182, rng)
    clouds = Image.fromarray(clouds.clip(0, 255).astype(np.uint8))
    return clouds, Image.fromarray(label_map.astype(np.uint8))


@dataclasses.dataclass
class _Rates:
    """Images per second, a number per turn.

    Args:
        by_clock: by the time that went by.
        by_core: by the time that processors worked, of all threads together.
    """

    by_clock: list
    by_core: list


def _rates_by_workers(dataset, config):
    """Returns a dict of number of workers -> `_Rates`."""
    batch_size = config.train.global_batch_size
    rates = {int(workers): _Rates([], []) for workers in _WORKERS.value}
    for _ in range(_TURNS.value):
        for workers, mine in rates.items():
            # A new one each time: one that waits would work on in secret.
            batches = pipeline.train_batches(
                dataset, config.image_size, batch_size, config.data, seed=0
            )
            options = tf.data.Options()
            options.threading.private_threadpool_size = workers
            batches = iter(batches.with_options(options))
            for _ in range(_WARM_UP):
                next(batches)
            start, work = time.perf_counter(), time.process_time()
            for _ in range(_BATCHES.value):
                next(batches)
            num_images = _BATCHES.value * batch_size
            mine.by_clock.append(num_images / (time.perf_counter() - start))
            mine.by_core.append(num_images / (time.process_time() - work))
    return rates


def _print_rates(rates):
    print("| Workers | Images/s | Lowest to highest | For a core's second |")
    print("| --- | --- | --- | --- |")
    for workers, mine in rates.items():
        clock = mine.by_clock
        print(
            f"| {workers} | {statistics.median(clock):.1f} | "
            f"{min(clock):.1f} to {max(clock):.1f} | "
            f"{statistics.median(mine.by_core):.1f} |"
        )
    for_core = statistics.median(rates[min(rates)].by_core)
    print("\n| A device trains images/s | and takes cores like these |")
    print("| --- | --- |")
    for rate in map(float, _DEVICE_RATES.value):
        print(f"| {rate:g} | {rate / for_core:.1f} |")


def _seconds_by_stage(dataset, config):
    """Returns a dict of stage -> a core's seconds for an image."""
    size, load_size = config.image_size, config.data.load_size
    load_size = load_size or size
    indices = range(min(_NUM_EXAMPLES, dataset.num_examples["train"]))
    serialized = dataset.read("train", indices)
    examples = [dataset.decode(one) for one in serialized]
    files = [tf.io.parse_single_example(s, _FILES) for s in serialized]
    seed = tf.constant([0, 0], tf.int64)

    def resize(example):
        offset = pipeline.random_offset(load_size, size, seed)
        return pipeline.resize_image(example["image"], load_size, offset, size)

    def resize_label_map(example):
        offset = pipeline.random_offset(load_size, size, seed)
        return pipeline.resize_label_map(
            example["label_map"], load_size, offset, size
        )

    # Half of the samples are flipped: half of the time of flipping.
    flipped = [(tf.zeros([*size, 3], tf.uint8), tf.zeros([*size, 1], tf.int32))]
    calls = {
        "a call of nothing": (lambda example: example["name"], examples),
        "decode the image": (
            lambda files: tf.io.decode_image(files["image"], channels=3),
            files,
        ),
        "decode the label map": (
            lambda files: tf.io.decode_image(files["label_map"], channels=1),
            files,
        ),
        "resize and crop the image": (resize, examples),
        "resize and crop the label map": (resize_label_map, examples),
        "flip both, of every second one": (
            lambda pair: [tf.reverse(x, [1]) for x in pair],
            flipped,
        ),
    }
    seconds = _median_seconds(calls)
    nothing = seconds.pop("a call of nothing")
    seconds = {name: max(0, s - nothing) for name, s in seconds.items()}
    seconds["flip both, of every second one"] /= 2
    start = time.process_time()
    for _ in range(_TURNS.value):
        dataset.read("train", indices)
    reading = (time.process_time() - start) / _TURNS.value / len(indices)
    return {"read": reading} | seconds


_FILES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label_map": tf.io.FixedLenFeature([], tf.string),
}


def _median_seconds(calls):
    """Returns a core's median seconds of functions on their inputs."""
    compiled = {
        name: tf.function(function, reduce_retracing=True)
        for name, (function, _) in calls.items()
    }
    times = {name: [] for name in calls}
    for turn in range(_TURNS.value + 1):
        for name, (_, inputs) in calls.items():
            start = time.process_time()
            for one in inputs:
                compiled[name](one)
            seconds = (time.process_time() - start) / len(inputs)
            if turn > 0:  # The first one compiles.
                times[name].append(seconds)
    return {name: statistics.median(mine) for name, mine in times.items()}


def _print_stages(stages):
    total = sum(stages.values())
    print("\n| Stage | ms of a core for an image | Share |")
    print("| --- | --- | --- |")
    for name, seconds in stages.items():
        print(
            f"| {name} | {1e3 * seconds:.2f} | {100 * seconds / total:.0f} % |"
        )
    print(f"| all | {1e3 * total:.2f} | |")


def _plot(rates, stages):
    """Draws images/s over the workers, and the stages' times."""
    fig = figure.Figure(figsize=(9, 3.5), layout="constrained")
    left, right = fig.subplots(1, 2)
    workers = sorted(rates)
    medians = [statistics.median(rates[n].by_clock) for n in workers]
    left.plot(workers, medians, "o-")
    left.set_ylim(0, 1.1 * max(medians))
    left.set_xticks(workers)
    left.set_xlabel("Workers")
    left.set_ylabel("Images/s")
    names = list(stages)[::-1]
    right.barh(names, [1e3 * stages[name] for name in names])
    right.set_xlabel("ms of a core for an image")
    fig.savefig(_PLOT.value, dpi=120)


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
