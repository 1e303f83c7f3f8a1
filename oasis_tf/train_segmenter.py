r"""Trains a small U-Net that judges fakes: are the label maps found in them?

    python -m oasis_tf.train_segmenter --dataset=toy_scenes
    python -m oasis_tf.train_segmenter --dataset=folder --data_dir=D \
        --image_size=128,256 --out=runs/segmenter/streets

It sees the real training images alone, and is scored on the real validation
images: what `oasis_tf.evaluate` states beside its scores of fakes. The same
command again goes on where it was stopped. Exits with 2 if the command or the
data are not as they must be.
"""

import dataclasses
import pathlib

from absl import flags

from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import processor

_DATASET = flags.DEFINE_string(
    "dataset",
    "toy_scenes",
    "Experiment in configs/, named after its data set, or a file like those.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of the data set's own files."
)
_OUT = flags.DEFINE_string(
    "out", "", "Folder to write to; default: runs/segmenter/<dataset>."
)
_IMAGE_SIZE = flags.DEFINE_list(
    "image_size",
    [],
    "height,width in pixels, without crops; default: the experiment's.",
)
_STEPS = flags.DEFINE_integer("steps", 3000, "Updates.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 16, "Images per update, over all devices.", lower_bound=1
)
_TRAIN_IMAGES = flags.DEFINE_integer(
    "train_images",
    0,
    "So many of the training images are used; 0: all.",
    lower_bound=0,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of the weights and the order of images.", lower_bound=0
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value; any setting of oasis_tf/config.py."
)


def main():
    processor.use_onednn()  # Before an experiment's file imports TensorFlow.
    config = config_lib.override(config_lib.load(_DATASET.value), _SET.value)
    size = config.image_size
    if _IMAGE_SIZE.value:
        size = command_line.integers(_IMAGE_SIZE, "height,width")
    # Imported late, so that --help and mistyped settings answer at once.
    from oasis_tf import data
    from oasis_tf.training import checkpoint
    from oasis_tf.training import segmentation

    settings = segmentation.SegmenterSettings(
        size,
        num_steps=_STEPS.value,
        global_batch_size=_BATCH_SIZE.value,
        train_images=_TRAIN_IMAGES.value,
        seed=_SEED.value,
    )
    out = _OUT.value or f"runs/segmenter/{config.dataset}"
    out = command_line.make_folder(_OUT, out)
    data_config = config.data
    if tuple(size) != tuple(config.image_size):
        # It is for the experiment's size: crops of it would be of other scale.
        data_config = dataclasses.replace(data_config, load_size=None)
    dataset = data.load(config.dataset, _DATA_DIR.value, data_config, size)
    try:
        export = segmentation.train(dataset, data_config, settings, out)
    except (checkpoint.NonFiniteError, checkpoint.CheckpointError) as error:
        return command_line.fail(error, 1)
    _tell(export, dataset.info)
    return 0


def _tell(export, info):
    from oasis_tf.evaluation.segmentation import SegmentationNetwork

    real = SegmentationNetwork(export, info).real
    if real is None:
        print("There are no validation images to score it on.")
    else:
        print(
            f"On real validation images: mIoU {real['miou']:.3f}, accuracy "
            f"{real['accuracy']:.3f}."
        )
        for name, iou in real["class_iou"].items():
            if iou is not None:
                print(f"  {iou:.3f}  {name}")
    print(f"Segmenter: {pathlib.Path(export).resolve()}")


if __name__ == "__main__":
    command_line.run(main)
