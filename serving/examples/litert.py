"""Draws a label map with a TFLite model, without TensorFlow.

    pip install ai-edge-litert numpy pillow
    python serving/examples/litert.py generator-....tflite map.png 3 image.png

Arguments: a model of `python -m oasis_tf.export --format=tflite`, with its JSON
file beside it; a label map (a PNG file in the ids of the data set's files, of
the model's size); a seed (each whole number from 0 is another look); the file
to write the picture to.
"""

import json
import pathlib
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image


def synthesize(model, facts, label_map, seed):
    """Returns the picture of a label map, [H, W, 3], uint8.

    `facts` is what the JSON file holds; `label_map` are ids, [H, W].
    """
    # The model takes labels, places in the list of classes, for these ids.
    label_of_id = facts["dataset_info"]["label_of_id"]
    labels = np.full(2**16, -1, np.int32)
    for an_id, label in label_of_id.items():
        if int(an_id) >= 0:
            labels[int(an_id)] = label
    labels = labels[label_map]
    # It would not check them.
    if (labels < 0).any():
        wrong = np.unique(label_map[labels < 0])
        raise ValueError(f"The label map holds ids that are none: {wrong}.")

    inputs = {"label_map": labels[np.newaxis]}
    if facts["noise_channels"]:
        # Standard normal numbers: one vector, or one for each pixel.
        shape = [1, facts["noise_channels"]]
        if facts["noise"] == "pixel":
            shape[1:1] = labels.shape
        noise = np.random.default_rng(seed).standard_normal(shape)
        inputs["z"] = noise.astype(np.float32)
    return Interpreter(str(model)).get_signature_runner("synthesize")(**inputs)[
        "image"
    ][0]


def check_size(facts, label_map):
    """Raises a ValueError if the model takes no label map of this size."""
    multiple = facts["size_multiple"]
    if facts["size"] and list(label_map.shape) != facts["size"]:
        wanted = "the height and width " + " x ".join(map(str, facts["size"]))
    elif any(n % multiple for n in label_map.shape):
        wanted = f"height and width in multiples of {multiple}"
    else:
        return
    received = " x ".join(map(str, label_map.shape))
    raise ValueError(f"The label map must have {wanted}. Received: {received}.")


def read_ids(path):
    """Returns the ids of a label map, [H, W]."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P", "I;16"):
                raise ValueError(
                    "it must have one channel of 8 or 16 bits, or a palette; "
                    f"its mode is {image.mode}"
                )
            return np.array(image)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error


def read_facts(model):
    """Returns what the JSON file beside a model holds."""
    path = pathlib.Path(model).with_suffix(".json")
    if not pathlib.Path(model).is_file():
        raise ValueError(f"{model} must be a TFLite model. It is not there.")
    try:
        facts = json.loads(path.read_text())
        if "dataset_info" not in facts:
            raise ValueError("it has no dataset_info")
        return facts
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} must be there, as the export wrote it: {error}."
        ) from error


def main():
    if len(sys.argv) != 5:
        sys.exit(f"Usage: {sys.argv[0]} MODEL LABEL_MAP SEED OUTPUT")
    model, label_map, seed, output = sys.argv[1:]
    try:
        if not seed.isdecimal():
            raise ValueError(f"SEED must be a number from 0. Received: {seed}.")
        facts = read_facts(model)
        ids = read_ids(label_map)
        check_size(facts, ids)
        Image.fromarray(synthesize(model, facts, ids, int(seed))).save(output)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
