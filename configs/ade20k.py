"""OASIS on ADE20K, 256 x 256, as in the paper.

    python -m oasis_tf.train --dataset=ade20k --data_dir=D --workdir=W

Without `--data_dir` the scene-parsing benchmark is downloaded (1 GB). The
authors report FID 28.3 and mIoU 48.8; not measured here.
"""

from oasis_tf.config import Config
from oasis_tf.config import DataConfig
from oasis_tf.config import TrainConfig


def get_config():
    return Config(
        dataset="ade20k",
        image_size=(256, 256),
        data=DataConfig(load_size=(286, 286)),
        train=TrainConfig(num_steps=200 * 20_210 // 32),  # 200 epochs.
    )
