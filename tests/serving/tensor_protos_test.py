"""Tensors as gRPC carries them."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.core.framework import tensor_pb2

from oasis_tf.serving import tensor_protos
from oasis_tf.serving.status import StatusError


def proto(dtype, shape, **fields):
    message = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, **fields)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


class TensorProtosTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        "float32", "float64", "int8", "uint8", "int16", "uint16", "int32",
        "uint32", "int64", "uint64", "bool", "float16", "bfloat16",
    )  # fmt: skip
    def test_what_is_written_is_read_again(self, name):
        dtype = tf.dtypes.as_dtype(name).as_numpy_dtype
        array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
        message = tensor_protos.write(array)
        self.assertEmpty(message.tensor_content)
        again = tensor_protos.read(message)
        self.assertEqual(again.dtype, array.dtype)
        self.assertAllEqual(again, array)
        self.assertAllEqual(tf.make_ndarray(message), array)

    def test_content_is_read_like_typed_fields(self):
        array = np.arange(6, dtype=np.int32).reshape(2, 3)
        message = proto(tf.int32, [2, 3], tensor_content=array.tobytes())
        self.assertAllEqual(tensor_protos.read(message), array)

    def test_strings_are_read_from_both(self):
        strings = [b"", b"\xff\xfe", b"x" * 200]
        typed = proto(tf.string, [3], string_val=strings)
        # Lengths as varints, then the bytes: 200 takes two.
        content = bytes([0, 2, 200 & 127 | 128, 1]) + b"".join(strings)
        packed = proto(tf.string, [3], tensor_content=content)
        for message in (typed, packed):
            self.assertEqual(list(tensor_protos.read(message)), strings)

    def test_the_last_value_is_repeated_and_none_is_zero(self):
        some = proto(tf.float32, [2, 2], float_val=[1, 2])
        self.assertAllEqual(tensor_protos.read(some), [[1, 2], [2, 2]])
        none = proto(tf.int64, [3])
        self.assertAllEqual(tensor_protos.read(none), [0, 0, 0])
        more = proto(tf.int32, [1], int_val=[7, 8])
        self.assertAllEqual(tensor_protos.read(more), [7])

    @parameterized.named_parameters(
        ("length", proto(tf.int32, [2], tensor_content=b"123")),
        ("negative", proto(tf.int32, [-1], int_val=[1])),
        ("dtype", tensor_pb2.TensorProto()),
        ("size", proto(tf.float32, [2**20, 2**20], float_val=[1])),
        ("rank", proto(tf.float32, [1] * 255, float_val=[1])),
        ("strings", proto(tf.string, [2], tensor_content=b"\x05\x01ab")),
    )
    def test_broken_ones_are_told_by_name(self, message):
        with self.assertRaises(StatusError) as caught:
            tensor_protos.read_all({"x": message})
        self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")
        self.assertEqual(caught.exception.message, "tensor parsing error: x")

    def test_few_bytes_count_as_the_array_that_they_stand_for(self):
        message = proto(tf.float32, [1000, 10], float_val=[1])
        self.assertEqual(tensor_protos.bytes_in_memory({"x": message}), 40000)
        self.assertGreaterEqual(
            tensor_protos.bytes_in_memory(
                {"x": proto(tf.string, [1], string_val=[b"x" * 99])}
            ),
            99,
        )


if __name__ == "__main__":
    tf.test.main()
