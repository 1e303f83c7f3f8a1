"""One loaded version of a model, run as TF Serving runs it."""

import pathlib
import threading

import grpc
import numpy as np
import tensorflow as tf
from absl import logging
from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from oasis_tf.serving import tensor_protos
from oasis_tf.serving.status import StatusError

DEFAULT_SIGNATURE = "serving_default"

_INIT = "__saved_model_init_op"
_WARMUP = "assets.extra/tf_serving_warmup_requests"
_MAX_WARMUP_RECORDS = 1000
_XLA = "_XlaMustCompile"
_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class Servable:
    """A SavedModel in a session of its own.

    A session, rather than `tf.saved_model.load`, because TF Serving has one,
    too: time limits, errors and their texts are the same.

    Args:
        name: of the model.
        version: int.
        folder: of the SavedModel.
        tags: set of strings: which of its graphs.
        session_config: `tf.compat.v1.ConfigProto`, or None.

    Raises:
        StatusError: if it cannot be loaded.
    """

    def __init__(self, name, version, folder, tags, session_config=None):
        self.name = name
        self.version = version
        self.folder = pathlib.Path(folder)
        self._users = 0
        self._changed = threading.Condition()
        meta_graph = _read_meta_graph(self.folder, tags)
        self.signature_defs = dict(meta_graph.signature_def)
        self._compiled = _compiled_signatures(meta_graph)
        self._session = tf.compat.v1.Session(
            graph=tf.Graph(), config=session_config
        )
        try:
            self._restore(meta_graph)
        except (tf.errors.OpError, ValueError, KeyError, TypeError) as error:
            self._session.close()
            raise _as_status(error) from error

    def _restore(self, meta_graph):
        # The server does not compare shapes with the signature's: the graph
        # does, in its own words.
        for node in meta_graph.graph_def.node:
            if node.op == "Placeholder":
                node.attr["shape"].shape.Clear()
                node.attr["shape"].shape.unknown_rank = True
                node.attr.pop("_output_shapes", None)
        variables = self.folder / "variables/variables"
        with self._session.graph.as_default():
            saver = tf.compat.v1.train.import_meta_graph(meta_graph)
            # A model without the file has no variables.
            if saver and variables.with_suffix(".index").is_file():
                saver.restore(self._session, str(variables))
            elif any(n.op == "VarHandleOp" for n in meta_graph.graph_def.node):
                logging.warning(
                    "%s has no variables/variables.index, as if it were half "
                    "copied: it is served without its weights.",
                    self.folder,
                )
            assets = {
                asset.tensor_info.name: str(
                    self.folder / "assets" / asset.filename
                )
                for asset in meta_graph.asset_file_def
            }
            if _INIT in self.signature_defs:
                init = self.signature_defs[_INIT].outputs[_INIT].name
                self._session.run(init, assets)

    def signature(self, name):
        """Returns the `SignatureDef` of a name, or None."""
        if name == _INIT or name not in self.signature_defs:
            return None
        return self.signature_defs[name]

    def acquire(self):
        """Takes part: the session stays open until `release`."""
        with self._changed:
            self._users += 1

    def release(self):
        with self._changed:
            self._users -= 1
            self._changed.notify_all()

    def close(self, seconds=None):
        """Frees the model when nobody uses it any more.

        Args:
            seconds: how long to wait for that at most; None for ever.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._users, seconds)
        self._session.close()

    def run(self, signature_name, inputs, output_names=None, seconds=None):
        """Runs a signature.

        Args:
            signature_name: of one of `signature_defs`.
            inputs: dict of input name -> array.
            output_names: list of names; None for all.
            seconds: time limit, or None.

        Returns:
            dict of output name -> array.

        Raises:
            StatusError: as TF Serving would answer.
        """
        signature = self.signature_defs[signature_name]
        if signature_name in self._compiled:
            raise StatusError("INTERNAL", "XLA compilation disabled")
        names = output_names or list(signature.outputs)
        feeds = {}
        for i, (name, info) in enumerate(sorted(signature.inputs.items())):
            if name not in inputs:
                continue
            expected = tf.dtypes.as_dtype(info.dtype)
            found = tf.dtypes.as_dtype(inputs[name].dtype)
            if found != expected:
                raise StatusError(
                    "INVALID_ARGUMENT",
                    f"Expects arg[{i}] to be "
                    f"{tensor_protos.dtype_name(expected)} but "
                    f"{tensor_protos.dtype_name(found)} is provided",
                )
            feeds[info.name] = inputs[name]
        options = None
        if seconds is not None:
            options = tf.compat.v1.RunOptions(
                timeout_in_ms=max(1, int(1000 * seconds))
            )
        try:
            values = self._session.run(
                [signature.outputs[name].name for name in names],
                feeds,
                options=options,
            )
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise _as_status(error) from error
        return {name: _as_array(v) for name, v in zip(names, values)}

    def warm_up(self, num_iterations=1):
        """Runs the requests that the model brings along for that.

        Args:
            num_iterations: how often each.

        Returns:
            How many requests there were.

        Raises:
            StatusError: if one of them fails, or the file cannot be read.
        """
        path = self.folder / _WARMUP
        if not path.is_file():
            return 0
        num_records = 0
        try:
            records = tf.data.TFRecordDataset(str(path))
            for record in records.as_numpy_iterator():
                num_records += 1
                if num_records > _MAX_WARMUP_RECORDS:
                    raise StatusError(
                        "INVALID_ARGUMENT",
                        f"{path}: at most {_MAX_WARMUP_RECORDS} warm-up "
                        "records are allowed",
                    )
                self._warm_up_by(record, num_iterations)
        except (tf.errors.OpError, message.DecodeError) as error:
            raise StatusError(
                "DATA_LOSS", f"{path} cannot be read: {_first_line(error)}"
            ) from error
        return num_records

    def _warm_up_by(self, record, num_iterations):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        if kind != "predict_log":
            raise StatusError(
                "UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}"
            )
        request = log.predict_log.request
        signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if signature not in self.signature_defs:
            raise StatusError(
                "FAILED_PRECONDITION",
                f'Serving signature key "{signature}" not found.',
            )
        inputs = tensor_protos.read_all(request.inputs)
        for _ in range(num_iterations):
            self.run(signature, inputs)


def _read_meta_graph(folder, tags):
    path = folder / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(path.read_bytes())
    except FileNotFoundError as error:
        raise StatusError(
            "NOT_FOUND",
            f"Could not find SavedModel .pb or .pbtxt at supplied export "
            f"directory path: {folder}.",
        ) from error
    except (OSError, message.DecodeError) as error:
        raise StatusError(
            "DATA_LOSS", f"Can't parse {path} as binary proto ({error})"
        ) from error
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == set(tags):
            return meta_graph
    found = [
        "{ " + " ".join(m.meta_info_def.tags) + " }"
        for m in saved_model.meta_graphs
    ]
    raise StatusError(
        "NOT_FOUND",
        "Could not find meta graph def matching supplied tags: "
        f"{{ {' '.join(sorted(tags))} }}. {path} has {', '.join(found)}.",
    )


def _compiled_signatures(meta_graph):
    """Returns the signatures that need XLA, which TF Serving refuses."""
    library = meta_graph.graph_def.library
    functions = {f.signature.name: f for f in library.function}
    nodes = {node.name: node for node in meta_graph.graph_def.node}

    def needs_xla(some_nodes):
        waiting, seen = list(some_nodes), set()
        while waiting:
            node = waiting.pop()
            if _is_set(node, _XLA):
                return True
            for attribute in node.attr.values():
                name = attribute.func.name
                if name not in functions or name in seen:
                    continue
                seen.add(name)
                if _is_set(functions[name], _XLA):
                    return True
                waiting += functions[name].node_def
        return False

    return {
        name
        for name, signature in meta_graph.signature_def.items()
        if needs_xla(
            nodes[node_name]
            for output in signature.outputs.values()
            if (node_name := output.name.partition(":")[0]) in nodes
        )
    }


def _is_set(node, name):
    # Asking the map itself would put the name into it.
    return name in node.attr and node.attr[name].b


def _as_status(error):
    """Returns the `StatusError` of what TensorFlow raised."""
    if not isinstance(error, tf.errors.OpError):
        return StatusError("INVALID_ARGUMENT", _first_line(error))
    text = error.message
    # What Python's session puts in front; TF Serving has the text alone.
    text = text.removeprefix("Graph execution error:\n\n")
    _, found, rest = text.partition("<stack traces unavailable>\n")
    text = rest if found else text
    return StatusError(_CODE_NAMES.get(error.error_code, "UNKNOWN"), text)


def _first_line(error):
    return str(error).strip().partition("\n")[0]


def _as_array(value):
    # As bytes of NumPy's, a string would lose the zeros at its end.
    return np.asarray(value, object if isinstance(value, bytes) else None)
