"""Mean IoU against numbers worked out by hand."""

import numpy as np
import tensorflow as tf

from oasis_tf.evaluation import miou


class SegmentTest(tf.test.TestCase):
    # One pixel; channels: "fake", then labels 0, 1, 2.
    def test_takes_the_likeliest_label_but_never_fake(self):
        logits = tf.constant([[[[9.0, 1.0, 3.0, 2.0]]]])
        labels = miou.segment(logits, has_dont_care=False)
        self.assertAllEqual(labels, [[[1]]])
        self.assertEqual(labels.dtype, tf.int32)

    def test_never_takes_dont_care(self):
        logits = tf.constant([[[[9.0, 5.0, 1.0, 2.0]]]])
        self.assertAllEqual(miou.segment(logits, False), [[[0]]])
        self.assertAllEqual(miou.segment(logits, True), [[[2]]])


class ConfusionMatrixTest(tf.test.TestCase):
    def test_counts_truth_by_row_and_prediction_by_column(self):
        confusion = miou.confusion_matrix(
            [[0, 1, 1], [2, 2, 2]], [[0, 1, 2], [2, 2, 0]], 4
        )
        self.assertAllEqual(
            confusion, [[1, 0, 0, 0], [0, 1, 1, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
        )
        self.assertEqual(confusion.dtype, np.int64)

    def test_takes_small_dtypes_with_many_classes(self):
        # 200 * 201 + 200 is beyond uint8.
        label_map = tf.fill([2, 3], tf.constant(200, tf.uint8))
        confusion = miou.confusion_matrix(label_map, label_map, 201)
        self.assertEqual(confusion[200, 200], 6)


class MeanIOUTest(tf.test.TestCase):
    CONFUSION = np.array([[4, 1, 0], [2, 3, 0], [0, 0, 0]])

    def test_iou_is_intersection_over_union(self):
        iou = miou.class_iou(self.CONFUSION, range(3))
        self.assertAllClose(iou, [4 / (4 + 1 + 2), 3 / (3 + 2 + 1), np.nan])

    def test_mean_is_over_the_classes_that_occur(self):
        mean = miou.mean_iou(self.CONFUSION, range(3))
        self.assertAllClose(mean, (4 / 7 + 3 / 6) / 2)

    def test_class_only_predicted_lowers_the_others_but_is_none_itself(self):
        confusion = [[4, 0, 1], [0, 5, 0], [0, 0, 0]]
        self.assertAllClose(miou.class_iou(confusion, range(3)), [4 / 5, 1, 0])
        self.assertAllClose(miou.mean_iou(confusion, range(3)), (4 / 5 + 1) / 2)

    def test_dont_care_pixels_do_not_count(self):
        # The first row, true don't-care, is as if it were not there.
        confusion = [[9, 7, 8], [0, 3, 1], [0, 2, 4]]
        iou = miou.class_iou(confusion, [1, 2])
        self.assertAllClose(iou, [np.nan, 3 / (3 + 1 + 2), 4 / (4 + 2 + 1)])
        mean = miou.mean_iou(confusion, [1, 2])
        self.assertAllClose(mean, (3 / 6 + 4 / 7) / 2)

    def test_classes_that_are_not_scored_do_not_count(self):
        # Class 1 is not: its pixels are left out, but not that it was found.
        confusion = [[4, 2, 0], [5, 6, 7], [1, 0, 3]]
        scored = (2, 0)
        iou = miou.class_iou(confusion, scored)
        self.assertAllClose(iou, [4 / (4 + 2 + 1), np.nan, 3 / (3 + 1)])
        mean = miou.mean_iou(confusion, scored)
        self.assertAllClose(mean, (4 / 7 + 3 / 4) / 2)
        self.assertAllClose(miou.pixel_accuracy(confusion, scored), 7 / 10)

    def test_a_perfect_segmentation_has_1(self):
        label_map = np.random.default_rng(0).integers(0, 5, [2, 8, 8])
        confusion = miou.confusion_matrix(label_map, label_map, 7)
        self.assertEqual(miou.mean_iou(confusion, range(7)), 1.0)

    def test_nothing_but_dont_care_has_no_mean(self):
        confusion = [[9, 1], [0, 0]]
        self.assertTrue(np.isnan(miou.mean_iou(confusion, [1])))

    def test_the_matrix_stays(self):
        confusion = np.array([[9, 1], [2, 3]])
        miou.mean_iou(confusion, [1])
        self.assertAllEqual(confusion, [[9, 1], [2, 3]])


if __name__ == "__main__":
    tf.test.main()
