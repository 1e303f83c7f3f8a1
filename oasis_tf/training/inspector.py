"""What a run shows of its networks: sample sheets and scores."""

import contextlib
import functools
import itertools

import numpy as np
import tensorflow as tf

from oasis_tf import sheets
from oasis_tf.config import FEATURE_SCORES
from oasis_tf.data import pipeline
from oasis_tf.data.image import to_float
from oasis_tf.data.image import to_uint8
from oasis_tf.data.label_map import colorize
from oasis_tf.data.label_map import one_hot
from oasis_tf.evaluation import diversity
from oasis_tf.evaluation import miou
from oasis_tf.evaluation import segmentation
from oasis_tf.evaluation import statistics
from oasis_tf.evaluation.inception import load_inception
from oasis_tf.evaluation.lpips import LPIPS
from oasis_tf.evaluation.lpips import NETS
from oasis_tf.evaluation.protocol import LEAST_IMAGES
from oasis_tf.evaluation.protocol import Judges
from oasis_tf.evaluation.protocol import Measured
from oasis_tf.evaluation.protocol import Protocol
from oasis_tf.evaluation.protocol import compare_features
from oasis_tf.training.ema import StatisticsEstimator
from oasis_tf.training.train_step import convolving
from oasis_tf.training.train_step import draw_noise
from oasis_tf.training.train_step import without_fusions

_NUM_LOOKS = 4  # Fakes of each label map on a sample sheet.
_SAMPLE_SEED, _STATISTICS_SEED = (1, 0), (1, 1)


class Inspector:
    """Draws with the averaged generator, segments with the discriminator.

    Args:
        state: `TrainState`.
        config: `Config`.
        dataset: `oasis_tf.data.Dataset`.
        strategy: `tf.distribute.Strategy` that the state was made under.
    """

    def __init__(self, state, config, dataset, strategy):
        self._state = state
        self._config = config
        self._dataset = dataset
        self._info = dataset.info
        self._strategy = strategy
        self._judges = _load_judges(config.log, self._info)
        self._protocol = Protocol(config.image_size, features=self._features())
        self._lpips = _load_lpips(config.log, config.image_size)
        self._check_best_score()
        self._estimated = (None, None)  # A step, and its statistics.
        self._estimator = StatisticsEstimator(
            state.ema_generator,
            functools.partial(self._noise, _STATISTICS_SEED),
            strategy,
        )
        self._generate = tf.function(self._generate_eagerly, autograph=False)
        segment = tf.function(self._segment_eagerly, autograph=False)
        self._segment = without_fusions(segment, config.train)

    @property
    def _num_images(self):
        return min(
            self._dataset.num_examples["validation"],
            self._config.log.validation_images,
        )

    def _features(self):
        """Returns whose features are compared, one of `protocol.FEATURES`."""
        if not self._judges or self._num_images < LEAST_IMAGES:
            return "none"
        if self._judges.inception:
            return "inception"
        return "segmenter" if self._judges.segmenter.has_features else "none"

    def _check_best_score(self):
        """Raises a ValueError if the score that is asked for is not taken."""
        best, log = self._config.log.best_score, self._config.log
        is_of_features = best.removeprefix("segmenter_") in FEATURE_SCORES
        reason = None
        if best and not self._num_images:
            reason = "no validation images"
        elif is_of_features and self._num_images < LEAST_IMAGES:
            reason = f"{self._num_images} validation images"
        elif is_of_features and self._protocol.features == "none":
            reason = f"the segmenter {log.segmenter!r} without features"
        elif best in ("lpips", "random_lpips") and not self._lpips:
            reason = f"images of {self._config.image_size} pixels"
        if reason:
            raise ValueError(
                f"`log.best_score` {best!r} must be a score that can be taken. "
                f"Received: {reason}."
            )

    def _noise(self, seed, sample_number):
        return draw_noise(
            self._config.generator,
            tf.constant(seed),
            sample_number,
            self._config.image_size,
        )

    def _generate_eagerly(self, label_map, seeds):
        semantic_map = one_hot(label_map, self._info.semantic_channels)
        noise = self._noise(_SAMPLE_SEED, seeds)
        with convolving(self._config.train):
            return self._state.ema_generator(noise, semantic_map)

    def _segment_eagerly(self, image):
        with convolving(self._config.train):
            logits = self._state.discriminator(image)
        return miou.segment(logits, self._info.has_dont_care)

    @contextlib.contextmanager
    def averaged_generator(self):
        """Context with the averaged generator, its statistics estimated.

        They come from the run's first training batches, once for each step.
        """
        step = int(self._state.step.numpy())
        if self._estimated[0] != step:
            self._estimated = (step, self._estimate())
        with self._estimator.using(self._estimated[1]) as generator:
            yield generator

    def _estimate(self):
        train = self._config.train
        batches = pipeline.train_batches(
            self._dataset,
            self._config.image_size,
            train.global_batch_size,
            self._config.data,
            train.seed,
        )
        distributed = self._strategy.experimental_distribute_dataset(batches)
        with convolving(train):
            return self._estimator.estimate(
                itertools.islice(distributed, train.ema_statistics_batches)
            )

    def sample_sheet(self):
        """Draws a row for each of some validation label maps.

        Label map, photo, fakes: by the same noise vectors in every row and at
        every step.

        Returns:
            `[H', W', 3]`, uint8.
        """
        image, label_map = self._examples
        with self.averaged_generator():
            looks = [
                self._generate(label_map, np.full(len(label_map), look))
                for look in range(_NUM_LOOKS)
            ]
        rows = zip(
            colorize(label_map, self._info),
            image,
            *[to_uint8(look).numpy() for look in looks],
            strict=True,
        )
        headings = [f"noise {look + 1}" for look in range(_NUM_LOOKS)]
        return sheets.draw_sheet(list(rows), ["label map", "real", *headings])

    def segmentation_sheet(self):
        """Draws validation images as the discriminator sees them.

        Returns:
            `[H', W', 3]`, uint8: rows of image, label map, segmentation.
        """
        image, label_map = self._examples
        rows = zip(
            image,
            colorize(label_map, self._info),
            colorize(self._segment(to_float(image)), self._info),
            strict=True,
        )
        return sheets.draw_sheet(list(rows), ["real", "label map", "segmented"])

    @functools.cached_property
    def _examples(self):
        return self._spread_examples(self._config.log.num_samples)

    def _spread_examples(self, num):
        """Returns images and label maps, evenly spread over validation's."""
        num_examples = self._dataset.num_examples["validation"]
        places = pipeline.spread(num_examples, num)
        batches = pipeline.validation_batches(
            self._dataset, self._config.image_size, num, places
        )
        batch = next(batches.as_numpy_iterator())
        return batch["image"], batch["label_map"]

    def score(self):
        """Scores the networks on validation images and fakes of their maps.

        Returns:
            {"miou_real": how well the discriminator segments real images,
            "miou_fake": how well it finds the label maps in fakes again}:
            mean IoU, 0..1, where it segments; with `log.segmenter`,
            `log.inception_weights` and `log.diversity_maps` what these say, see
            there.
        """
        batches = pipeline.validation_batches(
            self._dataset,
            self._config.image_size,
            self._share,
            range(self._num_images),
        )
        is_segmenter = self._config.discriminator.is_segmenter
        channels = self._info.semantic_channels
        founds = {"real": [], "fake": []}
        confusion = dict.fromkeys(founds, 0)
        with self.averaged_generator():
            for batch in batches:
                label_map = batch["label_map"]
                fake = self._generate(label_map, batch["sample_number"])
                images = {"real": to_float(batch["image"]), "fake": fake}
                for name, image in images.items():
                    if is_segmenter:
                        confusion[name] += miou.confusion_matrix(
                            label_map, self._segment(image), channels
                        )
                    if self._judges:
                        found = self._judges.measure(
                            self._protocol,
                            to_uint8(image).numpy(),
                            label_map.numpy(),
                            self._info,
                        )
                        founds[name].append(found)
        scores = {}
        if is_segmenter:
            scores = {
                f"miou_{name}": miou.mean_iou(counts, self._info.scored)
                for name, counts in confusion.items()
            }
        return scores | self._judged(**founds) | self._diversity()

    @property
    def _share(self):
        """One device's share of a training batch: what fits in there."""
        train = self._config.train
        num_replicas = self._strategy.num_replicas_in_sync
        parts = num_replicas * train.accumulation_steps
        return train.global_batch_size // parts

    def _judged(self, real, fake):
        """Returns the scores of what the judges found."""
        if not self._judges:
            return {}
        real, fake = (Measured(found, self._info) for found in (real, fake))
        overall = statistics.distances(
            real.histograms, fake.histograms, self._info
        )["overall"]
        scores = {}
        if self._judges.segmenter:
            summary = segmentation.summarize(
                fake.counts["confusion"], self._info
            )
            scores["segmenter_miou"] = summary["miou"]
            scores["segmenter_accuracy"] = summary["accuracy"]
        if real.moments:
            prefix = "" if self._judges.inception else "segmenter_"
            scores |= {
                f"{prefix}{name}": score
                for name, score in compare_features(real, fake).items()
                if name != "kid_deviation"
            }
        return scores | overall

    def _diversity(self):
        """Returns how unlike the fakes of one label map are."""
        num_maps = self._config.log.diversity_maps
        if not num_maps:
            return {}
        _, label_maps = self._spread_examples(num_maps)
        founds = []
        with self.averaged_generator():
            for label_map in label_maps:
                looks = []
                share = min(self._share, diversity.NUM_IMAGES)
                for first in range(0, diversity.NUM_IMAGES, share):
                    seeds = np.arange(first, first + share)
                    same = np.repeat(label_map[None], share, axis=0)
                    looks.append(to_uint8(self._generate(same, seeds)).numpy())
                images = np.concatenate(looks)[: diversity.NUM_IMAGES]
                founds.append(diversity.mean_distances(images, self._lpips))
        mean = diversity.summarize(founds)["mean"]
        if self._lpips and not self._config.log.lpips_linear:
            mean["random_lpips"] = mean.pop("lpips")
        return mean


def _load_judges(log, info):
    """Returns the networks that judge the fakes, or None."""
    if not (log.segmenter or log.inception_weights):
        return None
    segmenter = inception = None
    if log.segmenter:
        segmenter = segmentation.SegmentationNetwork(log.segmenter, info)
    if log.inception_weights:
        inception = load_inception(log.inception_weights)
    return Judges(segmenter, inception)


def _load_lpips(log, image_size):
    """Returns the network, or None: not asked for, or images are too small."""
    if not log.diversity_maps or min(image_size) < NETS["alex"].min_size:
        return None
    if not log.lpips_linear:
        return LPIPS.random("alex", seed=0)
    return LPIPS.load(backbone=log.lpips_backbone, linear=log.lpips_linear)
