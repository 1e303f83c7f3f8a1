"""Losses and class weights against numbers worked out by hand."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.training import losses

LABEL_MAP = tf.constant([[[0, 1], [2, 2]]])  # [1, 2, 2]; S = 3


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


class ClassWeightsTest(tf.test.TestCase, parameterized.TestCase):
    def test_counts_the_pixels_of_each_class_over_the_batch(self):
        label_map = tf.constant([[[0, 1, 1]], [[1, 3, 3]]])
        counts = losses.count_classes(label_map, 5)
        self.assertAllEqual(counts, [1, 3, 0, 2, 0])
        self.assertEqual(counts.dtype, tf.float32)

    def test_weight_is_the_inverse_frequency_over_the_classes_present(self):
        # n = 8 pixels, m = 3 classes present.
        weights = losses.balanced_class_weights(
            tf.constant([1.0, 5.0, 0.0, 2.0]), has_dont_care=False
        )
        self.assertAllClose(weights, [8 / (3 * 1), 8 / (3 * 5), 0, 8 / (3 * 2)])

    def test_weights_over_all_pixels_have_mean_1(self):
        counts = tf.constant([7.0, 0.0, 11.0, 2.0])
        weights = losses.balanced_class_weights(counts, has_dont_care=False)
        self.assertAllClose(tf.reduce_sum(weights * counts) / 20, 1.0)

    def test_dont_care_weighs_nothing_but_its_pixels_count_in_n(self):
        # n = 8 with don't-care, m = 2 without.
        weights = losses.balanced_class_weights(
            tf.constant([4.0, 1.0, 3.0]), has_dont_care=True
        )
        self.assertAllClose(weights, [0, 8 / (2 * 1), 8 / (2 * 3)])

    def test_nothing_but_dont_care_gives_zeros(self):
        weights = losses.balanced_class_weights(
            tf.constant([9.0, 0.0, 0.0]), has_dont_care=True
        )
        self.assertAllEqual(weights, [0, 0, 0])

    @parameterized.parameters((False, [1, 1, 1]), (True, [0, 1, 1]))
    def test_uniform_weights_leave_out_dont_care(self, has_dont_care, expected):
        self.assertAllEqual(
            losses.uniform_class_weights(3, has_dont_care), expected
        )


class RealLossTest(tf.test.TestCase):
    def test_uniform_logits_give_log_of_the_number_of_channels(self):
        loss = losses.real_loss(tf.zeros([1, 2, 2, 4]), LABEL_MAP, tf.ones([3]))
        self.assertAllClose(loss, np.log(4))

    def test_is_the_weighted_mean_over_all_pixels(self):
        logits = np.random.default_rng(0).normal(size=[1, 2, 2, 4])
        log_probs = log_softmax(logits)[0]
        # Label s is logit channel s + 1; divided by all 4 pixels.
        expected = -(
            0.5 * log_probs[0, 0, 1]
            + 2.0 * log_probs[0, 1, 2]
            + 3.0 * log_probs[1, 0, 3]
            + 3.0 * log_probs[1, 1, 3]
        )
        loss = losses.real_loss(
            tf.constant(logits), LABEL_MAP, tf.constant([0.5, 2.0, 3.0])
        )
        self.assertAllClose(loss, expected / 4)

    def test_pixels_of_weight_0_do_not_count(self):
        logits = np.zeros([1, 2, 2, 4], np.float32)
        weights = tf.constant([0.0, 1.0, 1.0])
        loss = losses.real_loss(tf.constant(logits), LABEL_MAP, weights)
        logits[0, 0, 0] = [9, -9, 5, 0]  # Where the label is 0.
        other = losses.real_loss(tf.constant(logits), LABEL_MAP, weights)
        self.assertAllEqual(loss, other)

    def test_rejects_logits_without_a_fake_channel(self):
        with self.assertRaisesRegex(ValueError, "one channel more"):
            losses.real_loss(tf.zeros([1, 2, 2, 3]), LABEL_MAP, tf.ones([3]))


class FakeLossTest(tf.test.TestCase):
    def test_is_the_mean_cross_entropy_with_channel_0(self):
        logits = np.random.default_rng(0).normal(size=[2, 3, 2, 4])
        expected = -log_softmax(logits)[..., 0].mean()
        self.assertAllClose(losses.fake_loss(tf.constant(logits)), expected)

    def test_certainty_of_fake_gives_0(self):
        logits = tf.constant([[[[50.0, 0.0, 0.0]]]])
        self.assertAllClose(losses.fake_loss(logits), 0.0)


class PrecisionTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters("bfloat16", "float16")
    def test_low_precision_logits_give_float32_losses(self, dtype):
        # 4096 pixels of log(4): a sum in float16 would not reach them.
        logits = tf.zeros([1, 64, 64, 4], dtype)
        label_map = tf.ones([1, 64, 64], tf.int32)
        for loss in (
            losses.real_loss(logits, label_map, tf.ones([3])),
            losses.fake_loss(logits),
        ):
            self.assertEqual(loss.dtype, tf.float32)
            self.assertAllClose(loss, np.log(4))


if __name__ == "__main__":
    tf.test.main()
