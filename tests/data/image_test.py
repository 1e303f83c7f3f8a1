"""Tests of `oasis_tf/data/image.py`."""

import tensorflow as tf

from oasis_tf.data import image as image_lib


class ToUint8Test(tf.test.TestCase):
    def test_rounds_to_the_nearest_and_stays_in_range(self):
        image = tf.constant([-1.0, 1.0, 0.0, -2.0, 2.0, 0.504])
        # (0.504 + 1) * 127.5 = 191.76; 127.5 is rounded to the even 128.
        self.assertAllEqual(
            image_lib.to_uint8(image), [0, 255, 128, 0, 255, 192]
        )

    def test_is_the_inverse_of_to_float(self):
        values = tf.constant(range(256), tf.uint8)
        self.assertAllEqual(
            image_lib.to_uint8(image_lib.to_float(values)), values
        )


if __name__ == "__main__":
    tf.test.main()
