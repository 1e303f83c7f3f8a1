"""LabelMix: class bits, masks, mixtures and their loss."""

import tensorflow as tf

from oasis_tf.training import labelmix

LABEL_MAP = tf.constant([[[0, 1], [2, 2]], [[1, 1], [0, 2]]])  # [2, 2, 2]


class ClassBitsTest(tf.test.TestCase):
    def test_bits_are_0_and_1_about_as_often(self):
        bits = labelmix.sample_class_bits([1, 2], 1000)
        self.assertAllInSet(bits, [0, 1])
        # Standard deviation of the mean: sqrt(1/4 / 1000) = 0.016.
        self.assertAllClose(tf.reduce_mean(tf.cast(bits, float)), 0.5, atol=0.1)

    def test_bits_follow_from_the_seed(self):
        bits = labelmix.sample_class_bits([1, 2], 100)
        self.assertAllEqual(bits, labelmix.sample_class_bits([1, 2], 100))
        self.assertNotAllEqual(bits, labelmix.sample_class_bits([1, 3], 100))


class MixTest(tf.test.TestCase):
    def test_mask_holds_each_pixels_class_bit(self):
        mask = labelmix.mix_mask(LABEL_MAP, tf.constant([1, 0, 1]))
        self.assertAllEqual(mask[..., 0], [[[1, 0], [1, 1]], [[0, 0], [1, 1]]])
        self.assertEqual(mask.dtype, tf.float32)

    def test_mask_1_takes_the_real_pixel_and_0_the_fake_one(self):
        mask = labelmix.mix_mask(LABEL_MAP, tf.constant([1, 0, 0]))
        real, fake = tf.fill([2, 2, 2, 3], 0.25), tf.fill([2, 2, 2, 3], -0.5)
        mixed = labelmix.mix(real, fake, mask)
        self.assertAllEqual(
            mixed[..., 1],
            [[[0.25, -0.5], [-0.5, -0.5]], [[-0.5, -0.5], [0.25, -0.5]]],
        )

    def test_mixture_keeps_the_images_dtype(self):
        mask = labelmix.mix_mask(LABEL_MAP, tf.constant([1, 0, 0]))
        half = tf.ones([2, 2, 2, 3], tf.bfloat16)
        self.assertEqual(labelmix.mix(half, half, mask).dtype, tf.bfloat16)


class LossTest(tf.test.TestCase):
    def test_is_the_mean_square_over_pixels_and_channels(self):
        mask = tf.constant([[[[1.0], [0.0]]]])  # One real, one fake pixel.
        real = tf.constant([[[[1.0, 2.0], [9.0, 9.0]]]])
        fake = tf.constant([[[[9.0, 9.0], [3.0, 4.0]]]])
        mixed = tf.constant([[[[1.5, 2.0], [3.0, 1.0]]]])
        # mix(real, fake) is [1, 2], [3, 4].
        expected = (0.5**2 + 0 + 0 + 3.0**2) / 4
        self.assertAllClose(
            labelmix.labelmix_loss(mixed, real, fake, mask), expected
        )

    def test_a_discriminator_of_single_pixels_has_loss_0(self):
        mask = labelmix.mix_mask(LABEL_MAP, tf.constant([0, 1, 0]))
        real = tf.random.stateless_normal([2, 2, 2, 3], [0, 0])
        fake = tf.random.stateless_normal([2, 2, 2, 3], [0, 1])

        def discriminate(image):
            return tf.sin(3 * image)

        loss = labelmix.labelmix_loss(
            discriminate(labelmix.mix(real, fake, mask)),
            discriminate(real),
            discriminate(fake),
            mask,
        )
        self.assertAllClose(loss, 0.0, atol=1e-12)

    def test_loss_of_low_precision_logits_is_float32(self):
        logits = tf.ones([2, 2, 2, 3], tf.float16)
        mask = labelmix.mix_mask(LABEL_MAP, tf.constant([0, 1, 0]))
        loss = labelmix.labelmix_loss(300 * logits, logits, logits, mask)
        self.assertAllClose(loss, 299.0**2)  # Beyond float16's 65504.


if __name__ == "__main__":
    tf.test.main()
