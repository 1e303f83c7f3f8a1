"""Warm-up requests: what a server runs before a model is available."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2


def write(path, signatures, size, info):
    """Writes one request for each signature, at one size.

    Args:
        path: of the TFRecord file: `assets.extra/tf_serving_warmup_requests`.
        signatures: dict of name -> `Signature`.
        size: (height, width) of the training images.
        info: `DatasetInfo`.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in signatures.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = name
            for input_name, argument in signature.inputs.items():
                request.inputs[input_name].CopyFrom(
                    _example(input_name, argument, size, info)
                )
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())


def _example(name, argument, size, info):
    free = {"B": 1, "H": size[0], "W": size[1], "P": 1}
    shape = [free.get(n, n) for n in argument.shape]
    # One value stands for all: the record stays small at any size.
    value = 0
    if argument.dtype == "string":
        value = _file(name, size, info)
    return tf.make_tensor_proto(value, argument.dtype, shape)


def _file(name, size, info):
    if name == "label_map_bytes":
        an_id = min(i for i in info.label_of_id if i >= 0)
        dtype = np.uint8 if an_id < 256 else np.uint16
        return _png(np.full(size, an_id, dtype))
    if name == "noise_mask_bytes":
        return _png(np.full(size, 255, np.uint8))
    if name == "image_bytes":
        return _png(np.zeros([*size, 3], np.uint8))
    raise ValueError(f"There must be an example of {name!r}. Received: none.")


def _png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()
