"""OASIS on the outdoor scenes of ADE20K, 256 x 256.

    python -m oasis_tf.train --dataset=ade20k_outdoors --data_dir=D --workdir=W

`oasis_tf/data/ade20k_outdoors/builder.py` says which scenes these are. The
authors' choice, made partly by eye, is not published: scores differ.
"""

import dataclasses

from oasis_tf import config as config_lib


def get_config():
    ade20k = config_lib.load("ade20k")
    # 200 epochs of about 10,000 images, the number that the authors give.
    train = dataclasses.replace(ade20k.train, num_steps=200 * 10_000 // 32)
    return dataclasses.replace(ade20k, dataset="ade20k_outdoors", train=train)
