"""The discriminator."""

import gc

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.config import DiscriminatorConfig
from oasis_tf.models.discriminator import Discriminator
from oasis_tf.models.discriminator import build_discriminator

# Two blocks down and up: height and width are multiples of 4.
SMALL = DiscriminatorConfig(channels=(4, 6), last_channels=5)


def images(*shape):
    return tf.random.stateless_uniform(shape, [0, 1], -1, 1)


class FullSizeTest(tf.test.TestCase, parameterized.TestCase):
    def tearDown(self):
        super().tearDown()
        gc.collect()  # 90 MB each.

    @parameterized.named_parameters(
        ("ade20k", 151, 22_258_904),
        ("coco_stuff", 183, 22_260_984),
        ("cityscapes", 35, 22_251_364),
    )
    def test_number_of_trainable_parameters(self, semantic_channels, expected):
        discriminator = build_discriminator(
            DiscriminatorConfig(), semantic_channels
        )
        sizes = [
            np.prod(variable.shape, dtype=np.int64)
            for variable in discriminator.trainable_variables
        ]
        self.assertEqual(sum(sizes), expected)
        self.assertEqual(discriminator.size_multiple, 64)


class InitialWeightsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters([0.02, 1.0])
    def test_kernels_are_glorot_normal_with_the_gain(self, gain):
        keras.utils.set_random_seed(0)
        config = DiscriminatorConfig(
            channels=(16, 24), last_channels=16, initial_gain=gain
        )
        discriminator = build_discriminator(config, semantic_channels=8)
        kernels = [
            variable
            for variable in discriminator.trainable_variables
            if variable.name == "kernel"
        ]
        # Four blocks, with a shortcut each, and the last convolution.
        self.assertLen(kernels, 4 * 3 + 1)
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
        discriminator = build_discriminator(SMALL, semantic_channels=3)
        biases = [
            variable
            for variable in discriminator.trainable_variables
            if variable.name == "bias"
        ]
        self.assertLen(biases, 4 * 3 + 1)
        for bias in biases:
            self.assertAllEqual(bias, tf.zeros_like(bias))


class DiscriminatorTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        ("smallest", 4, 4), ("wide", 4, 12), ("tall", 20, 8)
    )
    def test_height_and_width_are_free(self, height, width):
        discriminator = build_discriminator(SMALL, semantic_channels=3)
        logits = discriminator(images(2, height, width, 3))
        self.assertEqual(logits.shape, (2, height, width, 3 + 1))

    def test_number_of_blocks_makes_the_multiple(self):
        for channels, multiple in (([4], 2), ([4, 4], 4), ([4] * 5, 32)):
            discriminator = Discriminator(3, channels)
            self.assertEqual(discriminator.size_multiple, multiple)

    def test_way_up_mirrors_the_way_down_and_sees_its_skips(self):
        discriminator = build_discriminator(
            DiscriminatorConfig(channels=(4, 6, 8), last_channels=5), 3
        )

        def channels(blocks):
            return [block.conv_0.kernel.shape[2:] for block in blocks]

        self.assertEqual(channels(discriminator.down), [(3, 4), (4, 6), (6, 8)])
        # From the second on: what the block below gives and the skip.
        self.assertEqual(
            channels(discriminator.up), [(8, 6), (6 + 6, 4), (4 + 4, 5)]
        )

    def test_skips_come_from_the_block_of_the_same_size(self):
        discriminator = build_discriminator(SMALL, semantic_channels=3)
        x = images(1, 8, 8, 3)
        skip = discriminator.down[0](x)
        below = discriminator.up[0](discriminator.down[1](skip))
        y = discriminator.up[1](tf.concat([skip, below], axis=-1))
        self.assertAllClose(
            discriminator(x), discriminator.conv_out(y), rtol=1e-5
        )

    @parameterized.named_parameters(
        ("height", 6, 8, r"\(8, 8\) would do. Received: .*=\(6, 8\)"),
        ("width", 8, 21, r"\(8, 20\) would do. Received: .*=\(8, 21\)"),
    )
    def test_rejects_a_size_that_does_not_halve(self, height, width, message):
        discriminator = build_discriminator(SMALL, semantic_channels=3)
        with self.assertRaisesRegex(
            ValueError, f"of `image` must be multiples of 4; {message}"
        ):
            discriminator(images(1, height, width, 3))

    @parameterized.parameters([((1, 8, 8, 4),), ((8, 8, 3),)])
    def test_rejects_what_is_no_batch_of_images(self, shape):
        discriminator = build_discriminator(SMALL, semantic_channels=3)
        with self.assertRaisesRegex(
            ValueError, r"`image` must have shape \[B, H, W, 3\]. Received: "
        ):
            discriminator(images(*shape))

    def test_size_may_be_unknown_while_tracing(self):
        discriminator = build_discriminator(SMALL, semantic_channels=3)
        call = tf.function(
            lambda image: discriminator(image),
            input_signature=[tf.TensorSpec([None, None, None, 3])],
        )
        image = images(2, 4, 8, 3)
        self.assertAllClose(call(image), discriminator(image), rtol=1e-4)

    @parameterized.parameters(["mixed_bfloat16", "mixed_float16"])
    def test_last_layer_is_float32_under_mixed_precision(self, precision):
        discriminator = build_discriminator(SMALL, 3, precision)
        self.assertEqual(discriminator.down[0].compute_dtype, precision[6:])
        self.assertEqual(discriminator.conv_out.compute_dtype, "float32")
        self.assertEqual(discriminator(images(1, 4, 4, 3)).dtype, tf.float32)


if __name__ == "__main__":
    tf.test.main()
