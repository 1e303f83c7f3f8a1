"""Makes `model/` anew, the small TensorFlow.js model that the tests draw with.

    python -m tests.web.make_model

It is kept in the repository because the converter is 3 GB to install.
"""

import pathlib
import shutil

import keras
import numpy as np

from oasis_tf.data.toy_scenes import Builder
from oasis_tf.exporters import tfjs
from tests import tiny
from tests import trained

FOLDER = pathlib.Path(__file__).with_name("model")


def make_generator():
    """Returns the network that the model was made of."""
    keras.utils.set_random_seed(0)
    return trained.calm_generator()


def export(folder, precision="float32"):
    """Converts it."""
    tfjs.export_generator(
        make_generator(),
        tiny.CONFIG,
        Builder.INFO,
        folder,
        precision,
        [np.asarray(m) for m in tiny.batch(size=6)["label_map"]],
    )


def main():
    new = FOLDER.with_name("new_model")
    shutil.rmtree(new, ignore_errors=True)
    export(new)
    shutil.rmtree(FOLDER, ignore_errors=True)
    new.rename(FOLDER)


if __name__ == "__main__":
    main()
