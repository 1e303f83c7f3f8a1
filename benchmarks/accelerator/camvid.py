"""OASIS on CamVid, 256 x 256, full width, for one GPU.

`--data_dir` is a folder with train/, trainannot/, val/, valannot/ and
classes.txt, whose id 11 is void. How many steps fit is the machine's to say:
run.py takes `--num_steps` and `--max_seconds`.
"""

from oasis_tf.config import Config
from oasis_tf.config import DataConfig
from oasis_tf.config import TrainConfig


def get_config():
    return Config(
        dataset="folder",
        image_size=(256, 256),
        data=DataConfig(load_size=(286, 286), ignore_id=(11,)),
        train=TrainConfig(
            num_steps=20_000,
            global_batch_size=8,
            # 0.9999 averages over 10,000 steps, which may not be reached.
            ema_decay=0.999,
            precision="mixed_bfloat16",
        ),
    )
