"""Spectral normalization as a reparametrization."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models import spectral_norm
from oasis_tf.models.spectral_norm import SpectralConv2D


def largest_singular_value(kernel):
    matrix = np.reshape(kernel, [-1, kernel.shape[-1]])
    return np.linalg.svd(matrix, compute_uv=False)[0]


def built(filters, in_channels, seed=0, **kwargs):
    """Returns a layer with a kernel of ordinary size, not 0.02 of it."""
    layer = SpectralConv2D(filters, **kwargs)
    layer.build((None, 4, 4, in_channels))
    random = np.random.RandomState(seed)
    layer.kernel.assign(random.randn(*layer.kernel.shape))
    return layer


class PowerIterationTest(tf.test.TestCase):
    def test_one_step_on_a_diagonal_matrix(self):
        matrix = tf.constant([[3.0, 0.0], [0.0, 1.0]])
        u, v, sigma = spectral_norm.power_iteration(
            matrix, tf.constant([0.6, 0.6])
        )
        # W u = (1.8, 0.6), of direction (3, 1); W^T v then of (9, 1).
        self.assertAllClose(v, np.array([3, 1]) / np.sqrt(10))
        self.assertAllClose(u, np.array([9, 1]) / np.sqrt(82))
        # (3, 1) W (9, 1) = 82.
        self.assertAllClose(sigma, 82 / np.sqrt(10 * 82))

    def test_vectors_have_the_two_sides_lengths(self):
        u, v, _ = spectral_norm.power_iteration(tf.ones([5, 2]), tf.ones([2]))
        self.assertAllClose(u, np.ones([2]) / np.sqrt(2))
        self.assertAllClose(v, np.ones([5]) / np.sqrt(5))

    def test_zero_matrix_gives_zeros_rather_than_nan(self):
        u, v, sigma = spectral_norm.power_iteration(
            tf.zeros([3, 2]), tf.ones([2])
        )
        self.assertAllEqual(u, [0, 0])
        self.assertAllEqual(v, [0, 0, 0])
        self.assertAllEqual(sigma, 0)


class UpsampleTest(tf.test.TestCase):
    def test_needs_a_kernel_of_three(self):
        with self.assertRaisesRegex(
            ValueError, "must be 3 with `upsample`, .* Received: kernel_size=1"
        ):
            SpectralConv2D(2, kernel_size=1, upsample=True)


class FoldTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        ("wide", {}, (36, 128, 128)),
        ("upsample", {"upsample": True}, (3, 3, 128, 128)),
        ("one_by_one", {"kernel_size": 1}, (1, 1, 128, 128)),
    )
    def test_winograd_where_it_applies(self, settings, shape):
        layer = SpectralConv2D(128, **settings)
        x = tf.random.stateless_normal([1, 4, 8, 128], [1, 2])
        expected = layer(x)
        layer.fold(has_winograd=True)
        self.assertEqual(layer.kernel.shape, shape)
        scale = np.abs(expected).max()
        self.assertAllClose(layer(x), expected, rtol=0, atol=1e-5 * scale)

    def test_only_once(self):
        layer = SpectralConv2D(2)
        layer.build((None, 4, 4, 2))
        layer.fold()
        with self.assertRaisesRegex(ValueError, "must not be folded"):
            layer.fold()

    def test_winograd_is_for_float32(self):
        layer = SpectralConv2D(128, dtype="mixed_bfloat16")
        layer.build((None, 4, 4, 128))
        with self.assertRaisesRegex(ValueError, "computes in bfloat16"):
            layer.fold(has_winograd=True)


class KernelInitializerTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(("authors", 0.02), ("glorot", 1.0))
    def test_is_glorot_normal_with_a_gain(self, gain):
        keras.utils.set_random_seed(1)
        kernel = spectral_norm.kernel_initializer(gain)((3, 3, 40, 60)).numpy()
        expected = gain * np.sqrt(2 / (3 * 3 * 40 + 3 * 3 * 60))
        # 21600 numbers: their deviation is known to 1 / sqrt(2 * 21600).
        self.assertAllClose(kernel.std(), expected, rtol=0.02, atol=0)
        self.assertAllClose(kernel.mean(), 0, atol=0.03 * expected)
        # Keras's usual normal initializers cut off at 2.3 deviations.
        self.assertGreater(np.abs(kernel).max(), 3 * expected)

    def test_gain_is_the_authors_unless_given(self):
        self.assertEqual(spectral_norm.kernel_initializer().scale, 0.02**2)


class SpectralConv2DTest(tf.test.TestCase, parameterized.TestCase):
    def test_convolves_with_the_kernel_over_sigma(self):
        layer = SpectralConv2D(2, kernel_size=1)
        layer.build((None, 1, 1, 2))
        layer.kernel.assign([[[[3.0, 0.0], [0.0, 1.0]]]])
        layer.u.assign([1.0, 0.0])
        layer.v.assign([1.0, 0.0])
        layer.bias.assign([10.0, 20.0])
        # sigma = v^T W u = 3.
        y = layer(tf.constant([[[[6.0, 6.0]]]]))
        self.assertAllClose(y, [[[[10 + 6, 20 + 2]]]])

    @parameterized.named_parameters(
        ("wide", 7, 2, 3), ("narrow", 3, 8, 3), ("pointwise", 4, 6, 1)
    )
    def test_sigma_converges_to_the_largest_singular_value(
        self, filters, in_channels, kernel_size
    ):
        layer = built(filters, in_channels, kernel_size=kernel_size)
        for _ in range(200):
            normalized = layer.normalized_kernel(training=True)
        sigma = largest_singular_value(layer.kernel.numpy())
        self.assertAllClose(normalized, layer.kernel / sigma, rtol=1e-4)
        self.assertAllClose(
            largest_singular_value(normalized.numpy()), 1.0, rtol=1e-4
        )

    def test_training_iterates_before_use(self):
        layer = built(3, 2)
        matrix = tf.reshape(layer.kernel, [-1, 3])
        u, v, _ = spectral_norm.power_iteration(matrix, layer.u)
        sigma = np.einsum("k,kc,c", v, matrix, u)
        normalized = layer.normalized_kernel(training=True)
        self.assertAllClose(normalized, layer.kernel / sigma)
        self.assertAllClose(layer.u, u)
        self.assertAllClose(layer.v, v)

    def test_stored_kernel_is_not_overwritten_in_training(self):
        layer = built(3, 2)
        before = layer.kernel.numpy()
        for _ in range(3):
            layer(tf.ones([1, 4, 4, 2]), training=True)
        self.assertAllEqual(layer.kernel, before)

    def test_vectors_stay_in_inference_and_move_in_training(self):
        layer = built(3, 2)
        u, v = layer.u.numpy(), layer.v.numpy()
        layer(tf.ones([1, 4, 4, 2]))
        self.assertAllEqual(layer.u, u)
        self.assertAllEqual(layer.v, v)
        layer(tf.ones([1, 4, 4, 2]), training=True)
        self.assertNotAllClose(layer.u, u)
        self.assertNotAllClose(layer.v, v)

    def test_vectors_start_with_length_one_and_are_not_trained(self):
        layer = built(3, 2)
        self.assertAllClose(np.linalg.norm(layer.u), 1.0)
        self.assertAllClose(np.linalg.norm(layer.v), 1.0)
        names = [variable.name for variable in layer.trainable_variables]
        self.assertEqual(names, ["kernel", "bias"])

    @parameterized.parameters([False, True])
    def test_gradient_flows_through_sigma_with_constant_u_and_v(self, training):
        layer = built(3, 2)
        factors = tf.random.stateless_normal(layer.kernel.shape, [0, 1])
        with tf.GradientTape() as tape:
            normalized = layer.normalized_kernel(training=training)
            loss = tf.reduce_sum(factors * normalized)
        gradient = tape.gradient(loss, layer.kernel.value)
        # L = <F, W> / sigma and d sigma / d W = v u^T, hence
        # dL/dW = F / sigma - <F, W> / sigma^2 v u^T.
        kernel, u, v = layer.kernel.numpy(), layer.u.numpy(), layer.v.numpy()
        outer = np.reshape(np.outer(v, u), kernel.shape)
        sigma = np.sum(outer * kernel)
        product = np.sum(factors * kernel)
        expected = factors / sigma - product / sigma**2 * outer
        self.assertAllClose(gradient, expected, rtol=1e-4, atol=1e-6)
        # So the kernel's length has no gradient.
        self.assertAllClose(np.sum(gradient * kernel), 0, atol=1e-4)

    @parameterized.parameters(["mixed_bfloat16", "mixed_float16"])
    def test_normalizes_in_float32_under_mixed_precision(self, precision):
        single, mixed = built(3, 2), built(3, 2, dtype=precision)
        mixed.u.assign(single.u)
        expected = single.normalized_kernel(training=True)
        x = tf.ones([1, 4, 4, 2])
        self.assertEqual(mixed(x, training=True).dtype, mixed.compute_dtype)
        self.assertEqual(mixed.normalized_kernel().dtype, tf.float32)
        self.assertAllClose(mixed.normalized_kernel(), expected, rtol=1e-5)

    def test_bias_can_be_left_out(self):
        layer = built(3, 2, use_bias=False)
        names = [variable.name for variable in layer.variables]
        self.assertEqual(names, ["kernel", "u", "v"])
        self.assertAllEqual(
            layer(tf.zeros([1, 4, 4, 2])), tf.zeros([1, 4, 4, 3])
        )


if __name__ == "__main__":
    tf.test.main()
