"""A trained generator in use."""

import json
import pathlib
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import oasis_tf
from oasis_tf.data.toy_scenes import scenes
from oasis_tf.inference import generator as generator_lib
from tests import tiny
from tests import trained

LABEL_MAP = scenes.draw_scene(0, 5, 16, 16)[1]


def setUpModule():
    global FOLDER, WORKDIR, GENERATOR
    FOLDER = tempfile.TemporaryDirectory()
    WORKDIR = trained.make_workdir(pathlib.Path(FOLDER.name) / "run")
    GENERATOR = oasis_tf.load_generator(WORKDIR)


def tearDownModule():
    FOLDER.cleanup()


class LoadTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        "", "export", "export/generator", "export/generator/6"
    )
    def test_takes_a_run_its_exports_or_one_of_them(self, part):
        generator = oasis_tf.load_generator(WORKDIR / part)
        self.assertAllEqual(
            generator.generate(LABEL_MAP), GENERATOR.generate(LABEL_MAP)
        )

    def test_knows_what_it_was_trained_on(self):
        self.assertEqual(GENERATOR.info.class_names, scenes.CLASS_NAMES)
        self.assertEqual(GENERATOR.config, tiny.CONFIG)
        self.assertEqual(GENERATOR.size_multiple, 2)
        self.assertEqual(GENERATOR.noise_channels, 2)

    def test_takes_the_newest_export(self):
        other = trained.make_workdir(tempfile.mkdtemp(dir=self.get_temp_dir()))
        (other / "export/generator/6").rename(other / "export/generator/10")
        (other / "export/generator/9").mkdir()
        generator = oasis_tf.load_generator(other)
        self.assertEqual(generator.generate(LABEL_MAP).shape, (16, 16, 3))

    def test_says_what_is_there_instead(self):
        empty = tempfile.mkdtemp(dir=self.get_temp_dir())
        with self.assertRaisesRegex(ValueError, "neither export"):
            oasis_tf.load_generator(empty)
        pathlib.Path(empty, "config.json").write_text("{}")
        with self.assertRaisesRegex(ValueError, "a run without an export yet"):
            oasis_tf.load_generator(empty)
        with self.assertRaisesRegex(ValueError, "which does not exist"):
            oasis_tf.load_generator(pathlib.Path(empty, "no"))

    def test_broken_export_is_named(self):
        other = trained.make_workdir(tempfile.mkdtemp(dir=self.get_temp_dir()))
        index = other / "export/generator/6/variables/variables.index"
        index.write_bytes(index.read_bytes()[:50])
        with self.assertRaisesRegex(ValueError, "generator/6 must be a whole"):
            oasis_tf.load_generator(other)
        extra = other / "export/generator/6/assets.extra/dataset_info.json"
        extra.write_text(json.dumps({}))
        with self.assertRaisesRegex(ValueError, "dataset_info.json must be"):
            oasis_tf.load_generator(other)


class GenerateTest(tf.test.TestCase, parameterized.TestCase):
    def test_one_seed_gives_a_picture_several_give_several(self):
        image = GENERATOR.generate(LABEL_MAP, seed=3)
        self.assertEqual((image.shape, image.dtype), ((16, 16, 3), np.uint8))
        images = GENERATOR.generate(LABEL_MAP, range(2, 12))
        self.assertEqual(images.shape, (10, 16, 16, 3))
        self.assertAllClose(images[1], image, atol=1)
        self.assertNotAllClose(images[0], image, atol=10)

    def test_draws_as_the_export_does(self):
        model = tf.saved_model.load(str(WORKDIR / "export/generator/6"))
        expected = model.signatures["synthesize"](
            label_map=LABEL_MAP[None].astype(np.int32),
            seed=tf.constant([3], tf.int64),
        )["image"][0]
        self.assertAllEqual(GENERATOR.generate(LABEL_MAP, seed=3), expected)

    def test_two_devices_draw_as_one_does(self):
        strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
        generator = oasis_tf.load_generator(WORKDIR, strategy)
        self.assertEqual(generator.num_replicas, 2)
        for num in (1, 3, 4):  # Not all of which can be shared evenly.
            maps = list(tiny.batch(size=num)["label_map"])
            seeds = range(num)
            self.assertAllEqual(
                generator.draw(maps, seeds=seeds),
                GENERATOR.draw(maps, seeds=seeds),
            )
        noises = [GENERATOR.sample_noise(maps[0], seed) for seed in range(3)]
        self.assertAllEqual(
            generator.draw(maps[:1] * 3, noises=noises),
            GENERATOR.draw(maps[:1] * 3, noises=noises),
        )

    def test_noise_of_a_seed_draws_as_the_seed_of_pixel_noise_too(self):
        config = tiny.config(generator={"noise": "pixel"})
        workdir = trained.make_workdir(
            tempfile.mkdtemp(dir=self.get_temp_dir()), config
        )
        generator = oasis_tf.load_generator(workdir)
        noise = generator.noise(LABEL_MAP, seed=3)
        self.assertAllClose(
            generator.generate(LABEL_MAP, noise=noise),
            generator.generate(LABEL_MAP, seed=3),
            atol=1,
        )

    def test_noise_of_a_seed_draws_as_the_seed(self):
        noise = GENERATOR.noise(LABEL_MAP, seed=3)
        self.assertAllClose(
            GENERATOR.generate(LABEL_MAP, noise=noise),
            GENERATOR.generate(LABEL_MAP, seed=3),
            atol=1,
        )

    def test_new_noise_in_a_class_changes_its_pixels_most(self):
        before = GENERATOR.noise(LABEL_MAP, seed=3)
        after = before.resample_class("sky", seed=4)
        first, second = GENERATOR.generate(LABEL_MAP, noise=[before, after])
        change = np.abs(first.astype(int) - second).max(axis=-1)
        is_sky = LABEL_MAP == scenes.CLASS_NAMES.index("sky")
        self.assertGreater(change[is_sky].mean(), 5)
        # This small generator's pixels see others up to 14 rows away.
        self.assertGreater(change[is_sky].mean(), change[~is_sky].mean())

    def test_an_edit_reaches_the_receptive_border_and_no_further(self):
        # Reach in pixels: at half resolution 2 for conv_in and 1 for taking
        # the top-left pixel, then twice (4 + 1 for SPADE or what came before,
        # and 2 for the convolution): 9; 1 for doubling; at full resolution 1
        # for each of two convolutions and conv_out.
        border = 9 + 1 + 2 + 1
        label_map = scenes.draw_scene(0, 5, 16, 48)[1]
        mask = np.zeros(label_map.shape, bool)
        mask[:, :4] = True
        before = GENERATOR.noise(label_map, seed=3)
        after = before.resample_mask(mask, seed=4)
        first, second = GENERATOR.generate(label_map, noise=[before, after])
        is_changed = (first != second).any(axis=(0, 2))
        self.assertTrue(is_changed[:4].all())
        self.assertTrue(is_changed[4 : 4 + border].any())
        self.assertFalse(is_changed[4 + border :].any())

    def test_sizes_that_do_not_fit_are_refused_or_resized(self):
        odd = LABEL_MAP[:15, :13]
        with self.assertRaisesRegex(ValueError, "must be multiples of 2"):
            GENERATOR.generate(odd)
        image = GENERATOR.generate(odd, resize=True)
        self.assertEqual(image.shape, (16, 12, 3))
        image = GENERATOR.generate(odd, resize=(8, 20))
        self.assertEqual(image.shape, (8, 20, 3))

    def test_noise_of_another_size_is_refused(self):
        noise = GENERATOR.noise(LABEL_MAP[:8])
        with self.assertRaisesRegex(ValueError, r"\(16, 16, 2\).*\(8, 16, 2\)"):
            GENERATOR.generate(LABEL_MAP, noise=noise)

    def test_a_seed_must_be_one(self):
        for seed in (-1, 2**63, None, [1, -1]):
            with self.assertRaisesRegex(ValueError, "`seed` must be"):
                GENERATOR.generate(LABEL_MAP, seed)

    def test_nothing_to_draw_is_refused(self):
        with self.assertRaisesRegex(ValueError, "one or more"):
            GENERATOR.generate(LABEL_MAP, [])
        with self.assertRaisesRegex(ValueError, "one or more"):
            GENERATOR.generate(LABEL_MAP, noise=[])
        with self.assertRaisesRegex(ValueError, "must be of `Noise`"):
            GENERATOR.generate(LABEL_MAP, noise=np.zeros([16, 16, 2]))
        labels = GENERATOR.read(LABEL_MAP)
        with self.assertRaisesRegex(ValueError, "Received: 1 for 2"):
            GENERATOR.draw([labels] * 2, seeds=[1])
        with self.assertRaisesRegex(ValueError, "either `seeds` or"):
            GENERATOR.draw([labels])

    def test_an_array_of_label_maps_is_drawn(self):
        labels = np.stack([GENERATOR.read(LABEL_MAP)] * 2)
        images = GENERATOR.draw(labels, seeds=[3, 4])
        self.assertAllClose(
            images, GENERATOR.generate(LABEL_MAP, [3, 4]), atol=1
        )

    def test_large_label_maps_are_drawn_alike_in_smaller_batches(self):
        expected = GENERATOR.generate(LABEL_MAP, range(3))
        with mock.patch.object(generator_lib, "_BATCH_PIXELS", 16 * 16):
            images = GENERATOR.generate(LABEL_MAP, range(3))
        self.assertAllClose(images, expected, atol=1)

    def test_a_generator_without_noise_says_so(self):
        config = tiny.config(
            generator={
                "channels": (8, 8, 4),
                "noise": "none",
                "spade_channels": 4,
            }
        )
        workdir = trained.make_workdir(
            tempfile.mkdtemp(dir=self.get_temp_dir()), config
        )
        generator = oasis_tf.load_generator(workdir)
        self.assertAllEqual(
            generator.generate(LABEL_MAP, 1), generator.generate(LABEL_MAP, 2)
        )
        with self.assertRaisesRegex(ValueError, "generator.noise=none"):
            generator.noise(LABEL_MAP)


if __name__ == "__main__":
    tf.test.main()
