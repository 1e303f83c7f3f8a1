"""The SavedModel of a generator, as a server loads it."""

import json
import pathlib
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.data.label_map import one_hot
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.exporters import saved_model
from oasis_tf.models import noise as noise_lib
from oasis_tf.models.generator import Generator
from tests import tiny

SEMANTIC_CHANNELS = tiny.SEMANTIC_CHANNELS
TOP = SEMANTIC_CHANNELS - 1
LABEL_MAP = tiny.batch(size=3)["label_map"]  # [3, 16, 16]


def generator(noise_channels=2):
    """Returns a generator whose images differ by noise and labels."""
    model = Generator(
        SEMANTIC_CHANNELS,
        channels=(8, 8, 4),
        noise_channels=noise_channels,
        spade_channels=4,
    )
    model.build()
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.path.endswith("moving_variance"):
            continue
        variable.assign(rng.normal(0, 0.5, variable.shape))
    return model


class ExportTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.generator = generator()
        # Kept by the class, as its functions need it.
        cls.folder = saved_model.export(
            cls.generator, tiny.CONFIG, Builder.INFO, cls.temporary(), 7
        )
        cls.model = tf.saved_model.load(str(cls.folder))

    @classmethod
    def temporary(cls):
        return tf.test.TestCase.get_temp_dir(cls("test_session"))

    def synthesize(self, label_map, seed):
        return self.model.signatures["synthesize"](
            label_map=tf.constant(label_map),
            seed=tf.constant(seed, tf.int64),
        )["image"].numpy()

    def test_has_the_four_signatures(self):
        self.assertCountEqual(
            self.model.signatures,
            [
                "serving_default",
                "synthesize",
                "synthesize_from_noise",
                "synthesize_from_3d_noise",
            ],
        )

    def test_draws_images_of_bytes(self):
        image = self.synthesize(LABEL_MAP, [1, 2, 3])
        self.assertEqual(image.shape, (3, 16, 16, 3))
        self.assertEqual(image.dtype, np.uint8)
        self.assertGreater(np.ptp(image), 50)

    def test_default_signature_is_synthesize(self):
        image = self.model.signatures["serving_default"](
            label_map=LABEL_MAP, seed=tf.constant([1, 2, 3], tf.int64)
        )["image"]
        self.assertAllEqual(image, self.synthesize(LABEL_MAP, [1, 2, 3]))

    def test_same_seed_gives_the_same_image_in_any_batch(self):
        batch = self.synthesize(LABEL_MAP, [5, 6, 7])
        alone = self.synthesize(LABEL_MAP[1:2], [6])
        turned = self.synthesize(LABEL_MAP[::-1], [7, 6, 5])
        self.assertAllClose(batch[1:2], alone, atol=1)
        self.assertAllClose(batch, turned[::-1], atol=1)

    def test_another_seed_gives_another_image(self):
        image = self.synthesize(np.stack([LABEL_MAP[0]] * 2), [5, 2**40])
        self.assertGreater(np.abs(image[0] / 1.0 - image[1]).max(), 10)

    def test_takes_other_sizes_and_batches(self):
        image = self.synthesize(np.zeros([1, 8, 32], np.int32), [0])
        self.assertEqual(image.shape, (1, 8, 32, 3))

    def test_from_noise_is_what_the_generator_draws(self):
        z = np.random.default_rng(1).normal(size=[3, 2]).astype(np.float32)
        image = self.model.signatures["synthesize_from_noise"](
            label_map=LABEL_MAP, z=z
        )["image"]
        expected = self.generator(
            noise_lib.global_noise(z, (16, 16)),
            one_hot(LABEL_MAP, SEMANTIC_CHANNELS),
        )
        # [-1, 1] to 0..255; half a step of rounding, and a bit.
        self.assertAllClose(image, (expected + 1) * 127.5, atol=0.51)

    def test_from_3d_noise_is_what_the_generator_draws(self):
        noise = np.random.default_rng(1).normal(size=[3, 16, 16, 2])
        noise = noise.astype(np.float32)
        image = self.model.signatures["synthesize_from_3d_noise"](
            label_map=LABEL_MAP, noise=noise
        )["image"]
        expected = self.generator(noise, one_hot(LABEL_MAP, SEMANTIC_CHANNELS))
        self.assertAllClose(image, (expected + 1) * 127.5, atol=0.51)

    @parameterized.parameters(-1, TOP + 1)
    def test_label_out_of_range_is_refused(self, label):
        label_map = LABEL_MAP.copy()
        label_map[2, 3, 4] = label
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError, rf"must hold labels 0\.\.{TOP}"
        ):
            self.synthesize(label_map, [1, 2, 3])

    def test_wrong_size_is_refused(self):
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError, "must be multiples of 2"
        ):
            self.synthesize(np.zeros([1, 16, 15], np.int32), [0])

    def test_wrong_noise_channels_are_refused(self):
        with self.assertRaises(tf.errors.InvalidArgumentError):
            self.model.signatures["synthesize_from_noise"](
                label_map=LABEL_MAP, z=tf.zeros([3, 5])
            )

    def test_needs_a_seed_or_a_vector_for_each_label_map(self):
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError, "`seed` must have an entry for each"
        ):
            self.synthesize(LABEL_MAP, [1])
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError, "`z` must have an entry for each"
        ):
            self.model.signatures["synthesize_from_noise"](
                label_map=LABEL_MAP, z=tf.zeros([1, 2])
            )

    def test_facts_of_the_data_lie_beside(self):
        facts = json.loads(
            (self.folder / "assets.extra/dataset_info.json").read_text()
        )
        self.assertEqual(facts["class_names"], list(Builder.INFO.class_names))

    def test_a_version_that_is_there_is_kept(self):
        before = {p: p.stat().st_mtime_ns for p in self.folder.rglob("*")}
        again = saved_model.export(
            self.generator, tiny.CONFIG, Builder.INFO, self.folder.parent, 7
        )
        self.assertEqual(again, self.folder)
        after = {p: p.stat().st_mtime_ns for p in self.folder.rglob("*")}
        self.assertEqual(after, before)

    def test_nothing_is_left_where_saving_fails(self):
        directory = pathlib.Path(self.get_temp_dir()) / "export"
        save = tf.saved_model.save

        def fail(module, path, **kwargs):
            save(tf.Module(), path)
            raise OSError("No space left on device")

        with mock.patch.object(tf.saved_model, "save", fail):
            with self.assertRaisesRegex(OSError, "No space"):
                saved_model.export(
                    self.generator, tiny.CONFIG, Builder.INFO, directory, 1
                )
        self.assertEmpty(list(directory.iterdir()))


class NoiseTest(tf.test.TestCase):
    SEED = tf.constant([1, 2], tf.int64)

    def assert_draws(self, noise, kind):
        """Asserts that the images are those of some noise, of any size."""
        model = generator(noise.shape[-1])
        served = saved_model.ServedGenerator(model, kind)
        image = served.synthesize(LABEL_MAP[:2], self.SEED)["image"]
        expected = model(noise, one_hot(LABEL_MAP[:2], SEMANTIC_CHANNELS))
        self.assertAllClose(image, (expected + 1) * 127.5, atol=0.51)

    def test_pixel_noise_differs_by_pixel_and_seed(self):
        noise = noise_lib.sample_pixel_noise(
            tf.constant([0, 0]), self.SEED, (16, 16), 2
        )
        self.assert_draws(noise, "pixel")

    def test_image_noise_differs_by_seed(self):
        z = noise_lib.sample_z(tf.constant([0, 0]), self.SEED, 2)
        self.assert_draws(noise_lib.global_noise(z, (16, 16)), "image")

    def test_without_noise_the_seed_does_not_matter(self):
        self.assert_draws(tf.zeros([2, 16, 16, 0]), "none")


if __name__ == "__main__":
    tf.test.main()
