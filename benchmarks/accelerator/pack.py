"""Writes a data set's training examples into one file, for `run.py`.

    python -m benchmarks.accelerator.pack --dataset=folder --data_dir=D \
        --out=data.npz

Images and label maps are resized as in training, to `data.load_size` or else
to `image_size`; cropping and mirroring are left to `run.py`. The file holds
`image` `[N, h, w, 3]`, uint8, `label_map` `[N, h, w]`, and `facts`, what a work
directory keeps about its data, in JSON.
"""

import json
import pathlib

import numpy as np
from absl import flags

from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import data
from oasis_tf.data import pipeline

_DATASET = flags.DEFINE_string(
    "dataset",
    "toy_scenes",
    "Experiment in configs/, named after its data set, or a file like those.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of the data set's own files."
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value; any setting of oasis_tf/config.py."
)
_LIMIT = flags.DEFINE_integer(
    "limit", 10_000, "At most so many examples: the file is held in memory.", 1
)
_OUT = flags.DEFINE_string("out", None, "File to write, .npz.", required=True)

_BATCH_SIZE = 16  # Of reading; it shows in nothing.


def main():
    config = config_lib.override(config_lib.load(_DATASET.value), _SET.value)
    dataset = data.load(
        config.dataset, _DATA_DIR.value, config.data, config.image_size
    )
    size = config.data.load_size or config.image_size
    num_examples = min(dataset.num_examples["train"], _LIMIT.value)
    # Allocated once: twice a large data set might not fit.
    images = np.empty([num_examples, *size, 3], np.uint8)
    dtype = np.min_scalar_type(dataset.info.semantic_channels - 1)
    label_maps = np.empty([num_examples, *size], dtype)
    done = 0
    for batch in pipeline.validation_batches(
        dataset, size, _BATCH_SIZE, range(num_examples), "train"
    ):
        place = slice(done, done + len(batch["image"]))
        images[place], label_maps[place] = batch["image"], batch["label_map"]
        done = place.stop
    facts = {
        "num_examples": dataset.num_examples,
        "num_bytes": dataset.num_bytes,
        "info": json.loads(dataset.info.to_json()),
    }
    out = pathlib.Path(_OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "wb") as file:
        np.savez(
            file, image=images, label_map=label_maps, facts=json.dumps(facts)
        )
    print(f"{out}: {num_examples} examples of {size[0]} x {size[1]} pixels.")


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
