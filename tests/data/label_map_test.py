"""Label maps: native ids, one-hot, colours."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.data import label_map
from oasis_tf.data.dataset import DatasetInfo

PETS = DatasetInfo(
    name="pets",
    class_names=("don't care", "cat", "dog"),
    colors=((0, 0, 0), (250, 0, 0), (0, 250, 0)),
    label_of_id={255: 0, 3: 1, 7: 2, 5: 2},
    has_dont_care=True,
)


class RemapTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters([np.uint8, np.uint16, np.int16, np.int32, int])
    def test_replaces_ids_by_labels(self, dtype):
        native = np.array([[255, 3], [7, 5]], dtype)
        labels = label_map.remap(native, PETS)
        self.assertAllEqual(labels, [[0, 1], [2, 2]])
        self.assertEqual(labels.dtype, np.int32)

    def test_ids_may_go_beyond_a_byte(self):
        info = DatasetInfo(
            "wide", ("a", "b"), ((0, 0, 0), (1, 1, 1)), {300: 1, 0: 0}, False
        )
        native = np.array([[300, 0]], np.uint16)
        self.assertAllEqual(label_map.remap(native, info), [[1, 0]])
        self.assertAllEqual(label_map.lookup(native + 1, info), [[-1, -1]])

    def test_unknown_ids_are_named_with_those_there_are(self):
        with self.assertRaisesRegex(
            ValueError,
            r"'pets' must hold ids among 3, 5, 7, 255. Received: 0\.\.2, 4",
        ):
            label_map.remap(np.array([[0, 1, 2, 3, 4]]), PETS)

    def test_negative_and_huge_ids_are_unknown(self):
        native = np.array([[-1, -253, 256, 70_000, 3]])
        self.assertAllEqual(
            label_map.lookup(native, PETS), [[-1, -1, -1, -1, 1]]
        )


class RestoreTest(tf.test.TestCase):
    def test_gives_the_smallest_id_of_each_label(self):
        native = label_map.restore([[0, 1], [2, 2]], PETS)
        self.assertAllEqual(native, [[255, 3], [5, 5]])
        self.assertEqual(native.dtype, np.uint8)

    def test_undoes_remap_where_each_label_has_one_id(self):
        native = np.array([[255, 3, 5], [3, 5, 255]], np.uint8)
        labels = label_map.remap(native, PETS)
        self.assertAllEqual(label_map.restore(labels, PETS), native)

    def test_ids_beyond_a_byte_take_two(self):
        info = DatasetInfo("w", ("a",), ((0, 0, 0),), {300: 0}, False)
        native = label_map.restore([[0]], info)
        self.assertAllEqual(native, [[300]])
        self.assertEqual(native.dtype, np.uint16)

    def test_rejects_labels_without_an_id(self):
        info = DatasetInfo(
            "none", ("don't care", "a"), ((0, 0, 0),) * 2, {1: 1}, True
        )
        with self.assertRaisesRegex(
            ValueError, r"labels with an id in 'none'. Received: \[0\]"
        ):
            label_map.restore([[0, 1]], info)


class OneHotTest(tf.test.TestCase):
    def test_sets_the_channel_of_the_label(self):
        semantic_map = label_map.one_hot(tf.constant([[[0, 2]]]), 3)
        self.assertAllEqual(semantic_map, [[[[1, 0, 0], [0, 0, 1]]]])
        self.assertEqual(semantic_map.dtype, tf.float32)

    def test_type_can_be_chosen(self):
        labels = tf.constant([[[0]]])
        semantic_map = label_map.one_hot(labels, 3, tf.bfloat16)
        self.assertEqual(semantic_map.dtype, tf.bfloat16)


class ColorizeTest(tf.test.TestCase):
    def test_paints_each_pixel_in_its_classes_colour(self):
        colors = label_map.colorize([[0, 2], [1, 1]], PETS)
        self.assertAllEqual(
            colors,
            [[[0, 0, 0], [0, 250, 0]], [[250, 0, 0], [250, 0, 0]]],
        )
        self.assertEqual(colors.dtype, np.uint8)

    def test_takes_batches(self):
        colors = label_map.colorize(np.zeros([4, 2, 3], np.int32), PETS)
        self.assertEqual(colors.shape, (4, 2, 3, 3))


class RangesTest(tf.test.TestCase):
    def test_joins_neighbours(self):
        self.assertEqual(label_map.ranges([7, 0, 1, 2, 255]), "0..2, 7, 255")
        self.assertEqual(label_map.ranges([]), "")

    def test_cuts_off_after_twenty(self):
        text = label_map.ranges(range(0, 100, 2))
        self.assertEndsWith(text, "36, 38, ...")


if __name__ == "__main__":
    tf.test.main()
