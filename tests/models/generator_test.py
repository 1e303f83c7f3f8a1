"""The generator."""

import gc

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.config import GeneratorConfig
from oasis_tf.models import generator as generator_lib
from oasis_tf.models.generator import Generator
from oasis_tf.models.generator import build_generator

# Three blocks: height and width are multiples of 4.
SMALL = GeneratorConfig(
    channels=(8, 8, 6, 4), noise_channels=2, spade_channels=4
)


def inputs(batch=1, height=8, width=8, noise_channels=2, semantic_channels=3):
    """Returns random noise and a random semantic map."""
    random = np.random.RandomState(0)
    noise = random.randn(batch, height, width, noise_channels)
    label_map = random.randint(semantic_channels, size=(batch, height, width))
    semantic_map = tf.one_hot(label_map, semantic_channels)
    return tf.constant(noise, tf.float32), semantic_map


def set_ordinary_weights(model):
    """Gives weights of ordinary size: with the initial ones all is grey."""
    for i, variable in enumerate(model.trainable_variables):
        fan_in = np.prod(variable.shape[:-1]) or 1
        values = tf.random.stateless_normal(variable.shape, [0, i])
        variable.assign(values / np.sqrt(fan_in))


class FullSizeTest(tf.test.TestCase, parameterized.TestCase):
    def tearDown(self):
        super().tearDown()
        gc.collect()  # 300 MB each.

    @parameterized.named_parameters(
        ("ade20k", 151, 74_314_691),
        ("coco_stuff", 183, 75_199_427),
        ("cityscapes", 35, 71_107_523),
    )
    def test_number_of_trainable_parameters(self, semantic_channels, expected):
        generator = build_generator(GeneratorConfig(), semantic_channels)
        sizes = [
            np.prod(variable.shape, dtype=np.int64)
            for variable in generator.trainable_variables
        ]
        self.assertEqual(sum(sizes), expected)
        self.assertEqual(generator.size_multiple, 32)


class InitialWeightsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters([0.02, 1.0])
    def test_kernels_are_glorot_normal_with_the_gain(self, gain):
        keras.utils.set_random_seed(0)
        config = GeneratorConfig(
            channels=(24, 24, 16), spade_channels=16, initial_gain=gain
        )
        generator = build_generator(config, semantic_channels=8)
        kernels = [
            variable
            for variable in generator.trainable_variables
            if variable.name == "kernel"
        ]
        # Two ends, two residual convolutions in each of two blocks and three
        # convolutions in each of their two SPADEs; the second block has a
        # shortcut with its own SPADE.
        self.assertLen(kernels, 2 + 2 * (2 + 2 * 3) + (1 + 3))
        for kernel in kernels:
            height, width, in_channels, filters = kernel.shape
            fans = height * width * (in_channels + filters)
            # Known to 1 / sqrt(2 n) of itself; five times that at most.
            tolerance = 5 / np.sqrt(2 * np.prod(kernel.shape))
            self.assertAllClose(
                np.sqrt(np.mean(np.square(kernel))),
                gain * np.sqrt(2 / fans),
                rtol=tolerance,
                atol=0,
                msg=kernel.path,
            )

    def test_biases_are_zero(self):
        generator = build_generator(SMALL, semantic_channels=3)
        biases = [
            variable
            for variable in generator.trainable_variables
            if variable.name == "bias"
        ]
        self.assertNotEmpty(biases)
        for bias in biases:
            self.assertAllEqual(bias, tf.zeros_like(bias))


class GeneratorTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        ("smallest", 4, 4), ("wide", 4, 12), ("tall", 20, 8)
    )
    def test_height_and_width_are_free(self, height, width):
        generator = build_generator(SMALL, semantic_channels=3)
        image = generator(*inputs(2, height, width))
        self.assertEqual(image.shape, (2, height, width, 3))

    def test_number_of_blocks_makes_the_multiple(self):
        for channels, multiple in (((8, 4), 1), ((8, 8, 4), 2), ([4] * 6, 16)):
            generator = Generator(semantic_channels=3, channels=channels)
            self.assertEqual(generator.size_multiple, multiple)

    def test_image_lies_between_minus_one_and_one(self):
        generator = build_generator(SMALL, semantic_channels=3)
        generator.conv_out.bias.assign([100.0, 0.0, -100.0])
        image = generator(*inputs())
        self.assertAllEqual(image[..., 0], tf.ones([1, 8, 8]))
        self.assertAllInRange(image[..., 1], -1, 1)
        self.assertAllEqual(image[..., 2], -tf.ones([1, 8, 8]))

    @parameterized.named_parameters(
        ("height", 6, 8, r"\(8, 8\) would do. Received: .*=\(6, 8\)"),
        ("width", 8, 21, r"\(8, 20\) would do. Received: .*=\(8, 21\)"),
        ("too_small", 4, 1, r"\(4, 4\) would do. Received: .*=\(4, 1\)"),
    )
    def test_rejects_a_size_that_does_not_halve(self, height, width, message):
        generator = build_generator(SMALL, semantic_channels=3)
        with self.assertRaisesRegex(
            ValueError, f"of `noise` must be multiples of 4; {message}"
        ):
            generator(*inputs(1, height, width))

    def test_rejects_other_numbers_of_channels(self):
        generator = build_generator(SMALL, semantic_channels=3)
        with self.assertRaisesRegex(
            ValueError,
            r"`noise` must have shape \[B, H, W, 2\]. Received: "
            r"noise.shape=\(1, 8, 8, 5\)",
        ):
            generator(*inputs(noise_channels=5))
        with self.assertRaisesRegex(
            ValueError, r"`semantic_map` must have shape \[B, H, W, 3\]"
        ):
            generator(*inputs(semantic_channels=4))

    def test_rejects_a_label_map_in_place_of_a_semantic_map(self):
        generator = build_generator(SMALL, semantic_channels=3)
        noise, semantic_map = inputs()
        with self.assertRaisesRegex(ValueError, "`semantic_map` must have"):
            generator(noise, tf.argmax(semantic_map, axis=-1))

    def test_size_may_be_unknown_while_tracing(self):
        generator = build_generator(SMALL, semantic_channels=3)
        set_ordinary_weights(generator)
        call = tf.function(
            lambda noise, semantic_map: generator(noise, semantic_map),
            input_signature=[
                tf.TensorSpec([None, None, None, 2]),
                tf.TensorSpec([None, None, None, 3]),
            ],
        )
        for height, width in ((4, 8), (8, 4)):
            noise, semantic_map = inputs(2, height, width)
            self.assertAllClose(
                call(noise, semantic_map),
                generator(noise, semantic_map),
                atol=1e-5,
            )

    def test_noise_changes_the_image(self):
        generator = build_generator(SMALL, semantic_channels=3)
        set_ordinary_weights(generator)
        noise, semantic_map = inputs()
        image = generator(noise, semantic_map)
        other = generator(noise + 1, semantic_map)
        self.assertNotAllClose(image, other, atol=1e-2)

    def test_noise_can_be_left_out(self):
        config = GeneratorConfig(
            channels=SMALL.channels, spade_channels=4, noise="none"
        )
        generator = build_generator(config, semantic_channels=3)
        self.assertEqual(generator.noise_channels, 0)
        self.assertEqual(generator.conv_in.kernel.shape, (3, 3, 3, 8))
        image = generator(*inputs(noise_channels=0))
        self.assertEqual(image.shape, (1, 8, 8, 3))

    def test_statistics_are_what_training_changes(self):
        generator = build_generator(SMALL, semantic_channels=3)
        set_ordinary_weights(generator)
        before = {v.path: v.numpy() for v in generator.variables}
        generator(*inputs(), training=True)
        changed = {
            variable.path
            for variable in generator.variables
            if np.any(variable.numpy() != before[variable.path])
        }
        listed = {variable.path for variable in generator.statistics}
        self.assertEqual(changed, listed)

    @parameterized.parameters(["mixed_bfloat16", "mixed_float16"])
    def test_last_layer_is_float32_under_mixed_precision(self, precision):
        generator = build_generator(SMALL, 3, precision)
        self.assertEqual(generator.blocks[0].compute_dtype, precision[6:])
        self.assertEqual(generator.conv_out.compute_dtype, "float32")
        self.assertEqual(generator(*inputs()).dtype, tf.float32)


class TopLeftTest(tf.test.TestCase, parameterized.TestCase):
    """Lower resolutions take the top-left pixel of each cell."""

    def setUp(self):
        super().setUp()
        # Two blocks, of which the first works at half the size. The second,
        # at full size, is made blind to its conditioning.
        config = GeneratorConfig(
            channels=(8, 6, 4), noise_channels=2, spade_channels=4
        )
        self.generator = build_generator(config, semantic_channels=3)
        set_ordinary_weights(self.generator)
        block = self.generator.blocks[1]
        for spade in (block.spade_0, block.spade_1, block.spade_s):
            for conv in (spade.gamma, spade.beta):
                conv.kernel.assign(tf.zeros_like(conv.kernel))
        self.noise, self.semantic_map = inputs(height=4, width=4)
        for _ in range(10):  # Until no wrong singular value saturates it.
            self.generator(self.noise, self.semantic_map, training=True)
        self.image = self.generator(self.noise, self.semantic_map)

    def changed(self, tensor, row, column):
        """Returns `tensor` with other values at one pixel."""
        pixel = tf.roll(tensor[:, row, column], 1, axis=-1)
        return tf.tensor_scatter_nd_update(tensor, [[0, row, column]], pixel)

    @parameterized.parameters([(0, 1), (1, 0), (1, 1), (2, 3), (3, 2)])
    def test_other_pixels_do_not_count(self, row, column):
        image = self.generator(
            self.changed(self.noise, row, column),
            self.changed(self.semantic_map, row, column),
        )
        self.assertAllEqual(image, self.image)

    @parameterized.parameters([(0, 0), (0, 2), (2, 0), (2, 2)])
    def test_the_top_left_pixel_counts(self, row, column):
        label = self.changed(self.semantic_map, row, column)
        image = self.generator(self.noise, label)
        self.assertNotAllClose(image, self.image, atol=1e-3)
        noise = self.changed(self.noise, row, column)
        image = self.generator(noise, self.semantic_map)
        self.assertNotAllClose(image, self.image, atol=1e-3)


class CheckSizeTest(tf.test.TestCase):
    def test_unknown_sizes_pass(self):
        self.assertIsNone(generator_lib.check_size("image", (None, 64), 32))
        # What is known beside an unknown one is looked at all the same.
        with self.assertRaisesRegex(ValueError, r"\(None, 64\) would do"):
            generator_lib.check_size("image", (None, 65), 32)

    def test_nothing_is_no_size(self):
        with self.assertRaisesRegex(ValueError, r"\(32, 64\) would do"):
            generator_lib.check_size("image", (0, 64), 32)


if __name__ == "__main__":
    tf.test.main()
