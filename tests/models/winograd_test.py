"""Winograd's convolution: TensorFlow's own is the reference."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.models import winograd


def normal(*shape, dtype="float64"):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def reference(x, kernel):
    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


class Conv2DTest(tf.test.TestCase, parameterized.TestCase):
    # Smaller than a tile, of whole tiles, and with a rest on either side.
    @parameterized.product(
        tile=[2, 4], size=[(1, 1), (8, 8), (5, 12), (9, 7)], batch=[1, 3]
    )
    def test_is_the_convolution(self, tile, size, batch):
        x, kernel = normal(batch, *size, 6), normal(3, 3, 6, 5)
        transformed = winograd.transform_kernel(kernel, tile)
        self.assertAllClose(
            winograd.conv2d(x, transformed),
            reference(x, kernel),
            rtol=0,
            atol=1e-12,
        )

    @parameterized.parameters(2, 4)
    def test_size_may_be_known_at_run_time_only(self, tile):
        kernel = normal(3, 3, 2, 3)
        transformed = winograd.transform_kernel(kernel, tile)
        convolve = tf.function(
            lambda x: winograd.conv2d(x, transformed),
            input_signature=[tf.TensorSpec([None, None, None, 2], tf.float64)],
        )
        self.assertAllEqual(
            convolve.get_concrete_function().output_shapes,
            [None, None, None, 3],
        )
        for size in ((4, 8), (3, 5)):
            x = normal(2, *size, 2)
            self.assertAllClose(convolve(x), reference(x, kernel), atol=1e-12)

    # With 0, 1, -1, 2 and -2 for points it were 13 times as much for m = 4.
    @parameterized.parameters((2, 3), (4, 8))
    def test_float32_rounds_little_more_than_directly(self, tile, times):
        x = normal(1, 16, 16, 256, dtype="float32")
        kernel = normal(3, 3, 256, 64, dtype="float32")
        exact = reference(x.astype("float64"), kernel.astype("float64")).numpy()

        def error(y):
            return np.sqrt(np.mean(np.square(np.array(y) - exact)))

        transformed = winograd.transform_kernel(tf.constant(kernel), tile)
        self.assertLess(
            error(winograd.conv2d(x, transformed)),
            times * error(reference(x, kernel)),
        )


class TransformKernelTest(tf.test.TestCase):
    def test_two_by_two_as_in_the_paper(self):
        # Lavin and Gray, Section 4.1, but for a sign that the image's has, too.
        kernel = normal(3, 3)[..., None, None]
        g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
        g[0] *= -1
        down_and_across = g @ kernel[..., 0, 0] @ g.T
        found = winograd.transform_kernel(kernel, 2)
        self.assertAllClose(
            tf.reshape(found, [4, 4]), down_and_across.T, rtol=1e-12
        )

    def test_products_for_a_pixel(self):
        kernel = normal(3, 3, 1, 1)
        for tile, products in ((2, 16), (4, 36)):
            transformed = winograd.transform_kernel(kernel, tile)
            self.assertAllEqual(transformed.shape, [products, 1, 1])
            self.assertEqual(winograd.tile_of(transformed), tile)

    def test_tiles_are_smaller_where_kernels_are_large(self):
        for shape, tile in (
            ((3, 3, 1024, 1024), 2),
            ((3, 3, 1024, 512), 4),
            ((3, 3, 128, 128), 4),
            ((3, 3, 128, 64), 0),
            ((1, 1, 1024, 512), 0),
            ((3, 3, 3, 128), 0),
        ):
            self.assertEqual(winograd.tile_size(shape), tile)


if __name__ == "__main__":
    tf.test.main()
