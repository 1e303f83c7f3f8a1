"""What the SavedModels of the generator and the segmenter have in common."""

import json

import tensorflow as tf

from oasis_tf.exporters.plain_network import PlainNetwork
from oasis_tf.exporters.signatures import Argument
from oasis_tf.exporters.signatures import Signature
from oasis_tf.exporters.signatures import describe
from oasis_tf.models.inference_form import inference_form

WEIGHT_DTYPES = ("float32", "float16", "bfloat16")
CONVOLUTIONS = ("winograd", "direct")

_DESCRIBE = Signature(
    "Tells what a client needs to know, as JSON texts.",
    {
        "key": Argument(
            "string", ("B",), '"dataset_info", "signatures" or "model".'
        )
    },
    {"value": Argument("string", ("B",), "The JSON text.")},
)


class ServedNetwork(PlainNetwork):
    """A network behind the signatures of a SavedModel.

    Args:
        network: `Generator` or `Discriminator`.
        info: `DatasetInfo`.
        weights: dtype in which kernels are stored. They are brought to float32
            when the model runs; all else is float32 anyway.
        max_pixels: the most pixels, batch times height times width, that run
            at a time.
        convolutions: "winograd", which on CPUs takes less time, with larger
            kernels (see `models/winograd.py`), or "direct". None for the
            former with float32 weights. Those of 16 bits go with the latter
            only: brought to the points, their rounding would show.

    Raises:
        ValueError: if `weights` or `convolutions` are none of their choices, or
            do not go together.
    """

    def __init__(self, network, info, weights, max_pixels, convolutions=None):
        check_choice("weights", weights, WEIGHT_DTYPES)
        if convolutions is None:
            convolutions = "winograd" if weights == "float32" else "direct"
        check_choice("convolutions", convolutions, CONVOLUTIONS)
        if convolutions == "winograd" and weights != "float32":
            raise ValueError(
                "`convolutions` must be direct with weights of 16 bits. "
                f"Received: 'winograd' with weights={weights!r}."
            )
        network_copy = inference_form(
            network, has_winograd=convolutions == "winograd"
        )
        super().__init__(network_copy, weights)
        self.info = info
        self._convolutions = convolutions
        self._max_pixels = max_pixels
        self._size_multiple = network.size_multiple

    def compile(self):
        functions = super().compile()
        texts = self.texts()
        functions["describe"] = _DESCRIBE.compile(
            lambda key: {"value": _look_up(key, texts)}
        )
        return functions

    def texts(self):
        """Returns what `describe` tells: a dict of key -> JSON text."""
        described = self.signatures | {"describe": _DESCRIBE}
        return {
            "dataset_info": self.info.to_json(),
            "signatures": json.dumps(describe(described), indent=1),
            "model": json.dumps(self.facts(), indent=1),
        }

    def facts(self):
        """Returns what a client may ask of the model, as JSON takes it."""
        return {
            "size_multiple": self._size_multiple,
            "max_pixels": self._max_pixels,
            "convolutions": self._convolutions,
        }

    def _check_size(self, name, shape):
        """Returns the (height, width) `[2]` of an input, checked.

        Args:
            name: of the input, for the messages.
            shape: `[3]`, int32: batch, height and width.
        """
        multiple, limit = self._size_multiple, self._max_pixels
        size = shape[1:]
        checks = [
            tf.debugging.Assert(
                tf.reduce_all((size > 0) & (size % multiple == 0)),
                [
                    f"{name}: height and width must be multiples of "
                    f"{multiple}; got",
                    *tf.unstack(size),
                ],
            ),
            tf.debugging.Assert(
                _num_pixels(shape) <= limit,
                [
                    f"{name}: batch times height times width must be at most "
                    f"{limit}; got",
                    *tf.unstack(shape),
                ],
            ),
        ]
        with tf.control_dependencies(checks):
            return tf.identity(size)

    def _check_file_size(self, name, size):
        """Does the same for the size `[2]` of a file."""
        return self._check_size(name, tf.concat([[1], size], axis=0))

    def _in_one_batch_or_singly(self, sizes, run):
        """Runs files of one size as one batch, if it is not too large.

        Others are run one after the other: a network's activations are large.

        Args:
            sizes: `[B, 2]`, int32.
            run: function of a slice of the batch returning as many strings.

        Returns:
            `[B]`, string.
        """
        num_files = tf.shape(sizes)[0]
        is_batch = tf.reduce_all(sizes == sizes[:1])
        is_batch &= (
            tf.cast(num_files, tf.int64) * tf.reduce_max(_num_pixels(sizes))
            <= self._max_pixels
        )
        # Once at least: so it is known what nothing looks like.
        end = tf.maximum(num_files, 1)
        at_a_time = tf.where(is_batch, end, 1)
        # A loop in any case: the network is in the graph once, and a server
        # that loads it is ready the sooner.
        parts = tf.map_fn(
            lambda first: run(slice(first, first + at_a_time)),
            tf.range(0, end, at_a_time),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([None], tf.string),
        )
        return tf.reshape(parts, [num_files])

    def _check_same_size(self, name, size, other, expected):
        check = tf.debugging.Assert(
            tf.reduce_all(size == expected),
            [
                f"{name}: must have the height and width of {other},",
                expected,
                "; got",
                size,
            ],
        )
        with tf.control_dependencies([check]):
            return tf.identity(size)

    def _check_batch(self, first, first_name, **others):
        """Returns the first input, checked against the others' batch."""
        size = tf.shape(first)[0]
        checks = [
            tf.debugging.Assert(
                tf.shape(tensor)[0] == size,
                [
                    f"{name}: must have an entry for each of {first_name};",
                    "got",
                    tf.shape(tensor)[0],
                    "for",
                    size,
                ],
            )
            for name, tensor in others.items()
        ]
        with tf.control_dependencies(checks):
            return tf.identity(first)


def check_choice(name, value, choices):
    """Raises a ValueError if an option is none of its choices."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(choices)}. "
            f"Received: {value!r}."
        )


def _num_pixels(shapes):
    # In 64 bits: the header of a file may say anything.
    return tf.reduce_prod(tf.cast(shapes, tf.int64), axis=-1)


def _look_up(key, texts):
    keys = tf.constant(list(texts))
    is_key = key[:, None] == keys
    check = tf.debugging.Assert(
        tf.reduce_all(tf.reduce_any(is_key, axis=1)),
        [f"key: must be one of {', '.join(texts)}; got", key],
    )
    with tf.control_dependencies([check]):
        values = tf.constant(list(texts.values()))
        return tf.gather(values, tf.argmax(tf.cast(is_key, tf.int32), axis=1))
