"""What every layer and network keeps, whatever it computes."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models.batch_norm import BatchNorm
from oasis_tf.models.blocks import DiscriminatorBlock
from oasis_tf.models.blocks import SPADEResBlock
from oasis_tf.models.discriminator import Discriminator
from oasis_tf.models.generator import Generator
from oasis_tf.models.spade import SPADE
from oasis_tf.models.spectral_norm import SpectralConv2D
from tests import replicas

# Name, maker, shapes of the inputs, shape of the output. Settings differ from
# the defaults, so that one forgotten by `get_config` shows.
LAYERS = [
    (
        "batch_norm",
        lambda **kwargs: BatchNorm(momentum=0.8, epsilon=1e-4, **kwargs),
        [(2, 4, 6, 3)],
        (2, 4, 6, 3),
    ),
    (
        "spectral_conv",
        lambda **kwargs: SpectralConv2D(
            5, 1, use_bias=False, initial_gain=0.9, **kwargs
        ),
        [(2, 4, 6, 3)],
        (2, 4, 6, 5),
    ),
    (
        "spade",
        lambda **kwargs: SPADE(4, initial_gain=0.9, **kwargs),
        [(2, 4, 6, 3), (2, 4, 6, 2)],
        (2, 4, 6, 3),
    ),
    (
        "spade_res_block",
        lambda **kwargs: SPADEResBlock(
            5, spade_channels=4, initial_gain=0.9, **kwargs
        ),
        [(2, 4, 6, 3), (2, 4, 6, 2)],
        (2, 4, 6, 5),
    ),
    (
        "discriminator_block_down",
        lambda **kwargs: DiscriminatorBlock(
            5, "down", first=True, initial_gain=0.9, **kwargs
        ),
        [(2, 4, 6, 3)],
        (2, 2, 3, 5),
    ),
    (
        "discriminator_block_up",
        lambda **kwargs: DiscriminatorBlock(
            5, "up", initial_gain=0.9, **kwargs
        ),
        [(2, 4, 6, 3)],
        (2, 8, 12, 5),
    ),
    (
        "generator",
        lambda **kwargs: Generator(
            3,
            channels=(4, 4, 3),
            noise_channels=2,
            spade_channels=4,
            initial_gain=0.9,
            **kwargs,
        ),
        [(2, 4, 6, 2), (2, 4, 6, 3)],
        (2, 4, 6, 3),
    ),
    (
        "discriminator",
        lambda **kwargs: Discriminator(
            3, channels=(4, 4), last_channels=4, initial_gain=0.9, **kwargs
        ),
        [(2, 4, 8, 3)],
        (2, 4, 8, 4),
    ),
]
# The networks end in float32 under every precision.
NETWORKS = (Generator, Discriminator)


def tensors(shapes):
    random = np.random.RandomState(0)
    return [tf.constant(random.randn(*shape), tf.float32) for shape in shapes]


def built(make, input_shapes, seed=0, **kwargs):
    """Returns a layer with its variables, which follow from the seed."""
    keras.utils.set_random_seed(seed)
    layer = make(name="layer", **kwargs)
    layer.build(*[(None, *shape[1:]) for shape in input_shapes])
    return layer


class LayersTest(tf.test.TestCase, parameterized.TestCase):
    def assert_same_variables(self, layer, other, **tolerance):
        self.assertEqual(
            [variable.path for variable in layer.variables],
            [variable.path for variable in other.variables],
        )
        for mine, theirs in zip(layer.variables, other.variables):
            self.assertAllClose(mine, theirs, msg=mine.path, **tolerance)

    @parameterized.named_parameters(LAYERS)
    def test_output_has_its_shape_and_calls_add_no_variables(
        self, make, input_shapes, output_shape
    ):
        layer = built(make, input_shapes)
        paths = [variable.path for variable in layer.variables]
        self.assertLen(set(paths), len(paths))
        for training in (False, True):
            y = layer(*tensors(input_shapes), training=training)
            self.assertEqual(y.shape, output_shape)
        self.assertEqual([v.path for v in layer.variables], paths)

    @parameterized.named_parameters(
        (f"{name}_{precision}", make, input_shapes, precision)
        for name, make, input_shapes, _ in LAYERS
        for precision in ("mixed_bfloat16", "mixed_float16")
    )
    def test_weights_are_float32_under_mixed_precision(
        self, make, input_shapes, precision
    ):
        layer = built(make, input_shapes, dtype=precision)
        y = layer(*tensors(input_shapes), training=True)
        last = "float32" if isinstance(layer, NETWORKS) else precision[6:]
        self.assertEqual(y.dtype, last)
        for variable in layer.variables:
            self.assertEqual(variable.dtype, "float32", variable.path)
        single = built(make, input_shapes)
        expected = single(*tensors(input_shapes), training=True)
        # Some roundings to 8 binary digits.
        scale = np.max(np.abs(expected))
        self.assertAllClose(
            tf.cast(y, tf.float32), expected, rtol=0, atol=0.05 * scale
        )

    @parameterized.named_parameters(LAYERS)
    def test_config_makes_the_same_layer(self, make, input_shapes, _):
        layer = built(make, input_shapes, dtype="mixed_bfloat16")
        config = keras.saving.serialize_keras_object(layer)
        keras.utils.set_random_seed(0)  # As in `built`.
        copy = keras.saving.deserialize_keras_object(config)
        self.assertIs(type(copy), type(layer))
        self.assertEqual(copy.get_config(), layer.get_config())
        self.assertTrue(copy.built)
        self.assert_same_variables(copy, layer)

    @parameterized.named_parameters(LAYERS)
    def test_saved_model_gives_the_same(self, make, input_shapes, _):
        layer = built(make, input_shapes)
        inputs = tensors(input_shapes)
        layer(*inputs, training=True)  # Statistics other than the initial.
        module = tf.Module()
        module.layer = layer
        module.call = tf.function(
            lambda *inputs: layer(*inputs),
            input_signature=[
                tf.TensorSpec([None, *shape[1:]]) for shape in input_shapes
            ],
        )
        folder = self.get_temp_dir()
        tf.saved_model.save(module, folder)
        saved = tf.saved_model.load(folder)
        self.assertAllClose(saved.call(*inputs), layer(*inputs), atol=1e-5)

    @parameterized.named_parameters(LAYERS)
    def test_checkpoint_brings_all_variables_back(self, make, input_shapes, _):
        def checkpoint(layer):
            # By their paths: of a Keras layer itself, TensorFlow leaves out
            # the layers that are kept in a list.
            variables = {v.path: v.value for v in layer.variables}
            return tf.train.Checkpoint(variables=variables)

        layer = built(make, input_shapes)
        inputs = tensors(input_shapes)
        layer(*inputs, training=True)
        path = checkpoint(layer).write(self.get_temp_dir() + "/checkpoint")
        other = built(make, input_shapes, seed=1)
        checkpoint(other).read(path).assert_consumed()
        self.assert_same_variables(other, layer)
        self.assertAllClose(other(*inputs), layer(*inputs))

    @parameterized.named_parameters(LAYERS)
    def test_xla_gives_the_same_in_training(self, make, input_shapes, _):
        layer = built(make, input_shapes)
        compiled_layer = built(make, input_shapes)
        inputs = tensors(input_shapes)
        compiled = tf.function(
            lambda *inputs: compiled_layer(*inputs, training=True),
            jit_compile=True,
            autograph=False,
        )
        self.assertAllClose(
            compiled(*inputs),
            layer(*inputs, training=True),
            rtol=1e-4,
            atol=1e-4,
        )
        self.assert_same_variables(compiled_layer, layer, rtol=1e-4, atol=1e-5)

    @parameterized.named_parameters(LAYERS)
    def test_two_replicas_give_what_one_gives(self, make, input_shapes, _):
        layer = built(make, input_shapes)
        inputs = tensors(input_shapes)
        expected = layer(*inputs, training=True)
        strategy = replicas.two_replicas()
        with strategy.scope():
            mirrored = built(make, input_shapes)
        halves = replicas.run_on_halves(
            strategy, lambda *parts: mirrored(*parts, training=True), *inputs
        )
        self.assertAllClose(
            tf.concat(halves, axis=0), expected, rtol=1e-4, atol=1e-4
        )
        for mine, theirs in zip(layer.variables, mirrored.variables):
            first, second = strategy.experimental_local_results(theirs.value)
            self.assertAllEqual(first, second, theirs.path)
            self.assertAllClose(mine, first, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    tf.test.main()
