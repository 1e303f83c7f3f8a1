"""Small SavedModels to serve: those of `golden/`, and what else tests need.

`oasis` has a signature for each thing that a server may meet: arrays, files,
several outputs, scalars, wrapping integers, text, assertions. `half_plus_two`
has two versions, so that a request may choose.
"""

import atexit
import functools
import pathlib
import shutil
import tempfile

import tensorflow as tf

from oasis_tf.serving.model_config import Model

CLASSES = 6
DTYPES = """
    float32 float64 float16 bfloat16 int8 uint8 int16 uint16 int32 int64
    uint32 uint64 bool string
""".split()
"""Of the inputs of `every_dtype`, which have these names."""

_LABEL_MAP = tf.TensorSpec([None, None, None], tf.int32, name="label_map")
_X = tf.TensorSpec([None], tf.float32, name="x")


class Others(tf.Module):
    """Signatures without weights."""

    @tf.function(
        input_signature=[_X, tf.TensorSpec([], tf.float32, name="scale")]
    )
    def scalar_in(self, x, scale):
        return {"y": x * scale, "total": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.uint8, name="u")])
    def u8(self, u):
        return {"v": tf.cast(u, tf.int32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="t")])
    def text(self, t):
        return {"t_out": t}

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")]
    )
    def fixed(self, x):
        return {"y": tf.linalg.matmul(x, tf.ones([2, 1]))}

    @tf.function(input_signature=[_X], jit_compile=True)
    def jit(self, x):
        return {"y": x + 1}

    @tf.function(
        input_signature=[_X, tf.TensorSpec([None], tf.int64, name="num_steps")]
    )
    def slow(self, x, num_steps):
        """Adds 1 to x, in as many steps as the largest of `num_steps`."""

        def step(i, y):
            # More than an addition, so that nothing makes one of them all.
            y = tf.reduce_sum(tf.linalg.diag(y), axis=0)
            return i + 1, y

        _, y = tf.while_loop(
            lambda i, y: i < tf.reduce_max(num_steps),
            step,
            [tf.constant(0, tf.int64), x],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
            parallel_iterations=1,
        )
        return {"y": y + 1}

    @tf.function(
        input_signature=[
            tf.TensorSpec(None, getattr(tf, dtype), name=dtype)
            for dtype in DTYPES
        ]
    )
    def every_dtype(self, *tensors):
        outputs = map(tf.identity, tensors)
        return {f"{dtype}_out": out for dtype, out in zip(DTYPES, outputs)}


class Oasis(tf.Module):
    """Draws label maps in fixed colours, shifted by the seed."""

    def __init__(self):
        super().__init__()
        self.colors = tf.Variable(
            tf.random.stateless_uniform([CLASSES, 3], seed=[1, 2])
        )
        self.others = Others()

    def draw(self, label_map, seed):
        shift = tf.map_fn(
            lambda s: tf.random.stateless_normal([3], tf.stack([s, 7])),
            seed,
            fn_output_signature=tf.float32,
        )  # [B, 3]
        image = tf.gather(self.colors, label_map) * 255
        image += shift[:, None, None] * 8
        return tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)

    def draw_unseeded(self, label_map):
        seed = tf.zeros([tf.shape(label_map)[0]], tf.int64)
        return self.draw(label_map, seed)

    @tf.function(
        input_signature=[
            _LABEL_MAP,
            tf.TensorSpec([None], tf.int64, name="seed"),
        ]
    )
    def synthesize(self, label_map, seed):
        return {"image": self.draw(_checked(label_map), seed)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="label_map_bytes")
        ]
    )
    def synthesize_png(self, label_map_bytes):
        def draw(file):
            label_map = tf.io.decode_png(file, channels=1)[None, ..., 0]
            label_map = _checked(tf.cast(label_map, tf.int32))
            return tf.io.encode_png(self.draw_unseeded(label_map)[0])

        files = tf.map_fn(draw, label_map_bytes, fn_output_signature=tf.string)
        return {"image_bytes": files}

    @tf.function(input_signature=[_LABEL_MAP])
    def multi(self, label_map):
        outputs = self.multi_ok(label_map)
        return outputs | {"half": tf.cast(outputs["mean"], tf.float16)}

    @tf.function(input_signature=[_LABEL_MAP])
    def multi_ok(self, label_map):
        image = self.draw_unseeded(label_map)
        mean = tf.reduce_mean(tf.cast(image, tf.float32), axis=[1, 2, 3])
        return {"image": image, "mean": mean}


class HalfPlusTwo(tf.Module):
    @tf.function(input_signature=[_X])
    def predict(self, x):
        return {"y": x * 0.5 + 2}


def _checked(label_map):
    _, height, width = tf.unstack(tf.shape(label_map))
    low, high = tf.reduce_min(label_map), tf.reduce_max(label_map)
    is_size = tf.debugging.Assert(
        (height % 32 == 0) & (width % 32 == 0),
        [
            "label_map: height and width must be multiples of 32, got",
            height,
            width,
        ],
    )
    is_label = tf.debugging.Assert(
        (low >= 0) & (high < CLASSES),
        [
            "label_map: ids must be in [0,",
            CLASSES,
            "), got min",
            low,
            "max",
            high,
        ],
    )
    with tf.control_dependencies([is_size, is_label]):
        return tf.identity(label_map)


def save_half_plus_two(folder):
    """Writes a version of `half_plus_two` to a folder."""
    model = HalfPlusTwo()
    signatures = {"serving_default": model.predict}
    tf.saved_model.save(model, str(folder), signatures)


def save_oasis(folder):
    """Writes a version of `oasis` to a folder."""
    model = Oasis()
    others = """
        scalar_in u8 text fixed jit slow every_dtype
    """.split()
    signatures = {name: getattr(model.others, name) for name in others}
    for name in ("synthesize", "synthesize_png", "multi", "multi_ok"):
        signatures[name] = getattr(model, name)
    signatures["serving_default"] = model.synthesize
    tf.saved_model.save(model, str(folder), signatures)


@functools.cache
def base():
    """Returns the folder of both models; it is made at the first call."""
    folder = tempfile.TemporaryDirectory(prefix="oasis_tf_toy_models_")
    atexit.register(folder.cleanup)
    path = pathlib.Path(folder.name)
    save_oasis(path / "oasis/1")
    save_half_plus_two(path / "half_plus_two/123")
    shutil.copytree(path / "half_plus_two/123", path / "half_plus_two/124")
    return path


def models():
    """Returns the configuration of both, as when `golden/` was recorded."""
    return [
        Model("oasis", str(base() / "oasis")),
        Model(
            "half_plus_two",
            str(base() / "half_plus_two"),
            num_latest=0,
            labels={"stable": 123, "canary": 124},
        ),
    ]
