"""A graph model of TensorFlow.js, run by TensorFlow: what is in its files."""

import json
import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import graph_pb2


class GraphModel:
    """A graph model from its files.

    Args:
        folder: path with model.json and the files of weights.
    """

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        model = json.loads((folder / "model.json").read_text())
        graph = json_format.ParseDict(
            model["modelTopology"],
            graph_pb2.GraphDef(),
            ignore_unknown_fields=True,
        )
        weights = _read_weights(folder, model["weightsManifest"])
        for node in graph.node:
            if node.op == "Const":
                node.attr["value"].tensor.CopyFrom(
                    tf.make_tensor_proto(weights[node.name])
                )
        imported = tf.compat.v1.wrap_function(
            lambda: tf.graph_util.import_graph_def(graph, name=""), []
        )
        names = {
            kind: {
                name.partition(":")[0]: tensor["name"]
                for name, tensor in model["signature"][kind].items()
            }
            for kind in ("inputs", "outputs")
        }
        self._names = list(names["inputs"])
        self._function = imported.prune(
            [_tensor(imported.graph, n) for n in names["inputs"].values()],
            _tensor(imported.graph, names["outputs"]["image"]),
        )

    def run(self, inputs):
        """Returns the picture `[1, H, W, 3]`, uint8, of a dict of arrays."""
        tensors = [tf.constant(inputs[name]) for name in self._names]
        return self._function(*tensors).numpy()


def _tensor(graph, name):
    return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")


def _read_weights(folder, manifest):
    """Returns a dict of name -> array, in the dtypes of the graph."""
    weights = {}
    for group in manifest:
        content = b"".join(
            (folder / path).read_bytes() for path in group["paths"]
        )
        start = 0
        for weight in group["weights"]:
            stored = weight.get("quantization", weight)["dtype"]
            count = int(np.prod(weight["shape"], dtype=np.int64))
            values = np.frombuffer(content, stored, count, start)
            start += values.nbytes
            weights[weight["name"]] = values.astype(weight["dtype"]).reshape(
                weight["shape"]
            )
    return weights
