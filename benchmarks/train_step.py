"""Speed of the training step under several settings, side by side.

    python -m benchmarks.train_step --dataset=toy_scenes \
        --variant=train.precision=float32 \
        --variant=train.precision=mixed_bfloat16

Each variant is the experiment with some settings changed (several with
spaces in between). All are compiled first and then take turns, so that a
machine whose speed drifts treats them alike; the ratio is the median of the
turns', against the first variant.
"""

import statistics
import sys
import time

import numpy as np
import tensorflow as tf
from absl import app
from absl import flags

from oasis_tf import config as config_lib
from oasis_tf.data.colors import distinct_colors
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.training.train_step import compile_step
from oasis_tf.training.train_step import create_state

_DATASET = flags.DEFINE_string(
    "dataset", "toy_scenes", "Experiment in configs/."
)
_VARIANT = flags.DEFINE_multi_string(
    "variant",
    ["train.precision=float32", "train.precision=mixed_bfloat16"],
    "Settings of one variant.",
)
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 12, "S of made label maps.")
_TURNS = flags.DEFINE_integer("turns", 5, "Turns that each variant takes.")
_STEPS = flags.DEFINE_integer("steps", 5, "Steps in one turn.")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}.")
    try:
        base = config_lib.load(_DATASET.value)
        configs = [
            config_lib.override(base, variant.split())
            for variant in _VARIANT.value
        ]
    except ValueError as error:
        sys.exit(f"train_step: {error}")
    steps = [_make_step(config) for config in configs]
    rates = [[] for _ in steps]  # Images per second, a number per turn.
    for _ in range(_TURNS.value):
        for config, step, mine in zip(configs, steps, rates):
            start = time.perf_counter()
            for _ in range(_STEPS.value):
                losses = step()
            float(losses["generator/adversarial"])  # Waits for the device.
            num_images = _STEPS.value * config.train.global_batch_size
            mine.append(num_images / (time.perf_counter() - start))
    for variant, mine in zip(_VARIANT.value, rates):
        ratio = statistics.median(a / b for a, b in zip(mine, rates[0]))
        print(
            f"{statistics.median(mine):8.2f} images/s "
            f"({min(mine):.2f} to {max(mine):.2f}), x {ratio:.2f}  {variant}"
        )


def _make_step(config):
    """Returns a function that takes a step on a made batch, compiled."""
    channels = _NUM_CLASSES.value
    info = DatasetInfo(
        "made",
        [f"class {i}" for i in range(channels)],
        distinct_colors(channels),
        {i: i for i in range(channels)},
        has_dont_care=False,
    )
    strategy = tf.distribute.MirroredStrategy()
    with strategy.scope():
        state = create_state(config, channels)
    step = compile_step(state, config, info, strategy)
    size = (config.train.global_batch_size, *config.image_size)
    rng = np.random.default_rng(0)
    examples = {
        "image": rng.integers(0, 256, (*size, 3), np.uint8),
        "label_map": rng.integers(0, channels, size, np.int32),
        "sample_number": np.arange(size[0]),
    }
    dataset = tf.data.Dataset.from_tensors(examples).repeat()
    batches = iter(strategy.experimental_distribute_dataset(dataset))
    batch = next(batches)
    step(batch)
    return lambda: step(batch)


if __name__ == "__main__":
    app.run(main)
