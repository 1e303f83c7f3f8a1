"""Scores of a run by judges whose weights are published elsewhere."""

from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from oasis_tf.data import pipeline
from oasis_tf.data.image import to_uint8
from oasis_tf.evaluation import segmentation
from oasis_tf.evaluation.fid import Moments
from oasis_tf.evaluation.fid import frechet_distance
from oasis_tf.evaluation.lpips import LPIPS
from oasis_tf.evaluation.segmentation import SegmentationNetwork
from oasis_tf.training import inspector
from oasis_tf.training.inspector import Inspector
from oasis_tf.training.train_step import create_state
from tests import tiny


def make_inspector(folder, **log):
    """Returns the inspector of a run that has not begun."""
    config = tiny.config(
        image_size=(32, 32), data={"num_validation_scenes": 6}, log=log
    )
    dataset = tiny.dataset(folder, config)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        state = create_state(config, dataset.info.semantic_channels)
    return Inspector(state, config, dataset, strategy)


class Colors:
    """Stands for `Inception`: mean colours are its features."""

    def __init__(self):
        self.seen = []

    def features(self, images):
        self.seen.append(images)
        return images.mean(axis=(1, 2))


def test_features_of_inception(tmp_path):
    colors = Colors()
    with mock.patch.object(
        inspector, "load_inception", return_value=colors
    ) as load:
        made = make_inspector(
            tmp_path, inception_weights="inception.pth", best_score="fid"
        )
    load.assert_called_once_with("inception.pth")
    scores = made.score()
    assert set(scores) == {
        *("miou_real", "miou_fake"),
        *("fid", "kid", "precision", "recall"),
        *("color_emd", "texture_chi2"),
    }
    # Each batch: real images first, fakes of their label maps then.
    moments = []
    for images in (colors.seen[0::2], colors.seen[1::2]):
        rows = np.concatenate(images).mean(axis=(1, 2))
        assert len(rows) == 6
        moments.append(Moments(3))
        moments[-1].update(np.float32(rows))
    assert scores["fid"] == pytest.approx(frechet_distance(*moments), rel=1e-4)
    assert scores["fid"] > 1


def test_a_segmenter_finds_the_label_maps_in_the_fakes(tmp_path):
    path = tiny.segmenter(tmp_path / "segmenter")
    made = make_inspector(tmp_path, segmenter=str(path))
    scores = made.score()
    network = SegmentationNetwork(path, made._info)
    counts = {"fake": 0, "real": 0}
    with made.averaged_generator():
        for batch in pipeline.validation_batches(
            made._dataset, (32, 32), 4, range(6)
        ).as_numpy_iterator():
            fake = made._generate(batch["label_map"], batch["sample_number"])
            for name, images in (
                ("fake", to_uint8(fake).numpy()),
                ("real", batch["image"]),
            ):
                labels, _ = network(images)
                counts[name] += segmentation.confusions(
                    labels, batch["label_map"], tiny.SEMANTIC_CHANNELS
                ).sum(axis=0)
    expected = segmentation.summarize(counts["fake"], made._info)
    assert scores["segmenter_miou"] == pytest.approx(expected["miou"])
    assert scores["segmenter_accuracy"] == pytest.approx(expected["accuracy"])
    of_real = segmentation.summarize(counts["real"], made._info)
    assert expected["accuracy"] != pytest.approx(of_real["accuracy"])


def test_lpips_with_weights(tmp_path):
    network = LPIPS.random("alex", seed=1)
    with mock.patch.object(LPIPS, "load", return_value=network) as load:
        made = make_inspector(
            tmp_path,
            diversity_maps=1,
            lpips_backbone="alexnet.pth",
            lpips_linear="alex.pth",
            best_score="lpips",
        )
    load.assert_called_once_with(backbone="alexnet.pth", linear="alex.pth")
    with mock.patch.object(
        inspector.diversity,
        "mean_distances",
        wraps=inspector.diversity.mean_distances,
    ) as measure:
        scores = made.score()
    assert "random_lpips" not in scores
    (images, used), _ = measure.call_args
    assert used is network
    assert images.shape == (20, 32, 32, 3)
    assert scores["lpips"] > 0


def test_lpips_without_weights_has_another_name(tmp_path):
    scores = make_inspector(tmp_path, diversity_maps=1).score()
    assert "lpips" not in scores
    assert scores["random_lpips"] > 0
