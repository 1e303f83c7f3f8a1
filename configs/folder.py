"""OASIS on a folder of your own images and label maps, on a modest machine.

    python -m oasis_tf.train --dataset=folder --data_dir=D --workdir=W \
        --set=data.ignore_id=255

Small networks at 64 x 96 pixels that learn on a CPU in about an hour. For
256 x 256 pixels on a GPU take the paper's sizes, as `coco_stuff.py` does.
"""

from oasis_tf.config import Config
from oasis_tf.config import DiscriminatorConfig
from oasis_tf.config import GeneratorConfig
from oasis_tf.config import LogConfig
from oasis_tf.config import TrainConfig


def get_config():
    return Config(
        dataset="folder",
        # Multiples of 16 for six generator channels, of 32 for five
        # discriminator channels.
        image_size=(64, 96),
        generator=GeneratorConfig(
            channels=(128, 128, 128, 64, 64, 32),
            noise_channels=16,
            spade_channels=32,
            initial_gain=1.0,
        ),
        discriminator=DiscriminatorConfig(
            channels=(32, 64, 64, 128, 128),
            last_channels=32,
            initial_gain=1.0,
        ),
        train=TrainConfig(
            num_steps=4_500,
            global_batch_size=8,
            generator_lr=4e-4,
            discriminator_lr=1e-3,
            decay_share=0.4,
            # With the paper's 10 the discriminator segments worse after so
            # few steps.
            lambda_labelmix=1.0,
            ema_decay=0.999,
            ema_statistics_batches=20,
        ),
        log=LogConfig(
            log_every=20,
            sample_every=500,
            checkpoint_every=250,
            validate_every=500,
        ),
    )
