"""Tensors as gRPC carries them: `TensorProto`, in both of its encodings."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.framework import types_pb2

from oasis_tf.serving.status import StatusError

_MAX_DIMENSIONS = 254
_MAX_BYTES = 2**28
"""Of a tensor: a message of few bytes may stand for one of any size."""

_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int32": "int_val",
    "uint8": "int_val",
    "int8": "int_val",
    "int16": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
    "float16": "half_val",
    "bfloat16": "half_val",
}
_HALVES = ("float16", "bfloat16")  # Carried as the 16 bits of a number.


def dtype_name(dtype):
    """Returns the name that TensorFlow's C++ code has for a `tf.DType`."""
    enum = types_pb2.DataType.Name(dtype.as_datatype_enum)
    return enum.removeprefix("DT_").lower()


def bytes_in_memory(protos):
    """Returns how many bytes the arrays of a request take at most."""
    return sum(
        max(proto.ByteSize(), min(_MAX_BYTES, _array_bytes(proto)))
        for proto in protos.values()
    )


def _array_bytes(proto):
    """Returns the bytes of the array without its strings; 0 if it is none."""
    if len(proto.tensor_shape.dim) > _MAX_DIMENSIONS:
        return 0  # Their product takes long.
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype)
    except TypeError:
        return 0
    size = math.prod(dim.size for dim in proto.tensor_shape.dim)
    return max(0, size) * (8 if dtype == tf.string else dtype.size)


def read_all(protos):
    """Returns the arrays of the inputs of a request.

    Args:
        protos: map of name -> `TensorProto`.

    Returns:
        dict of name -> array; strings are bytes in an object array.

    Raises:
        StatusError: naming a tensor that is none.
    """
    arrays = {}
    for name, proto in protos.items():
        try:
            arrays[name] = read(proto)
        except (ValueError, OverflowError, TypeError) as error:
            raise StatusError(
                "INVALID_ARGUMENT", f"tensor parsing error: {name}"
            ) from error
    return arrays


def read(proto):
    """Returns the array that a `TensorProto` stands for.

    Where there are fewer values than the shape has, the last one is repeated;
    where there is none, it is zero; where there are more, they are left over.

    Raises:
        ValueError: if it stands for none.
    """
    dtype = tf.dtypes.as_dtype(proto.dtype)
    num_dimensions = len(proto.tensor_shape.dim)
    if num_dimensions > _MAX_DIMENSIONS or dtype.name not in _FIELDS:
        raise ValueError("A tensor must be of few dimensions and a known type.")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ValueError("A tensor must have a shape.")
    size = math.prod(shape)
    if _array_bytes(proto) > _MAX_BYTES:
        raise ValueError(f"A tensor must be of at most {_MAX_BYTES} bytes.")
    if proto.tensor_content:
        flat = _read_content(proto.tensor_content, dtype, size)
    else:
        flat = _read_values(proto, dtype, size)
    return flat.reshape(shape)


def _read_content(content, dtype, size):
    if dtype == tf.string:
        return _objects(_split_strings(content, size))
    flat = np.frombuffer(content, dtype.as_numpy_dtype)
    if flat.size != size:
        raise ValueError("The content must be of the shape's size.")
    return flat


def _split_strings(content, size):
    """Returns `size` strings: all their lengths, as varints, come first."""
    lengths, at = [], 0
    for _ in range(size):
        length, shift = 0, 0
        while True:
            if at >= len(content) or shift > 63:
                raise ValueError("The content must hold the strings' lengths.")
            byte = content[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise ValueError("The content must be of its strings' lengths.")
    strings = []
    for length in lengths:
        strings.append(content[at : at + length])
        at += length
    return strings


def _read_values(proto, dtype, size):
    values = getattr(proto, _FIELDS[dtype.name])[:size]
    if dtype == tf.string:
        values = list(values) or [b""]
        return _objects(values + values[-1:] * (size - len(values)), size)
    if dtype.name in _HALVES:
        bits = np.array(values, np.int64).astype(np.uint16)
        flat = bits.view(dtype.as_numpy_dtype)
    elif _FIELDS[dtype.name] == "int_val":
        # Numbers that are too large wrap, as in C++.
        flat = np.array(values, np.int64).astype(dtype.as_numpy_dtype)
    else:
        flat = np.array(values, dtype.as_numpy_dtype)
    if len(flat) == size:
        return flat
    last = flat[-1:] if len(flat) else np.zeros(1, flat.dtype)
    return np.concatenate([flat, np.repeat(last, size - len(flat))])


def _objects(strings, size=None):
    array = np.empty(len(strings) if size is None else size, object)
    array[:] = strings[: len(array)]
    return array


def write(array):
    """Returns the `TensorProto` of an array, in the typed field.

    Not in `tensor_content`: that is what TF Serving does, and some clients
    read nothing else.
    """
    dtype = tf.dtypes.as_dtype(array.dtype)
    if array.dtype == object:
        dtype = tf.string
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = array.ravel()
    if dtype.name in _HALVES:
        flat = flat.view(np.uint16)
    getattr(proto, _FIELDS[dtype.name]).extend(flat.tolist())
    return proto
