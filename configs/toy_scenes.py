"""OASIS on generated landscapes, 64 x 64: minutes on a CPU.

python -m oasis_tf.train --dataset=toy_scenes --workdir=W
"""

from oasis_tf.config import Config
from oasis_tf.config import DataConfig
from oasis_tf.config import DiscriminatorConfig
from oasis_tf.config import GeneratorConfig
from oasis_tf.config import LogConfig
from oasis_tf.config import TrainConfig


def get_config():
    return Config(
        dataset="toy_scenes",
        image_size=(64, 64),
        data=DataConfig(num_train_scenes=3000, num_validation_scenes=200),
        generator=GeneratorConfig(
            channels=(96, 96, 64, 32, 16),
            noise_channels=16,
            spade_channels=16,
            initial_gain=1.0,
        ),
        discriminator=DiscriminatorConfig(
            channels=(24, 48, 64, 96),
            last_channels=24,
            initial_gain=1.0,
        ),
        train=TrainConfig(
            num_steps=1_100,
            global_batch_size=8,
            generator_lr=4e-4,
            discriminator_lr=1e-3,
            decay_share=0.4,
            # With the paper's 10 the discriminator segments worse after so
            # few steps.
            lambda_labelmix=1.0,
            ema_decay=0.99,
            ema_statistics_batches=20,
        ),
        log=LogConfig(
            log_every=20,
            sample_every=250,
            checkpoint_every=250,
            validate_every=250,
        ),
    )
