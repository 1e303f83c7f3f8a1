"""The whole way in minutes: train on generated scenes, export, draw.

python -m oasis_tf.demo --workdir=W
"""

import os
import pathlib
import sys
import time

from absl import flags
from absl import logging
from PIL import Image

from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import processor

processor.use_onednn()  # Before TensorFlow is imported.

import tensorflow as tf

from oasis_tf import data
from oasis_tf import sheets
from oasis_tf.data import pipeline
from oasis_tf.data.label_map import colorize
from oasis_tf.data.label_map import restore
from oasis_tf.inference.generator import load_generator
from oasis_tf.training import loop
from oasis_tf.training.checkpoint import CheckpointError
from oasis_tf.training.checkpoint import NonFiniteError

_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/demo", "Folder of everything that the demo writes."
)
_MINUTES = flags.DEFINE_float(
    "minutes",
    7.0,
    "Training ends so many minutes after the start, at the latest.",
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value; any setting of oasis_tf/config.py."
)

_NUM_SCENES = 6
_NUM_LOOKS = 6

_NEXT = """\
What to try next:
  new noise for one class, the way between looks, a photo segmented and drawn
  anew (photos and label maps of the first validation scenes are in {examples}):
    {python} -m oasis_tf.synthesize --model={workdir} \
--label_map={examples}/map0.png --resample_class=sky
    {python} -m oasis_tf.synthesize --model={workdir} \
--label_map={examples}/map0.png --interpolate=12
    {python} -m oasis_tf.segment --model={workdir} \
--image={examples}/photo0.png --label_map={examples}/map0.png
    {python} -m oasis_tf.recreate --model={workdir} \
--image={examples}/photo0.png
  the models on a page of your browser, http://127.0.0.1:8501, over REST and
  gRPC:
    {python} -m oasis_tf.serve --workdir={workdir}
  a page to paint label maps on, which needs npm once (http://127.0.0.1:8600):
    {python} -m oasis_tf.demo_page --model={workdir}
  a run of an hour, with better pictures:
    {python} -m oasis_tf.train --dataset=toy_scenes --workdir=runs/hour \
--set=train.num_steps=10000
  your own images and label maps:
    {python} -m oasis_tf.inspect_data --dataset=folder --data_dir=YOUR_FOLDER
    {python} -m oasis_tf.train --dataset=folder --data_dir=YOUR_FOLDER
  the run's curves and sheets:
    {python} -m tensorboard.main --logdir={workdir}/summaries
"""


def main():
    start = time.monotonic()
    logging.set_verbosity(logging.ERROR)
    workdir = pathlib.Path(_WORKDIR.value)
    config = config_lib.override(
        config_lib.load("toy_scenes"),
        [f"train.precision={_fastest_precision()}", *_SET.value],
    )
    dataset = data.load(config.dataset, None, config.data, config.image_size)
    # One device: the batch is too small to be spread over more.
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    device = "GPU:0" if has_gpu else "CPU:0"
    run = loop.Run(config, dataset, workdir, [device])
    print(
        f"Training on {dataset.num_examples['train']} generated scenes, "
        f"{config.train.precision}, for at most {_MINUTES.value:g} minutes; "
        "the first step compiles."
    )
    try:
        is_complete = run.train(
            max_seconds=60 * _MINUTES.value - (time.monotonic() - start)
        )
    except (NonFiniteError, CheckpointError) as error:
        return command_line.fail(error, 1)
    num_steps = int(run.state.step.numpy())
    if not is_complete:
        print(
            f"Stopped at step {num_steps}; the same command goes on from the "
            "last checkpoint."
        )
        return 0
    if num_steps < config.train.num_steps:
        print(
            f"Time is up after {num_steps} of {config.train.num_steps} steps: "
            "more minutes give better pictures (make demo ARGS=--minutes=20)."
        )
    scores = run.scores or run.inspector.score()
    export = run.export()
    images, label_maps = _validation_scenes(dataset, config)
    pictures = workdir / "pictures.png"
    _draw_with(export, label_maps, pictures)
    examples = workdir / "examples"
    _write_examples(images, label_maps, dataset.info, examples)
    segmented = workdir / "segmentation.png"
    Image.fromarray(run.inspector.segmentation_sheet()).save(segmented)
    print(
        f"""
Pictures drawn by the exported generator: {pictures.resolve()}
  each row one label map, each column one noise
Validation scenes segmented by the discriminator: {segmented.resolve()}
  mIoU {scores["miou_real"]:.3f} (1 is perfect)
Loss curves: {(workdir / "losses.png").resolve()}
Exported generator and segmenter (SavedModels): {export.parent.parent.resolve()}
"""
    )
    python = os.path.relpath(sys.executable)
    print(_NEXT.format(workdir=workdir, examples=examples, python=python))
    return 0


def _fastest_precision():
    """Returns mixed_bfloat16 where the machine computes in it, else float32.

    A CPU that only emulates bfloat16 takes longer with it.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        is_ampere = details.get("compute_capability", (0, 0)) >= (8, 0)
        return "mixed_bfloat16" if is_ampere else "float32"
    has_bfloat16 = {"avx512_bf16", "amx_bf16"} & processor.features()
    return "mixed_bfloat16" if has_bfloat16 else "float32"


def _validation_scenes(dataset, config):
    """Returns images and label maps of the first validation scenes."""
    num_scenes = min(_NUM_SCENES, dataset.num_examples["validation"])
    batches = pipeline.validation_batches(
        dataset, config.image_size, _NUM_SCENES, range(num_scenes)
    )
    batch = next(batches.as_numpy_iterator())
    return batch["image"], batch["label_map"]


def _draw_with(export, label_maps, path):
    """Loads an export, draws label maps and writes a sheet."""
    generator = load_generator(export)
    looks = [
        generator.draw(label_maps, seeds=[look] * len(label_maps))
        for look in range(_NUM_LOOKS)
    ]
    colors = colorize(label_maps, generator.info)
    headings = [f"noise {look + 1}" for look in range(_NUM_LOOKS)]
    sheet = sheets.draw_sheet(
        list(zip(colors, *looks, strict=True)), ["label map", *headings]
    )
    Image.fromarray(sheet).save(path)


def _write_examples(images, label_maps, info, folder):
    """Writes files to try the other commands with."""
    folder.mkdir(exist_ok=True)
    for n, (image, label_map) in enumerate(zip(images, label_maps)):
        Image.fromarray(image).save(folder / f"photo{n}.png")
        Image.fromarray(restore(label_map, info)).save(folder / f"map{n}.png")


if __name__ == "__main__":
    command_line.run(main)
