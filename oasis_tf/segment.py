r"""Segments a photo with a trained discriminator.

    python -m oasis_tf.segment --model=W --image=photo.jpg
    python -m oasis_tf.segment --model=W --image=photo.jpg \
        --label_map=truth.png

Writes the label map in the data set's own ids, the same in colours, and the
photo under it to `--out`. Where the true label map is given, prints the mean
IoU and that of each class. Exits with 2 if the command or a file is not as it
must be.
"""

import pathlib

import numpy as np
from absl import flags
from PIL import Image

from oasis_tf import command_line
from oasis_tf import sheets
from oasis_tf.data.label_map import colorize
from oasis_tf.data.label_map import restore
from oasis_tf.data.overlay_sheet import overlay

_MODEL = flags.DEFINE_string(
    "model", None, "Work directory of a run: its checkpoints are read."
)
_IMAGE = flags.DEFINE_string("image", None, "Photo to segment.")
_LABEL_MAP = flags.DEFINE_string(
    "label_map", "", "The photo's true label map, in the data set's own ids."
)
_OUT = flags.DEFINE_string(
    "out", "", "Folder to write to; default: runs/segment/<image>."
)
_RESIZE = flags.DEFINE_bool(
    "resize", False, "Segment at the nearest size that will do."
)
_SIZE = flags.DEFINE_list("size", [], "height,width to segment at, in pixels.")


def main():
    command_line.check_given(_MODEL, _IMAGE)
    resize = command_line.resize(_RESIZE, _SIZE)
    name = pathlib.Path(_IMAGE.value).stem
    # Imported late, so that --help and mistyped flags answer at once.
    from oasis_tf.inference import inputs
    from oasis_tf.inference.segmenter import load_segmenter

    segmenter = load_segmenter(_MODEL.value)
    info = segmenter.info
    image = inputs.read_image(_IMAGE.value)
    truth = None
    if _LABEL_MAP.value:
        truth = inputs.read_label_map(_LABEL_MAP.value, info, segmenter.config)
        if truth.shape != image.shape[:2]:
            raise ValueError(
                f"{_LABEL_MAP.value} must have the image's height and width, "
                f"{image.shape[:2]}. Received: {truth.shape}."
            )
    labels = segmenter.segment_to_labels(_IMAGE.value, resize)

    out = command_line.make_folder(_OUT, _OUT.value or f"runs/segment/{name}")
    colors, mixed = colorize(labels, info), overlay(image, labels, info)
    row = {"image": image, "segmented": colors, "both": mixed}
    if truth is not None:
        row["label map"] = colorize(truth, info)
    pictures = {
        "ids": restore(labels, info),
        "colors": colors,
        "overlay": mixed,
        "sheet": sheets.draw_sheet([list(row.values())], list(row)),
    }
    for kind, picture in pictures.items():
        path = out / f"{name}_{kind}.png"
        Image.fromarray(picture).save(path)
        print(f"{kind}: {path.resolve()}")
    print()
    if truth is None:
        _tell_shares(labels, info)
    else:
        _tell_iou(truth, labels, info)
    return 0


def _tell_shares(labels, info):
    counts = np.bincount(labels.ravel(), minlength=info.semantic_channels)
    for s in np.argsort(-counts, kind="stable"):
        if counts[s]:
            share = 100 * counts[s] / counts.sum()
            print(f"{share:5.1f} %  {info.class_names[s]}")


def _tell_iou(truth, labels, info):
    from oasis_tf.evaluation import miou

    confusion = miou.confusion_matrix(truth, labels, info.semantic_channels)
    mean = miou.mean_iou(confusion, info.scored)
    print(f"mIoU {mean:.3f}, of the classes in the label map or found:")
    iou = miou.class_iou(confusion, info.scored)
    for s in np.flatnonzero(np.isfinite(iou)):
        note = "" if (truth == s).any() else "  (not in the label map)"
        print(f"  {iou[s]:.3f}  {info.class_names[s]}{note}")


if __name__ == "__main__":
    command_line.run(main)
