"""OASIS on COCO-Stuff, 256 x 256, as in the paper.

    python -m oasis_tf.train --dataset=coco_stuff --data_dir=D --workdir=W

Without `--data_dir` the images and maps are downloaded (27 GB). The authors
report FID 17.0 and mIoU 44.1; not measured here.
"""

from oasis_tf.config import Config
from oasis_tf.config import DataConfig
from oasis_tf.config import TrainConfig


def get_config():
    return Config(
        dataset="coco_stuff",
        image_size=(256, 256),
        data=DataConfig(load_size=(286, 286)),
        train=TrainConfig(num_steps=100 * 118_287 // 32),  # 100 epochs.
    )
