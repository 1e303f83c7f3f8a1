"""Segmentation networks as judges."""

import dataclasses
import json
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.evaluation import segmentation
from oasis_tf.evaluation.segmentation import SegmentationNetwork

INFO = DatasetInfo(
    "made",
    ("don't care", "one", "two"),
    ((0, 0, 0), (1, 1, 1), (2, 2, 2)),
    {0: 0, 7: 1, 11: 2},
    has_dont_care=True,
)


class Network(tf.Module):
    """Finds by an image's red: what `find` makes of it."""

    def __init__(self, find, dtype):
        super().__init__()
        spec = tf.TensorSpec([None, None, None, 3], dtype, name="x")
        self.find = tf.function(find, input_signature=[spec], autograph=False)


def reds(x):
    return {"out": tf.cast(x[..., 0], tf.int32)}


class SegmentationNetworkTest(tf.test.TestCase, parameterized.TestCase):
    def save(self, find, dtype=tf.uint8, facts=None):
        path = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))
        network = Network(find, dtype)
        tf.saved_model.save(network, str(path), signatures=network.find)
        if facts:
            (path / segmentation.FACTS).write_text(json.dumps(facts))
        return path

    def images(self, reds):
        return np.repeat(np.uint8(reds)[None, :, :, None], 3, axis=3)

    @parameterized.parameters(
        ("labels", [[1, 2]], [[1, 2]]),
        ("classes", [[0, 1]], [[1, 2]]),
        ("native", [[7, 11]], [[1, 2]]),
    )
    def test_numbers_become_labels(self, ids, red, expected):
        network = SegmentationNetwork(self.save(reds), INFO, ids)
        labels, features = network(self.images(red))
        self.assertAllEqual(labels, [expected])
        self.assertIsNone(features)

    def test_scores_and_features_are_taken(self):
        def find(x):
            scores = tf.one_hot(tf.cast(x[..., 0], tf.int32), 3)
            return {"scores": scores, "features": tf.reduce_mean(x, [1, 2])}

        network = SegmentationNetwork(
            self.save(find, tf.float32), INFO, "labels"
        )
        labels, features = network(self.images([[2, 1]]))
        self.assertAllEqual(labels, [[[2, 1]]])
        self.assertAllClose(features, [[1.5, 1.5, 1.5]])

    def test_images_are_brought_to_its_size(self):
        path = self.save(reds)
        network = SegmentationNetwork(path, INFO, "labels", (2, 4))
        labels, _ = network(self.images([[1, 1], [2, 2]]))
        self.assertEqual(labels.shape, (1, 2, 4))
        counts = segmentation.confusions(
            labels, np.array([[[1, 1], [2, 2]]]), 3
        )
        self.assertAllEqual(counts, [[[0, 0, 0], [0, 4, 0], [0, 0, 4]]])

    @parameterized.parameters(
        ("labels", 3, "numbers 3"),
        ("classes", 2, "numbers 2"),
        ("native", 8, "numbers 8"),
    )
    def test_other_numbers_are_refused(self, ids, red, message):
        network = SegmentationNetwork(self.save(reds), INFO, ids)
        with self.assertRaisesRegex(ValueError, message):
            network(self.images([[red]]))

    def test_another_number_of_scores_is_refused(self):
        def find(x):
            return {"scores": tf.one_hot(tf.cast(x[..., 0], tf.int32), 3)}

        path = self.save(find)
        network = SegmentationNetwork(path, INFO, "classes")
        with self.assertRaisesRegex(ValueError, "each of 2 .*: 3 scores"):
            network(self.images([[1]]))

    def test_the_folder_around_an_export_will_do(self):
        facts = {"ids": "labels", "info": json.loads(INFO.to_json())}
        export = self.save(reds, facts=facts)
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))
        export.rename(folder / "export")
        network = SegmentationNetwork(folder, INFO)
        self.assertEqual(network.path, folder / "export")

    def test_what_numbers_mean_must_be_said(self):
        with self.assertRaisesRegex(ValueError, "`ids` must say"):
            SegmentationNetwork(self.save(reds), INFO)

    def test_a_network_of_one_image_of_one_size(self):
        module = tf.Module()
        spec = tf.TensorSpec([1, 2, 4, 3], tf.uint8, name="x")
        module.find = tf.function(reds, input_signature=[spec])
        path = tempfile.mkdtemp(dir=self.get_temp_dir())
        tf.saved_model.save(module, path, signatures=module.find)
        network = SegmentationNetwork(path, INFO, "labels")
        self.assertEqual(network.image_size, (2, 4))
        images = np.concatenate([self.images([[1, 1]]), self.images([[2, 2]])])
        labels, _ = network(images)
        self.assertAllEqual(labels[:, 0, 0], [1, 2])
        self.assertEqual(labels.shape, (2, 2, 4))

    def test_classes_are_those_that_the_benchmark_scores(self):
        info = dataclasses.replace(
            INFO,
            class_names=("don't care", "one", "two", "three"),
            colors=[*INFO.colors, (3, 3, 3)],
            scored_labels=(3, 1),
        )
        network = SegmentationNetwork(self.save(reds), info, "classes")
        labels, _ = network(self.images([[0, 1]]))
        self.assertAllEqual(labels, [[[3, 1]]])
        # Rows: 3 of 4 pixels of "one", 1 of 2 of "three"; "two" is left out.
        counts = [[9, 9, 9, 9], [0, 3, 1, 0], [0, 9, 9, 9], [0, 0, 1, 1]]
        found = segmentation.summarize(counts, info)
        self.assertAllClose(found["miou"], (3 / 4 + 1 / 2) / 2)
        self.assertAllClose(found["accuracy"], 4 / 6)
        self.assertEqual(
            found["class_iou"],
            {"don't care": None, "one": 0.75, "two": None, "three": 0.5},
        )

    @parameterized.parameters(
        ([1, 3, 2, 4], r"\(1, 3, 2, 4\); .* transposition"),
        ([2, 4, 3], r"\(2, 4, 3\)"),
        (None, "unknown"),
    )
    def test_images_of_another_layout_are_refused(self, shape, message):
        module = tf.Module()
        spec = tf.TensorSpec(shape, tf.uint8, name="x")
        module.find = tf.function(tf.identity, input_signature=[spec])
        path = tempfile.mkdtemp(dir=self.get_temp_dir())
        tf.saved_model.save(module, path, signatures=module.find)
        with self.assertRaisesRegex(ValueError, message):
            SegmentationNetwork(path, INFO, "labels")

    def test_other_classes_are_refused(self):
        names = ("don't care", "one", "three")
        other = DatasetInfo("other", names, INFO.colors, {0: 0}, True)
        path = self.save(reds, facts={"info": json.loads(other.to_json())})
        with self.assertRaisesRegex(ValueError, "Received: one of 'other'"):
            SegmentationNetwork(path, INFO)

    def test_files_that_are_none_are_named(self):
        with self.assertRaisesRegex(ValueError, "/no/such must be a SavedM"):
            SegmentationNetwork("/no/such", INFO)

    def test_another_output_is_named(self):
        path = self.save(lambda x: {"out": tf.reduce_mean(x)}, tf.float32)
        with self.assertRaisesRegex(ValueError, r"must return .*'out': \(\)"):
            SegmentationNetwork(path, INFO, "labels")(self.images([[1]]))


class SummarizeTest(tf.test.TestCase):
    def test_scores_of_a_confusion_matrix(self):
        counts = np.array([[9, 9, 9], [0, 6, 2], [0, 0, 0]])
        found = segmentation.summarize(counts, INFO)
        # Don't-care does not count; class two is found, but is not there.
        self.assertAllClose(found["miou"], 6 / 8)
        self.assertAllClose(found["accuracy"], 6 / 8)
        self.assertEqual(
            found["class_iou"], {"don't care": None, "one": 0.75, "two": None}
        )


if __name__ == "__main__":
    tf.test.main()
