"""Residual blocks."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models import blocks
from oasis_tf.models.blocks import DiscriminatorBlock
from oasis_tf.models.blocks import SPADEResBlock


def normal(shape, seed=0):
    return tf.random.stateless_normal(shape, [7, seed])


def leaky_relu(x):
    return np.where(x > 0, x, 0.2 * x)


def mean_of_each_2x2(x):
    batch, height, width, channels = x.shape
    x = np.reshape(x, [batch, height // 2, 2, width // 2, 2, channels])
    return x.mean(axis=(2, 4))


def repeat_2x2(x):
    return np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)


class LeakyReLUTest(tf.test.TestCase):
    def test_keeps_a_fifth_of_what_is_negative(self):
        y = blocks.leaky_relu(tf.constant([-10.0, 0.0, 3.0]))
        self.assertAllClose(y, [-2, 0, 3])

    def test_in_training_it_is_the_same_and_so_is_its_gradient(self):
        x = tf.constant([-10.0, 0.0, 3.0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = blocks.leaky_relu(x, training=True)
        self.assertAllClose(y, [-2, 0, 3])
        self.assertAllClose(tape.gradient(y, x), [0.2, 0.2, 1])

    def test_in_training_the_gradient_reads_the_result(self):
        @tf.function
        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = blocks.leaky_relu(2 * x, training=True)
            return tape.gradient(y, x)

        graph = gradient.get_concrete_function(tf.ones([3])).graph
        (taken,) = [
            op for op in graph.get_operations() if op.type == "LeakyReluGrad"
        ]
        read = {tensor.op.type for tensor in taken.inputs}
        self.assertIn("LeakyRelu", read)
        self.assertNotIn("Mul", read)


class SPADEResBlockTest(tf.test.TestCase, parameterized.TestCase):
    def built(self, in_channels, filters):
        block = SPADEResBlock(filters, spade_channels=3)
        block.build((None, 4, 4, in_channels), (None, 4, 4, 2))
        for i, variable in enumerate(block.trainable_variables):
            variable.assign(normal(variable.shape, i))
        return block

    def test_sums_the_shortcut_and_the_branch(self):
        block = self.built(in_channels=4, filters=2)
        x, conditioning = normal([1, 4, 4, 4]), normal([1, 4, 4, 2], 1)
        y = block.spade_0(x, conditioning)
        y = block.conv_0(leaky_relu(y))
        y = block.spade_1(y, conditioning)
        y = block.conv_1(leaky_relu(y))
        shortcut = block.conv_s(block.spade_s(x, conditioning))
        self.assertAllClose(
            block(x, conditioning), shortcut + y, rtol=1e-4, atol=1e-4
        )

    def test_shortcut_is_the_input_where_channels_stay(self):
        block = self.built(in_channels=4, filters=4)
        self.assertFalse(block.has_conv_s)
        x, conditioning = normal([1, 4, 4, 4]), normal([1, 4, 4, 2], 1)
        # Without modulation the branch sees zeros and gives its bias.
        for spade in (block.spade_0, block.spade_1):
            for variable in spade.trainable_variables:
                variable.assign(tf.zeros_like(variable))
            spade.gamma.bias.assign(-tf.ones([4]))
        expected = x + block.conv_1.bias.value
        self.assertAllClose(block(x, conditioning), expected)

    @parameterized.named_parameters(("fewer", 6, 2, 2), ("more", 2, 6, 2))
    def test_middle_has_the_smaller_number_of_channels(
        self, in_channels, filters, middle
    ):
        block = self.built(in_channels, filters)
        self.assertEqual(block.conv_0.kernel.shape, (3, 3, in_channels, middle))
        self.assertEqual(block.conv_1.kernel.shape, (3, 3, middle, filters))

    def test_shortcut_convolution_is_pointwise_without_bias(self):
        block = self.built(in_channels=4, filters=2)
        self.assertEqual(block.conv_s.kernel.shape, (1, 1, 4, 2))
        self.assertFalse(block.conv_s.use_bias)

    @parameterized.named_parameters(("shortcut", 2, 3), ("identity", 4, 2))
    def test_lists_the_layers_that_hold_statistics(self, filters, count):
        block = self.built(in_channels=4, filters=filters)
        self.assertLen(block.batch_norms, count)
        self.assertLen(block.spectral_convs, count)
        listed = {
            variable.path
            for layer in (*block.batch_norms, *block.spectral_convs)
            for variable in layer.non_trainable_variables
        }
        self.assertEqual(
            listed, {v.path for v in block.non_trainable_variables}
        )


class DiscriminatorBlockTest(tf.test.TestCase, parameterized.TestCase):
    def built(self, in_channels, filters, sampling, first=False):
        block = DiscriminatorBlock(filters, sampling, first)
        block.build((None, 4, 6, in_channels))
        for i, variable in enumerate(block.trainable_variables):
            variable.assign(normal(variable.shape, i))
        return block

    @parameterized.named_parameters(("changed", 3, 2), ("kept", 3, 3))
    def test_down_averages_the_sum_of_shortcut_and_branch(
        self, in_channels, filters
    ):
        block = self.built(in_channels, filters, "down")
        x = normal([2, 4, 6, in_channels]).numpy()
        branch = block.conv_1(leaky_relu(block.conv_0(leaky_relu(x))))
        shortcut = block.conv_s(x) if block.has_conv_s else x
        expected = mean_of_each_2x2((shortcut + branch).numpy())
        self.assertEqual(expected.shape, (2, 2, 3, filters))
        self.assertAllClose(block(x), expected, rtol=1e-4, atol=1e-4)

    @parameterized.named_parameters(("changed", 3, 2), ("kept", 3, 3))
    def test_up_repeats_the_pixels_before_both_paths(
        self, in_channels, filters
    ):
        block = self.built(in_channels, filters, "up")
        x = normal([2, 4, 6, in_channels]).numpy()
        large = repeat_2x2(x)
        kernel, bias = block.conv_0.normalized_kernel(), block.conv_0.bias
        branch = tf.nn.conv2d(leaky_relu(large), kernel, 1, "SAME") + bias
        branch = block.conv_1(leaky_relu(branch))
        shortcut = block.conv_s(large) if block.has_conv_s else large
        self.assertEqual(branch.shape, (2, 8, 12, filters))
        self.assertAllClose(block(x), shortcut + branch, rtol=1e-4, atol=1e-4)

    def test_first_block_sees_the_image_without_activation(self):
        block = self.built(3, 2, "down", first=True)
        x = normal([2, 4, 6, 3]).numpy()
        branch = block.conv_1(leaky_relu(block.conv_0(x)))
        expected = mean_of_each_2x2((block.conv_s(x) + branch).numpy())
        self.assertAllClose(block(x), expected, rtol=1e-4, atol=1e-4)

    def test_rejects_another_sampling(self):
        with self.assertRaisesRegex(
            ValueError, '"down" or "up". Received: sampling=\'left\''
        ):
            DiscriminatorBlock(2, "left")


if __name__ == "__main__":
    tf.test.main()
