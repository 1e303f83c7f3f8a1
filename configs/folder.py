"""OASIS on a folder of your own images and label maps, on a modest machine.

    python -m oasis_tf.train --dataset=folder --data_dir=D --workdir=W \
        --set=data.ignore_id=255

Small networks at 64 x 96 pixels that learn on a CPU in an hour; for 256 x 256
on a GPU start from the sizes in `coco_stuff.py`.
"""

from oasis_tf.config import Config
from oasis_tf.config import DiscriminatorConfig
from oasis_tf.config import GeneratorConfig
from oasis_tf.config import LogConfig
from oasis_tf.config import TrainConfig


def get_config():
    return Config(
        dataset="folder",
        image_size=(64, 96),
        # Five blocks: sizes in multiples of 16 (generator) and 32.
        generator=GeneratorConfig(
            channels=(256, 256, 128, 128, 64, 32),
            spade_channels=64,
        ),
        discriminator=DiscriminatorConfig(
            channels=(64, 64, 128, 128, 256),
            last_channels=64,
        ),
        train=TrainConfig(
            num_steps=20_000,
            global_batch_size=8,
            ema_decay=0.999,
            ema_statistics_batches=20,
        ),
        log=LogConfig(
            log_every=20,
            sample_every=500,
            checkpoint_every=500,
        ),
    )
