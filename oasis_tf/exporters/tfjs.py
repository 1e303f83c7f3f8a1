"""The averaged generator for TensorFlow.js, in a browser or in Node."""

import base64
import hashlib
import json
import os
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from oasis_tf.data.image import to_uint8
from oasis_tf.data.label_map import one_hot
from oasis_tf.exporters import converter
from oasis_tf.exporters import light_files
from oasis_tf.exporters.comparison import compare
from oasis_tf.exporters.comparison import examples
from oasis_tf.exporters.comparison import noise_of
from oasis_tf.exporters.light_generator import LightGenerator
from oasis_tf.exporters.tfjs_graph import GraphModel

PRECISIONS = ("float32", "float16")

DESCRIPTION = "oasis.json"
"""Beside model.json: what `light_files.facts` returns, and the files' sums."""

CHECK = "check.json"
"""Beside it: inputs, and the picture that the network draws of them."""


def export_generator(
    generator, config, info, folder, precision, label_maps, progress=print
):
    """Writes a folder with a graph model of TF.js.

    Its one signature is `synthesize_places` of `LightGenerator`, in any size:
    with one place it is global noise, with two a local edit, with a place for
    each pixel 3D noise. (A generator without noise has `synthesize`.) The
    folder appears when it is complete.

    TensorFlow runs what is in the files, and compares it with the network. What
    runs the model later can do so, too: `check.json` has a label map, noise and
    the picture.

    Args:
        generator: `Generator`, with the statistics to infer with.
        config: `Config` of its training.
        info: `DatasetInfo`.
        folder: path, which must not be there.
        precision: "float32", or "float16": weights of half the size, which are
            brought to float32 when they are loaded.
        label_maps: list of `[H, W]` int32 arrays, one at least. Labels. The
            first is for `check.json`; the last few are compared.
        progress: function of a line of text.

    Returns:
        The `Difference` from the network's own pictures, dict by signature.

    Raises:
        ConversionError: if it is larger than the precision accounts for.
        InstallationError: if the converter cannot be had, or does not convert.
        ValueError: if the precision is none, there is no label map, or the
            folder is there.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. Received: "
            f"{precision!r}."
        )
    folder = pathlib.Path(folder)
    light_files.check_label_maps(label_maps)
    light_files.check_free(folder)
    light = LightGenerator(generator, config.generator.noise)
    name = [*light.signatures][-1]
    signature = light.signatures[name]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=".", dir=folder.parent
    ) as temporary:
        saved_model = os.path.join(temporary, "saved_model")
        tf.saved_model.save(
            light, saved_model, signatures={name: light.compile()[name]}
        )
        model = pathlib.Path(temporary, "model")
        converter.convert(
            saved_model,
            name,
            model,
            ["--quantize_float16=*"] if precision == "float16" else [],
            progress,
        )
        _split_sums(model / "model.json")
        progress("Comparing its pictures with the network's...")
        run = GraphModel(model).run
        difference = compare(
            precision, generator, name, signature, label_maps, run
        )
        check = _check(generator, name, signature, label_maps[0])
        (model / CHECK).write_text(json.dumps(check))
        description = light_files.facts(
            config, info, generator, {name: signature}, {name: difference}
        )
        description |= {
            "precision": precision,
            "files": {
                file.name: {
                    "num_bytes": file.stat().st_size,
                    "sha256": _sum_of(file),
                }
                for file in sorted(model.iterdir())
            },
        }
        (model / DESCRIPTION).write_text(json.dumps(description, indent=1))
        os.rename(model, folder)
    return {name: difference}


def is_whole(folder):
    """Returns whether a folder holds what an export wrote, byte by byte."""
    folder = pathlib.Path(folder)
    try:
        files = json.loads((folder / DESCRIPTION).read_text())["files"]
        return all(
            _sum_of(folder / name) == told["sha256"]
            for name, told in files.items()
        )
    except (OSError, ValueError, KeyError):
        return False


def _sum_of(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _split_sums(path):
    """Takes sums of feature maps out of fused convolutions.

    The converter makes a convolution without bias and the sum of a residual
    block one operation, with the other feature map for a bias. The WASM back
    end refuses that: a bias has one axis.

    Args:
        path: of model.json, which is changed.
    """
    model = json.loads(path.read_text())
    nodes = model["modelTopology"]["node"]
    kinds = {node["name"]: node["op"] for node in nodes}
    sums = []
    for node in nodes:
        if node["op"] != "_FusedConv2D" or kinds[node["input"][2]] == "Const":
            continue
        name, (x, kernel, other) = node["name"], node["input"]
        attributes = node["attr"]
        fused = [
            base64.b64decode(operation).decode()
            for operation in attributes["fused_ops"]["list"]["s"]
        ]
        dtype = {"T": attributes["T"]}
        node["name"], node["op"] = f"{name}/convolution", "Conv2D"
        node["input"] = [x, kernel]
        kept = ("T", "strides", "padding", "data_format", "dilations")
        node["attr"] = {key: attributes[key] for key in kept}
        total = {"op": "AddV2", "input": [node["name"], other], "attr": dtype}
        if fused == ["BiasAdd", "LeakyRelu"]:
            alpha = {"alpha": attributes["leakyrelu_alpha"]}
            sums.append(total | {"name": f"{name}/sum"})
            total = {
                "op": "LeakyRelu",
                "input": [f"{name}/sum"],
                "attr": dtype | alpha,
            }
        elif fused != ["BiasAdd"]:
            raise converter.InstallationError(
                f"{name} must be a convolution with a sum and perhaps a leaky "
                f"ReLU. Received: {', '.join(fused)}."
            )
        sums.append(total | {"name": name})
    nodes += sums
    path.write_text(json.dumps(model))


def _check(generator, name, signature, label_map):
    """Returns inputs and the network's picture of them, as JSON takes it."""
    [inputs] = examples(signature, [label_map])
    semantic_map = one_hot(inputs["label_map"], generator.semantic_channels)
    image = to_uint8(generator(noise_of(name, inputs), semantic_map))
    return {
        "signature": name,
        "inputs": {
            key: {
                "dtype": str(value.dtype),
                "shape": value.shape,
                "values": np.ravel(value).tolist(),
            }
            for key, value in inputs.items()
        },
        # Numbers as they are: some browsers change a picture's a little.
        "image": base64.b64encode(image.numpy().tobytes()).decode(),
    }
