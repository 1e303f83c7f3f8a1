"""The U-Net that judges fakes."""

import tensorflow as tf

from oasis_tf.models.unet import build_unet


class UNetTest(tf.test.TestCase):
    def test_shapes(self):
        network = build_unet(5, channels=(4, 6, 8))
        outputs = network(tf.zeros([2, 8, 12, 3]))
        self.assertEqual(outputs["logits"].shape, (2, 8, 12, 5))
        self.assertEqual(outputs["features"].shape, (2, 8))

    def test_a_pixel_is_seen_from_near_and_far(self):
        network = build_unet(2, channels=(8, 8, 8))
        image = tf.random.stateless_normal([1, 32, 32, 3], [1, 2])
        with tf.GradientTape() as tape:
            tape.watch(image)
            logit = network(image)["logits"][0, 16, 16, 0]
        seen = tf.reduce_any(tape.gradient(logit, image)[0] != 0, axis=-1)
        # 5 pixels by the image's own convolutions, 22 by the smallest size's.
        rows = tf.where(tf.reduce_any(seen, axis=1))[:, 0]
        self.assertGreater(int(rows[-1] - rows[0]), 20)
        self.assertTrue(bool(seen[16, 16]))


if __name__ == "__main__":
    tf.test.main()
