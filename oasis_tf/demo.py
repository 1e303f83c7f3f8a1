"""The whole way in minutes: train on generated scenes, export, draw.

python -m oasis_tf.demo --workdir=W
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf
from absl import app
from absl import flags
from absl import logging
from PIL import Image

from oasis_tf import config as config_lib
from oasis_tf import data
from oasis_tf import sheets
from oasis_tf.data import pipeline
from oasis_tf.data.label_map import colorize
from oasis_tf.training import loop

_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/demo", "Folder of everything that the demo writes."
)
_MINUTES = flags.DEFINE_float(
    "minutes", 6.0, "Training ends after so many minutes at the latest."
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value; any setting of oasis_tf/config.py."
)

_NUM_SCENES = 6
_NUM_LOOKS = 6

_NEXT = """\
What to try next:
  tensorboard --logdir={workdir}/summaries
  python -m oasis_tf.demo --workdir={workdir} --minutes=60 \
--set=train.num_steps=10000   (goes on from here)
  python -m oasis_tf.inspect_data --dataset=folder --data_dir=YOUR_FOLDER
  python -m oasis_tf.train --dataset=folder --data_dir=YOUR_FOLDER
"""


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}.")
    logging.set_verbosity(logging.ERROR)
    workdir = pathlib.Path(_WORKDIR.value)
    try:
        config = config_lib.override(
            config_lib.load("toy_scenes"),
            [f"train.precision={_fastest_precision()}", *_SET.value],
        )
        dataset = data.load(
            config.dataset, None, config.data, config.image_size
        )
        run = loop.Run(config, dataset, workdir)
        print(
            f"Training on {dataset.num_examples['train']} generated scenes, "
            f"{config.train.precision}, for at most {_MINUTES.value:g} "
            "minutes; the first step compiles."
        )
        if not run.train(max_seconds=60 * _MINUTES.value):
            sys.exit("Stopped after a checkpoint; the same command goes on.")
    except (ValueError, RuntimeError) as error:
        sys.exit(f"oasis_tf.demo: {error}")
    scores = run.inspector.score()
    export = run.export()
    pictures = _draw_with(export, dataset, config, workdir / "pictures.png")
    segmented = workdir / "segmentation.png"
    Image.fromarray(run.inspector.segmentation_sheet()).save(segmented)
    print(
        f"""
Pictures drawn by the exported generator: {pictures.resolve()}
  each row one label map, each column one noise
Validation scenes segmented by the discriminator: {segmented.resolve()}
  mIoU {scores["miou_real"]:.3f} (1 is perfect)
Loss curves: {(workdir / "losses.png").resolve()}
Exported generator (SavedModel): {export.resolve()}
"""
    )
    print(_NEXT.format(workdir=workdir))


def _fastest_precision():
    """Returns mixed_bfloat16 where the machine computes in it, else float32.

    A CPU that only emulates bfloat16 takes longer with it.
    """
    if tf.config.list_physical_devices("GPU"):
        return "mixed_bfloat16"
    cpu = pathlib.Path("/proc/cpuinfo")
    flags_ = cpu.read_text().split() if cpu.is_file() else []
    has_bfloat16 = "avx512_bf16" in flags_ or "amx_bf16" in flags_
    return "mixed_bfloat16" if has_bfloat16 else "float32"


def _draw_with(export, dataset, config, path):
    """Loads an export, draws validation label maps and writes a sheet."""
    model = tf.saved_model.load(str(export))
    synthesize = model.signatures["synthesize"]
    batch = next(
        iter(
            pipeline.validation_batches(
                dataset, config.image_size, _NUM_SCENES, range(_NUM_SCENES)
            )
        )
    )
    label_map = batch["label_map"]
    looks = [
        synthesize(
            label_map=label_map,
            seed=tf.fill([len(label_map)], np.int64(look)),
        )["image"].numpy()
        for look in range(_NUM_LOOKS)
    ]
    rows = list(zip(colorize(label_map, dataset.info), *looks, strict=True))
    headings = [f"noise {look + 1}" for look in range(_NUM_LOOKS)]
    sheet = sheets.draw_sheet(rows, ["label map", *headings])
    Image.fromarray(sheet).save(path)
    return path


if __name__ == "__main__":
    app.run(main)
