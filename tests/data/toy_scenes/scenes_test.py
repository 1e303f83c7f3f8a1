import dataclasses

import numpy as np
from absl.testing import parameterized

from oasis_tf.data.toy_scenes import scenes
from oasis_tf.data.toy_scenes.appearance import SEASONS
from oasis_tf.data.toy_scenes.appearance import TIMES
from oasis_tf.data.toy_scenes.appearance import draw_appearance
from oasis_tf.data.toy_scenes.composition import draw_layout
from oasis_tf.data.toy_scenes.layout import House
from oasis_tf.data.toy_scenes.painting import paint


def mean_difference(first, second):
    return np.mean(np.abs(np.float32(first) - np.float32(second)))


class DrawSceneTest(parameterized.TestCase):
    def test_classes_have_different_names_and_colors(self):
        self.assertLen(set(scenes.CLASS_NAMES), len(scenes.CLASS_NAMES))
        self.assertLen(set(scenes.COLORS), len(scenes.CLASS_NAMES))

    @parameterized.parameters((64, 64), (16, 16), (48, 96), (96, 48), (65, 33))
    def test_returns_an_image_and_a_label_map_of_the_size(self, height, width):
        for index in range(10):
            image, label_map = scenes.draw_scene(0, index, height, width)
            self.assertEqual(image.shape, (height, width, 3))
            self.assertEqual(image.dtype, np.uint8)
            self.assertEqual(label_map.shape, (height, width))
            self.assertEqual(label_map.dtype, np.uint8)
            self.assertLess(label_map.max(), len(scenes.CLASS_NAMES))

    def test_same_numbers_give_the_same_scene(self):
        image, label_map = scenes.draw_scene(3, 7, 64, 64)
        image_again, label_map_again = scenes.draw_scene(3, 7, 64, 64)
        np.testing.assert_array_equal(image, image_again)
        np.testing.assert_array_equal(label_map, label_map_again)

    @parameterized.parameters((3, 8), (4, 7), (7, 3))
    def test_other_numbers_give_another_scene(self, seed, index):
        image, label_map = scenes.draw_scene(3, 7, 64, 64)
        other_image, other_label_map = scenes.draw_scene(seed, index, 64, 64)
        self.assertGreater(mean_difference(image, other_image), 5)
        self.assertGreater(np.mean(label_map != other_label_map), 0.05)

    def test_every_class_is_in_a_quarter_of_the_scenes(self):
        num_scenes = 100
        counts = np.zeros(len(scenes.CLASS_NAMES))
        for index in range(num_scenes):
            _, label_map = scenes.draw_scene(0, index, 64, 64)
            num_pixels = np.bincount(label_map.ravel(), minlength=counts.size)
            counts += num_pixels > 20
        shares = dict(zip(scenes.CLASS_NAMES, counts / num_scenes))
        self.assertGreaterEqual(min(shares.values()), 0.25, msg=shares)

    def test_scene_is_the_same_at_twice_the_size(self):
        for index in range(10):
            image, label_map = scenes.draw_scene(0, index, 64, 64)
            large_image, large_label_map = scenes.draw_scene(0, index, 128, 128)
            agreement = np.mean(label_map == large_label_map[::2, ::2])
            self.assertGreater(agreement, 0.9)
            halved = large_image.reshape(64, 2, 64, 2, 3).mean((1, 3))
            self.assertLess(mean_difference(image, halved), 10)

    @parameterized.parameters(
        (dict(seed=-1), "`seed` must be at least 0. Received: seed=-1."),
        (dict(index=-2), "`index` must be at least 0. Received: index=-2."),
        (dict(height=3), "`height` must be at least 16. Received: height=3."),
        (dict(width=15), "`width` must be at least 16. Received: width=15."),
    )
    def test_rejects_numbers_that_are_too_small(self, changed, message):
        arguments = dict(seed=0, index=0, height=64, width=64) | changed
        with self.assertRaises(ValueError) as caught:
            scenes.draw_scene(**arguments)
        self.assertEqual(str(caught.exception), message)


class AppearanceTest(parameterized.TestCase):
    def test_does_not_show_in_the_label_map(self):
        layout = draw_layout(self.rng(0))
        _, label_map = self.paint(layout, draw_appearance(self.rng(0)))
        for seed in range(1, 20):
            _, other = self.paint(layout, draw_appearance(self.rng(seed)))
            np.testing.assert_array_equal(label_map, other)

    def test_times_and_seasons_look_different(self):
        layout = draw_layout(self.rng(0))
        appearance = draw_appearance(self.rng(0))
        images = [
            self.paint(
                layout,
                dataclasses.replace(appearance, time=time, season=season),
            )[0]
            for time in TIMES
            for season in SEASONS
        ]
        for i, image in enumerate(images):
            for other in images[:i]:
                self.assertGreater(mean_difference(image, other), 4)

    def test_houses_show_their_materials(self):
        house = House(
            u=0.5, y=0.9, size=0.4, wall=0.5, shows_gable=True, facing=1
        )
        layout = draw_layout(self.rng(0))
        layout = dataclasses.replace(layout, houses=[house], trees=[])
        appearance = draw_appearance(self.rng(0))
        repainted = dataclasses.replace(
            appearance, walls=1 - appearance.walls, roofs=1 - appearance.roofs
        )
        image, label_map = self.paint(layout, appearance)
        other_image, _ = self.paint(layout, repainted)
        difference = np.abs(np.int32(image) - other_image).max(axis=-1)
        for name in ("house", "roof"):
            region = label_map == scenes.CLASS_NAMES.index(name)
            self.assertGreater(np.sum(region), 20)
            self.assertGreater(np.mean(difference[region]), 20)

    def paint(self, layout, appearance):
        return paint(layout, appearance, self.rng(0), 64, 64)

    def rng(self, seed):
        return np.random.default_rng(seed)
