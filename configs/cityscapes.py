"""OASIS on Cityscapes, 256 x 512, as in the paper.

    python -m oasis_tf.train --dataset=cityscapes --data_dir=D --workdir=W

`D` holds `leftImg8bit` and `gtFine`, downloaded by hand from Cityscapes. The
authors report FID 47.7 and mIoU 69.3; not measured here.
"""

from oasis_tf.config import Config
from oasis_tf.config import TrainConfig


def get_config():
    return Config(
        dataset="cityscapes",
        image_size=(256, 512),
        train=TrainConfig(
            num_steps=200 * 2_975 // 20,  # 200 epochs.
            global_batch_size=20,
            generator_lr=4e-4,
            discriminator_lr=4e-4,
            lambda_labelmix=5.0,
            ema_decay=0.999,
        ),
    )
