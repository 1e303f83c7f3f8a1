"""Networks, scenes and runs so small that a test can afford them."""

import dataclasses
import pathlib

import numpy as np

from oasis_tf import data
from oasis_tf.config import Config
from oasis_tf.config import DataConfig
from oasis_tf.config import DiscriminatorConfig
from oasis_tf.config import GeneratorConfig
from oasis_tf.config import LogConfig
from oasis_tf.config import TrainConfig
from oasis_tf.data.toy_scenes import scenes
from oasis_tf.training import segmentation

SEMANTIC_CHANNELS = len(scenes.CLASS_NAMES)
"""S of the batches."""

CONFIG = Config(
    dataset="toy_scenes",
    image_size=(16, 16),
    data=DataConfig(num_train_scenes=12, num_validation_scenes=3),
    generator=GeneratorConfig(
        channels=(8, 8, 4), noise_channels=2, spade_channels=4
    ),
    discriminator=DiscriminatorConfig(channels=(4, 8), last_channels=4),
    train=TrainConfig(
        num_steps=6,
        global_batch_size=4,
        ema_decay=0.9,
        ema_statistics_batches=2,
    ),
    log=LogConfig(log_every=1, sample_every=0, num_samples=2),
)


def config(**sections):
    """Returns `CONFIG` with some fields replaced.

    Args:
        **sections: {field: value} for a section, a value for anything else.
    """
    changes = {
        name: dataclasses.replace(getattr(CONFIG, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in sections.items()
    }
    return dataclasses.replace(CONFIG, **changes)


def batch(first=0, size=4, image_size=(16, 16)):
    """Returns drawn scenes as a training batch of NumPy arrays.

    Args:
        first: number of the first sample.
        size: B.
        image_size: (height, width).
    """
    numbers = np.arange(first, first + size)
    drawn = [scenes.draw_scene(0, int(n), *image_size) for n in numbers]
    return {
        "image": np.stack([image for image, _ in drawn]),
        "label_map": np.stack([label_map for _, label_map in drawn]).astype(
            np.int32
        ),
        "sample_number": numbers,
    }


def dataset(folder, config=CONFIG):
    """Prepares the data set of a configuration in a folder; returns it."""
    settings = dataclasses.replace(config.data, prepared_dir=str(folder))
    return data.load(config.dataset, None, settings, config.image_size)


def segmenter(folder):
    """Exports a segmenter that two updates have taught nothing.

    Args:
        folder: to write to; prepared data are kept there, too.

    Returns:
        Folder of the SavedModel.
    """
    settings = segmentation.SegmenterSettings(
        (16, 16), num_steps=2, global_batch_size=4, channels=(4, 8)
    )
    prepared = dataset(pathlib.Path(folder, "data"))
    return segmentation.train(
        prepared, CONFIG.data, settings, folder, ["/cpu:0"]
    )
