"""A trained discriminator in use."""

import dataclasses
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from PIL import Image

import oasis_tf
from oasis_tf.data.image import to_float
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.data.toy_scenes import scenes
from oasis_tf.evaluation import miou
from tests import trained

PHOTO = scenes.draw_scene(0, 5, 16, 16)[0]


class SegmenterTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.workdir = trained.make_workdir(
            tempfile.mkdtemp(dir=self.get_temp_dir())
        )

    def test_finds_what_the_discriminator_finds(self):
        discriminator = trained.networks()[1]
        logits = discriminator(to_float(tf.constant(PHOTO[None])))
        expected = miou.segment(logits, has_dont_care=False)[0]
        found = oasis_tf.load_segmenter(self.workdir).segment(PHOTO)
        self.assertEqual(found.dtype, np.uint8)
        self.assertAllEqual(found, expected)
        self.assertGreater(len(np.unique(found)), 1)

    def test_ids_are_the_data_sets_and_labels_without_one_are_not_chosen(self):
        common = np.bincount(
            oasis_tf.load_segmenter(self.workdir).segment(PHOTO).ravel()
        ).argmax()
        info = dataclasses.replace(
            Builder.INFO,
            # Label 0 is don't-care, and the commonest one has no id.
            label_of_id={200 - s: s for s in range(11) if s not in (0, common)},
            has_dont_care=True,
        )
        workdir = trained.make_workdir(
            tempfile.mkdtemp(dir=self.get_temp_dir()), info=info
        )
        segmenter = oasis_tf.load_segmenter(workdir)
        found = segmenter.segment(PHOTO)
        logits = trained.networks()[1](to_float(tf.constant(PHOTO[None])))
        logits = logits.numpy()[0, ..., 1:]
        logits[..., [0, common]] = -np.inf
        self.assertAllEqual(found, 200 - logits.argmax(axis=-1))
        path = pathlib.Path(workdir, "photo.png")
        Image.fromarray(PHOTO).save(path)
        done = trained.run(
            "segment", f"--model={workdir}", f"--image={path}", cwd=workdir
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        ids = Image.open(workdir / "runs/segment/photo/photo_ids.png")
        self.assertAllEqual(np.asarray(ids), found)

    def test_label_map_has_the_photos_size(self):
        segmenter = oasis_tf.load_segmenter(self.workdir)
        photo = scenes.draw_scene(0, 5, 21, 18)[0]
        with self.assertRaisesRegex(ValueError, "must be multiples of 4"):
            segmenter.segment(photo)
        self.assertEqual(segmenter.segment(photo, True).shape, (21, 18))
        self.assertEqual(segmenter.segment(photo, (8, 8)).shape, (21, 18))

    def test_needs_a_run_with_a_checkpoint(self):
        with self.assertRaisesRegex(ValueError, "without config.json"):
            oasis_tf.load_segmenter(self.workdir / "export")
        for path in (self.workdir / "checkpoints").iterdir():
            path.unlink()
        with self.assertRaisesRegex(ValueError, "must have a checkpoint"):
            oasis_tf.load_segmenter(self.workdir)

    def test_truncated_checkpoint_is_an_error_of_one_line(self):
        data = next((self.workdir / "checkpoints").glob("*.data*"))
        data.write_bytes(data.read_bytes()[:100])
        with self.assertRaisesRegex(ValueError, "checkpoint that can be read"):
            oasis_tf.load_segmenter(self.workdir)


if __name__ == "__main__":
    tf.test.main()
