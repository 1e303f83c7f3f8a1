"""Training a segmentation network, stopped and gone on with."""

import dataclasses
import pathlib
import tempfile
from unittest import mock

import tensorflow as tf

from oasis_tf.evaluation.segmentation import SegmentationNetwork
from oasis_tf.training import segmentation
from oasis_tf.training import workdir
from oasis_tf.training.checkpoint import Checkpoints
from tests import tiny

SETTINGS = segmentation.SegmenterSettings(
    (16, 16), num_steps=4, global_batch_size=4, channels=(4, 8)
)


class TrainTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.dataset = tiny.dataset(self.get_temp_dir())
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))

    def train(self, settings=SETTINGS):
        return segmentation.train(
            self.dataset, tiny.CONFIG.data, settings, self.folder, ["/cpu:0"]
        )

    def test_exports_a_network_that_states_its_scores(self):
        export = self.train()
        network = SegmentationNetwork(export, self.dataset.info)
        self.assertBetween(network.real["miou"], 0, 1)
        self.assertEqual(tuple(network.image_size), (16, 16))
        labels, features = network(tiny.batch()["image"])
        self.assertEqual(labels.shape, (4, 16, 16))
        self.assertEqual(features.shape, (4, 8))
        # Again: what is there is kept.
        before = (export / "saved_model.pb").stat().st_mtime_ns
        self.train()
        self.assertEqual(before, (export / "saved_model.pb").stat().st_mtime_ns)

    def test_goes_on_as_if_it_had_not_been_stopped(self):
        class Stopped(Exception):
            pass

        class Stopping(Checkpoints):
            def save(self):
                path = super().save()
                saved.append(pathlib.Path(path).name)
                if saved == ["step-1", "step-2"]:
                    raise Stopped

        images = tiny.batch()["image"]
        saved = []
        with mock.patch.object(segmentation, "_STEPS_PER_EPOCH", 1):
            with mock.patch.object(segmentation, "Checkpoints", Stopping):
                with self.assertRaises(Stopped):
                    self.train()
                export = self.train()
            self.assertEqual(saved[2:], ["step-3", "step-4"])
            _, features = SegmentationNetwork(export, self.dataset.info)(images)
            self.folder = self.folder / "without_a_stop"
            export = self.train()
            _, expected = SegmentationNetwork(export, self.dataset.info)(images)
        # Other images, or another order, would change them by 5e-3.
        self.assertAllClose(features, expected, rtol=1e-4, atol=1e-5)

    def test_a_folder_is_of_one_process(self):
        with workdir.lock(self.folder):
            with self.assertRaisesRegex(ValueError, "another process is train"):
                self.train()
        self.assertFalse((self.folder / "settings.json").exists())

    def test_learns(self):
        settings = dataclasses.replace(
            SETTINGS, num_steps=60, channels=(16, 32)
        )
        scores = SegmentationNetwork(
            self.train(settings), self.dataset.info
        ).real
        # The most frequent class has 0.27 of the pixels.
        self.assertGreater(scores["accuracy"], 0.4)

    def test_other_settings_are_refused(self):
        self.train()
        other = dataclasses.replace(SETTINGS, seed=1)
        with self.assertRaisesRegex(ValueError, "a segmenter of other settin"):
            self.train(other)


class SettingsTest(tf.test.TestCase):
    def test_size_must_fit(self):
        with self.assertRaisesRegex(ValueError, "multiples of 2, for"):
            dataclasses.replace(SETTINGS, image_size=(15, 16))


if __name__ == "__main__":
    tf.test.main()
