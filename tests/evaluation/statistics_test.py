"""Colour and texture histograms against hand, scikit-image and SciPy."""

import io
import warnings

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from scipy import ndimage
from scipy import stats
from skimage import color
from skimage import feature

from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.data.toy_scenes import scenes
from oasis_tf.evaluation import statistics
from oasis_tf.evaluation.statistics import EDGES
from oasis_tf.evaluation.statistics import Histograms


def make_info(num_labels, has_dont_care=False):
    names = [f"label {s}" for s in range(num_labels)]
    colors = [(s, s, s) for s in range(num_labels)]
    ids = {s: s for s in range(num_labels)}
    return DatasetInfo("made", names, colors, ids, has_dont_care)


def count(images, label_maps, num_labels):
    histograms = Histograms(num_labels)
    histograms.update(images, label_maps)
    return histograms


def noise_images(seed=0, shape=(2, 12, 10), num_labels=3):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, [*shape, 3], np.uint8)
    return images, rng.integers(0, num_labels, shape, np.int32)


def bins_with_pixels(counts):
    return np.flatnonzero(counts).tolist()


class HistogramsTest(tf.test.TestCase, parameterized.TestCase):
    def test_colors_are_those_of_scikit_image(self):
        images, label_maps = noise_images()
        histograms = count(images, label_maps, 3)
        lab = color.rgb2lab(images)
        for axis, name in enumerate("Lab"):
            for label in range(3):
                expected, _ = np.histogram(
                    lab[..., axis][label_maps == label], EDGES[name]
                )
                self.assertAllEqual(histograms.counts[name][label], expected)
        self.assertAllEqual(
            histograms.num_pixels, np.bincount(label_maps.ravel())
        )

    def test_textures_are_those_of_scikit_image_without_the_rim(self):
        images, _ = noise_images(shape=(1, 20, 30))
        label_maps = np.full([1, 20, 30], 2)
        gray = np.round(255 * color.rgb2gray(images[0])).astype(np.uint8)
        codes = feature.local_binary_pattern(gray, 8, 1, "uniform")[1:-1, 1:-1]
        expected = np.bincount(codes.astype(int).ravel(), minlength=10)
        texture = count(images, label_maps, 4).counts["texture"]
        self.assertAllEqual(texture[2], expected)
        self.assertEqual(texture.sum(), 18 * 28)

    def test_known_colors_are_in_their_bins(self):
        # CIELAB of sRGB: white (100, 0, 0), red (53.2, 80.1, 67.2).
        images = np.uint8([[[[255, 255, 255], [255, 0, 0]]]])
        counts = count(images, [[[0, 1]]], 2).counts
        found = [bins_with_pixels(counts[n][s]) for s in (0, 1) for n in "Lab"]
        # Bins of width 2 from 0 and from -111.
        self.assertEqual(found[:3], [[49], [55], [55]])
        self.assertEqual(found[3:], [[26], [95], [89]])

    def test_all_grays_are_in_the_middle_bin(self):
        gray = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
        images = np.repeat(gray, 3, axis=-1)
        counts = count(images, np.zeros([1, 16, 16], int), 1).counts
        for name in "ab":
            self.assertEqual(bins_with_pixels(counts[name][0]), [55])
            self.assertEqual(EDGES[name][55] + EDGES[name][56], 0)

    def test_all_of_srgb_is_within_the_edges(self):
        levels = np.arange(0, 256, 15)
        lab = color.rgb2lab(np.stack(np.meshgrid(*[levels] * 3), -1) / 255)
        for axis, name in enumerate("Lab"):
            values = lab[..., axis]
            self.assertGreaterEqual(values.min(), EDGES[name][0])
            self.assertLessEqual(values.max(), EDGES[name][-1] + 1e-9)

    def test_a_constant_image_has_one_color_and_the_flat_texture(self):
        for value in (0, 77, 255):
            images = np.full([1, 9, 9, 3], value, np.uint8)
            counts = count(images, np.zeros([1, 9, 9], int), 1).counts
            for name in "Lab":
                self.assertLen(bins_with_pixels(counts[name][0]), 1)
            # No neighbour is darker.
            self.assertEqual(bins_with_pixels(counts["texture"][0]), [8])

    def test_texture_is_of_pixels_amid_their_class(self):
        label_map = np.zeros([7, 9], int)
        label_map[:, 5:] = 1
        label_map[3, 3] = 2
        images, _ = noise_images(shape=(1, 7, 9))
        counts = count(images, label_map[None], 3).counts
        # Label 0: rows 1..5 of columns 1..3, without the 6 around label 2.
        # Label 1: rows 1..5 of columns 6 and 7.
        self.assertAllEqual(
            counts["texture"].sum(axis=1), [5 * 3 - 6, 5 * 2, 0]
        )
        self.assertAllEqual(counts["L"].sum(axis=1), [34, 28, 1])

    def test_the_outline_between_classes_is_no_texture(self):
        images = np.zeros([1, 8, 8, 3], np.uint8)
        images[:, :, 4:] = 200
        label_maps = np.zeros([1, 8, 8], int)
        label_maps[:, :, 4:] = 1
        texture = count(images, label_maps, 2).counts["texture"]
        self.assertEqual(bins_with_pixels(texture.sum(axis=0)), [8])

    def test_images_too_small_for_a_texture_have_their_colors(self):
        for height, width in ((1, 1), (2, 5), (5, 2)):
            images, label_maps = noise_images(shape=(1, height, width))
            counts = count(images, label_maps, 3).counts
            self.assertEqual(counts["a"].sum(), height * width)
            self.assertEqual(counts["texture"].sum(), 0)

    def test_batches_add_up_and_so_do_merged_ones(self):
        images, label_maps = noise_images(shape=(5, 8, 8))
        together = count(images, label_maps, 3)
        one_by_one = Histograms(3)
        for i in range(5):
            one_by_one.update(images[i : i + 1], label_maps[i : i + 1])
        merged = count(images[:2], label_maps[:2], 3)
        merged.merge(count(images[2:], label_maps[2:], 3))
        for other in (one_by_one, merged):
            for name in EDGES:
                self.assertAllEqual(together.counts[name], other.counts[name])

    def test_arrays_come_back_from_a_file(self):
        histograms = count(*noise_images(), 3)
        file = io.BytesIO()
        np.savez(file, **histograms.to_arrays())
        file.seek(0)
        with np.load(file) as arrays:
            again = Histograms.from_arrays(dict(arrays))
        for name in EDGES:
            self.assertAllEqual(again.counts[name], histograms.counts[name])
            self.assertEqual(again.counts[name].dtype, np.int64)

    def test_arrays_are_not_shared(self):
        histograms = count(*noise_images(), 3)
        arrays = histograms.to_arrays()
        again = Histograms.from_arrays(arrays)
        again.merge(histograms)
        self.assertAllEqual(arrays["L"], histograms.counts["L"])

    def test_takes_tensors_and_small_label_dtypes_with_many_classes(self):
        images, _ = noise_images(shape=(1, 4, 4))
        label_maps = tf.fill([1, 4, 4], tf.constant(200, tf.uint8))
        histograms = count(tf.constant(images), label_maps, 201)
        self.assertEqual(histograms.num_pixels[200], 16)

    @parameterized.parameters(
        (np.float32, (1, 4, 4), np.int32, "uint8"),
        (np.uint8, (1, 4, 5), np.int32, "as large as"),
        (np.uint8, (1, 4, 4), np.float32, "integers"),
    )
    def test_rejects_what_it_does_not_count(self, dtype, shape, kind, message):
        images = np.zeros([1, 4, 4, 3], dtype)
        with self.assertRaisesRegex(ValueError, f"{message}.*Received"):
            Histograms(3).update(images, np.zeros(shape, kind))

    @parameterized.parameters(-1, 3)
    def test_rejects_labels_that_are_none(self, label):
        images, label_maps = noise_images()
        label_maps[0, 0, 0] = label
        histograms = Histograms(3)
        with self.assertRaisesRegex(ValueError, "labels 0..2. Received"):
            histograms.update(images, label_maps)
        self.assertEqual(histograms.counts["L"].sum(), 0)

    def test_rejects_arrays_and_histograms_of_others(self):
        arrays = Histograms(3).to_arrays()
        for wrong in (
            {},
            {"L": arrays["L"]},
            arrays | {"a": arrays["a"][:, 1:]},
            arrays | {"a": arrays["a"][1:]},
            arrays | {"a": np.int64(3)},
        ):
            with self.assertRaisesRegex(ValueError, "must have the shapes"):
                Histograms.from_arrays(wrong)
        with self.assertRaisesRegex(ValueError, "Received: 3 and 4"):
            Histograms(3).merge(Histograms(4))


class DistanceTest(tf.test.TestCase):
    def test_earth_movers_distance_by_hand(self):
        # All of it moves two bins; half of it moves one.
        found = statistics.earth_movers_distance(
            [[1, 0, 0], [2, 2, 0]], [[0, 0, 7], [1, 2, 1]], bin_width=5
        )
        self.assertAllClose(found, [10, (1 / 4 + 1 / 4) * 5])

    def test_earth_movers_distance_is_that_of_scipy(self):
        rng = np.random.default_rng(0)
        real, fake = rng.integers(0, 9, [2, 4, 20])
        centers = 2.0 * np.arange(20) - 7
        expected = [
            stats.wasserstein_distance(centers, centers, p, q)
            for p, q in zip(real, fake)
        ]
        found = statistics.earth_movers_distance(real, fake, 2)
        self.assertAllClose(found, expected)

    def test_chi_square_distance_by_hand(self):
        found = statistics.chi_square_distance(
            [[1, 1, 0, 0], [1, 0, 0, 0]], [[2, 0, 2, 0], [0, 5, 0, 0]]
        )
        # Shares 1/2 1/2 0 and 1/2 0 1/2; then two that do not meet.
        self.assertAllClose(found, [(0 + 0.5 + 0.5) / 2, 1])

    def test_the_number_of_pixels_does_not_matter(self):
        counts = np.array([3, 5, 0, 2])
        for found in (
            statistics.earth_movers_distance(counts, 7 * counts, 2),
            statistics.chi_square_distance(counts, 7 * counts),
        ):
            self.assertAllClose(found, 0)

    def test_an_empty_histogram_has_no_distance_and_no_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for real, fake in (([0, 0], [1, 2]), ([1, 2], [0, 0])):
                self.assertTrue(
                    np.isnan(statistics.earth_movers_distance(real, fake, 1))
                )
                self.assertTrue(
                    np.isnan(statistics.chi_square_distance(real, fake))
                )


class DistancesTest(tf.test.TestCase):
    def filled(self, num_labels, bins):
        """Histograms with so many pixels in a bin: {(name, label): {bin: n}}.

        Where nothing else is said, all are in bin 0.
        """
        histograms = Histograms(num_labels)
        for name in EDGES:
            histograms.counts[name][:, 0] = 1
        for (name, label), numbers in bins.items():
            histograms.counts[name][label] = 0
            for k, number in numbers.items():
                histograms.counts[name][label, k] = number
        return histograms

    def test_by_hand(self):
        real = self.filled(2, {("texture", 0): {1: 3}})
        fake = self.filled(
            2,
            {
                ("L", 0): {5: 1},  # 5 bins of width 2: 10.
                ("a", 1): {0: 1, 3: 1},  # Half of it 3 bins: 3.
                ("texture", 0): {2: 4},  # Nowhere the same: 1.
            },
        )
        found = statistics.distances(real, fake, make_info(2))
        self.assertAllClose(
            list(found["class_color_emd"].values()), [10 / 3, 3 / 3]
        )
        self.assertAllClose(list(found["class_texture_chi2"].values()), [1, 0])
        self.assertAllClose(
            found["class_mean"],
            {"color_emd": (10 / 3 + 1) / 2, "texture_chi2": 0.5},
        )
        # Over all pixels: L has one of two moved by 10; a, one of three by 6.
        # Textures: 1/4 in code 0 and 3/4 in 1, against 1/5 in 0 and 4/5 in 2.
        self.assertAllClose(
            found["overall"],
            {
                "color_emd": (10 / 2 + 6 / 3) / 3,
                "texture_chi2": (0.05**2 / 0.45 + 0.75 + 0.8) / 2,
            },
        )

    def test_dont_care_does_not_count(self):
        real = self.filled(2, {})
        fake = self.filled(2, {("L", 0): {9: 9}, ("texture", 0): {9: 9}})
        nothing = {"color_emd": 0.0, "texture_chi2": 0.0}
        found = statistics.distances(real, fake, make_info(2, True))
        self.assertEqual(found["overall"], nothing)
        self.assertEqual(found["class_mean"], nothing)
        self.assertEqual(
            found["class_color_emd"], {"label 0": None, "label 1": 0.0}
        )
        found = statistics.distances(real, fake, make_info(2, False))
        self.assertGreater(found["overall"]["color_emd"], 0)
        self.assertGreater(found["class_mean"]["texture_chi2"], 0)

    def test_a_class_that_one_lacks_has_no_distance(self):
        nothing = {(name, 1): {} for name in EDGES}
        real, fake = self.filled(3, nothing), self.filled(3, {})
        for one, other in ((real, fake), (fake, real)):
            found = statistics.class_distances(one, other, False)
            for values in found.values():
                self.assertAllEqual(np.isnan(values), [False, True, False])
            summary = statistics.distances(one, other, make_info(3))
            self.assertIsNone(summary["class_texture_chi2"]["label 1"])
            self.assertEqual(summary["class_mean"]["color_emd"], 0)

    def test_a_thin_class_has_colors_but_no_texture(self):
        thin = {("texture", 0): {}}
        real, fake = self.filled(1, thin), self.filled(1, thin)
        found = statistics.distances(real, fake, make_info(1))
        self.assertEqual(found["class_color_emd"], {"label 0": 0.0})
        self.assertEqual(found["class_texture_chi2"], {"label 0": None})
        self.assertTrue(np.isnan(found["overall"]["texture_chi2"]))
        self.assertTrue(np.isnan(found["class_mean"]["texture_chi2"]))

    def test_rejects_histograms_of_other_classes(self):
        for real, fake in ((3, 4), (4, 3)):
            with self.assertRaisesRegex(ValueError, "Received"):
                statistics.distances(
                    Histograms(real), Histograms(fake), make_info(3)
                )


class ScenesTest(tf.test.TestCase):
    """What the distances say of drawn landscapes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        drawn = [scenes.draw_scene(0, i, 64, 64) for i in range(6)]
        cls.images = np.stack([image for image, _ in drawn])
        cls.label_maps = np.stack([label_map for _, label_map in drawn])
        cls.blurred = ndimage.gaussian_filter(cls.images, [0, 1.5, 1.5, 0])

    def distances(self, real, fake):
        info = make_info(len(scenes.CLASS_NAMES))
        counted = [
            count(images, self.label_maps, info.semantic_channels)
            for images in (real, fake)
        ]
        return statistics.distances(*counted, info)

    def test_the_same_images_have_no_distance(self):
        found = self.distances(self.images, self.images)
        for kind in ("overall", "class_mean"):
            self.assertEqual(
                found[kind], {"color_emd": 0.0, "texture_chi2": 0.0}
            )

    def test_another_hue_is_a_color_and_not_a_texture(self):
        # Duller first, so that the other hues are within sRGB, too.
        lab = color.rgb2lab(self.images) * 0.5 + [25, 0, 0]
        dull, redder = (
            np.uint8(np.round(255 * color.lab2rgb(lab + [0, shift, 0])))
            for shift in (0, 12)
        )
        found = self.distances(dull, redder)
        # One of three axes is shifted by 12.
        for kind in ("overall", "class_mean"):
            self.assertAllClose(found[kind]["color_emd"], 12 / 3, atol=0.2)
        blurred = self.distances(self.images, self.blurred)
        self.assertLess(
            found["overall"]["texture_chi2"],
            blurred["overall"]["texture_chi2"] / 10,
        )

    def test_blur_is_a_texture_more_than_a_color(self):
        found = self.distances(self.images, self.blurred)
        for kind in ("overall", "class_mean"):
            self.assertGreater(found[kind]["texture_chi2"], 0.1)
        # Half of what the other hue makes above.
        self.assertLess(found["overall"]["color_emd"], 2)

    def test_brighter_grays_are_a_distance_of_lightness_alone(self):
        levels = np.full([1, 6, 6, 1], 100, np.uint8)
        label_maps = np.zeros([1, 6, 6], int)
        dark, bright = (
            count(np.repeat(v, 3, axis=-1), label_maps, 1).overall(False)
            for v in (levels, levels + 50)
        )
        found = {
            name: float(statistics.axis_distance(name, dark, bright))
            for name in EDGES
        }
        # L of sRGB gray 100 is 42.4, that of 150 is 62.1: bins 21 and 31.
        self.assertEqual(found, {"L": 20.0, "a": 0, "b": 0, "texture": 0})


if __name__ == "__main__":
    tf.test.main()
