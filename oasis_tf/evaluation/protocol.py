"""The evaluation of a trained model: what is measured, on what, with what."""

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import platform

import numpy as np
from tqdm import tqdm

import oasis_tf
from oasis_tf.data import pipeline
from oasis_tf.evaluation import diversity
from oasis_tf.evaluation import segmentation
from oasis_tf.evaluation.fid import Moments
from oasis_tf.evaluation.fid import frechet_distance
from oasis_tf.evaluation.kid import kernel_distance
from oasis_tf.evaluation.parts import Parts
from oasis_tf.evaluation.precision_recall import precision_recall
from oasis_tf.evaluation.statistics import Histograms
from oasis_tf.evaluation.statistics import distances

_BATCH_SIZE = 8
# Of what is found in an image, which is kept: another number when that would be
# something else (the bins of histograms, the resizing, the features).
_FORMAT = 1
_PACKAGES = ("keras", "numpy", "scikit-image", "scipy", "tensorflow")

LEAST_IMAGES = 4
"""For scores of features: of these one has three neighbours."""

PART_SIZE = 64
"""Images between two files: what a stop costs at most."""

MOST_NEIGHBOURS = 50_000
"""Images whose features are held in memory at a time, for precision, recall
and KID: the first of larger sets."""

FEATURES = ("inception", "segmenter", "none")
"""Whose features FID, KID, precision and recall are of."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What scores follow from, beside the model and the judges."""

    image_size: tuple[int, int]
    """(height, width) that images are drawn at and compared at."""
    split: str = "validation"
    num_images: int = 0
    """So many of the split, the first; 0: all."""
    seed: int = 0
    """Image i is drawn with the seed `seed` + i."""
    features: str = "none"
    """One of `FEATURES`."""
    diversity_maps: int = 10
    """Label maps, evenly spread, that pictures are compared for."""
    num_looks: int = 20
    """Pictures of each such map."""

    def __post_init__(self):
        if self.features not in FEATURES:
            raise ValueError(
                f"`features` must be one of {', '.join(map(repr, FEATURES))}. "
                f"Received: {self.features!r}."
            )
        for name, least in (
            ("num_images", 0),
            ("seed", 0),
            ("diversity_maps", 0),
            ("num_looks", 2),
        ):
            if getattr(self, name) < least:
                raise ValueError(
                    f"`{name}` must be at least {least}. Received: "
                    f"{getattr(self, name)}."
                )


@dataclasses.dataclass(frozen=True)
class Judges:
    """The networks that look at images, each of them optional.

    Args:
        segmenter: `SegmentationNetwork`.
        inception: `Inception`.
        lpips: `LPIPS`.
        files: {name: what tells it: digests of files, settings}.
    """

    segmenter: object = None
    inception: object = None
    lpips: object = None
    files: dict = dataclasses.field(default_factory=dict)

    def measure(self, protocol, images, label_maps, info):
        """Looks at a batch of images, real or fake.

        Args:
            protocol: `Protocol`.
            images: `[B, H, W, 3]`, uint8.
            label_maps: `[B, H, W]`, int32.
            info: `DatasetInfo`.

        Returns:
            {name: array}, for `merge`.
        """
        histograms = Histograms(info.semantic_channels)
        histograms.update(images, label_maps)
        found = {
            f"histograms/{k}": v for k, v in histograms.to_arrays().items()
        }
        features = None
        if self.segmenter:
            labels, features = self.segmenter(images)
            counts = segmentation.confusions(
                labels, label_maps, info.semantic_channels
            )
            found["confusion"] = counts.sum(axis=0)
            found["each/accuracy"] = np.array(
                [
                    segmentation.summarize(one, info)["accuracy"]
                    for one in counts
                ]
            )
        if protocol.features == "inception":
            features = np.asarray(self.inception.features(images))
        if protocol.features != "none":
            found["each/features"] = np.float32(features)
        return found


def merge(founds):
    """Returns the results of several batches as those of all their images.

    Args:
        founds: {name: array} each, as of `Judges.measure`: "each/..." has a
            row for each image, anything else is summed up.
    """
    return {
        name: np.concatenate([found[name] for found in founds])
        if name.startswith("each/")
        else sum(found[name] for found in founds)
        for name in founds[0]
    }


class Measured:
    """What was found in a set of images.

    Args:
        founds: {name: array} each, as of `Judges.measure`, at least one.
        info: `DatasetInfo`.

    Attributes:
        counts: {name: `[S, S]`}: of "confusion" and others like it.
        histograms: `Histograms`.
        accuracy: `[n]`, of each image, or None.
        features: `[n, C]`, float32, or None; `MOST_NEIGHBOURS` at most.
        moments: `Moments` of all images' features, or None.
    """

    def __init__(self, founds, info):
        self.counts = {}
        self.histograms = Histograms(info.semantic_channels)
        self.features = self.moments = None
        accuracies, features, num_kept = [], [], 0
        for found in founds:
            arrays = {}
            for name, array in found.items():
                kind, _, rest = name.partition("/")
                if kind == "histograms":
                    arrays[rest] = array
                elif kind != "each":
                    self.counts[name] = self.counts.get(name, 0) + array
            self.histograms.merge(Histograms.from_arrays(arrays))
            accuracies.append(found.get("each/accuracy"))
            if "each/features" in found:
                rows = found["each/features"]
                self.moments = self.moments or Moments(rows.shape[1])
                self.moments.update(rows)
                features.append(rows[: MOST_NEIGHBOURS - num_kept])
                num_kept += len(features[-1])
        if features:
            self.features = np.concatenate(features)
        self.accuracy = (
            None if accuracies[0] is None else np.concatenate(accuracies)
        )


class Evaluation:
    """The evaluation of one model, in a folder; goes on where it stopped.

    Args:
        folder: path that results are kept in.
        generator: `TrainedGenerator`.
        dataset: `oasis_tf.data.Dataset`, of the model's classes: see
            `inference.model_data`.
        protocol: `Protocol`.
        judges: `Judges`.
        real_root: path that what is found in real images is kept below, for
            all models that are compared with these by the same judges.
        model_digest: what tells the model from others.
        discriminator: `Segmenter` of the same run, or None.

    Raises:
        ValueError: if these do not fit together.
    """

    def __init__(
        self,
        folder,
        generator,
        dataset,
        protocol,
        judges,
        real_root,
        model_digest,
        discriminator=None,
    ):
        self.folder = pathlib.Path(folder)
        self.protocol = protocol
        self.judges = judges
        self.info = dataset.info
        self._generator = generator
        self._dataset = dataset
        self._discriminator = discriminator
        num_images = dataset.num_examples[protocol.split]
        if num_images == 0:
            raise ValueError(
                f"The split {protocol.split!r} must have images. Received: "
                "none."
            )
        self.num_images = min(protocol.num_images or num_images, num_images)
        if protocol.features != "none" and self.num_images < LEAST_IMAGES:
            raise ValueError(
                f"There must be at least {LEAST_IMAGES} images for `features` "
                f"{protocol.features!r}. Received: {self.num_images}."
            )
        if protocol.features == "segmenter" and not (
            judges.segmenter and judges.segmenter.has_features
        ):
            raise ValueError(
                "`features` 'segmenter' need a segmenter that returns them. "
                "Received: one without an output `[B, C]`, or none."
            )
        # A real image and its statistics do not depend on the seed.
        of_images = {
            "format": _FORMAT,
            "data": dataset.prepared_dir.name,
            "split": protocol.split,
            "image_size": protocol.image_size,
            "features": protocol.features,
            "judges": {k: v for k, v in judges.files.items() if k != "lpips"},
        }
        size = min(PART_SIZE, self.num_images)
        name = hashlib.sha256(
            json.dumps([of_images, self.num_images, size]).encode()
        ).hexdigest()[:16]
        self._real = Parts(
            pathlib.Path(real_root, name), of_images, self.num_images, size
        )
        of_fakes = of_images | {
            "model": model_digest,
            "seed": protocol.seed,
            "discriminator": discriminator.step if discriminator else None,
        }
        self._fake = Parts(
            self.folder / "parts/fake", of_fakes, self.num_images, size
        )
        of_looks = {
            "num_looks": protocol.num_looks,
            "noises": self.noises,
            "lpips": judges.files.get("lpips"),
        }
        self._looks = None
        if protocol.diversity_maps:
            self._looks = Parts(
                self.folder / "parts/looks",
                of_fakes | of_looks,
                min(protocol.diversity_maps, self.num_images),
                1,
            )

    @property
    def noises(self):
        """Kinds of noise that the diversity is measured for.

        The first is the one that the generator was trained with.
        """
        trained = self._generator.config.generator.noise
        if trained == "none":
            return ("none",)
        return tuple(dict.fromkeys([trained, "image", "class", "region"]))

    def run(self):
        """Measures what is missing, with a progress bar for each set."""
        self._run("real", self._real, self._measure_real)
        self._run("fake", self._fake, self._measure_fake)
        if self._looks:
            self._run_looks(self._looks)

    def _run_looks(self, looks):
        missing = looks.missing()
        bar = self._bar("looks", looks.count, looks.count - len(missing))
        with bar:
            for number in missing:
                looks.write(number, self._measure_looks(number))
                bar.update()

    def _run(self, name, parts, measure):
        missing = parts.missing()
        num_left = sum(len(parts.items(number)) for number in missing)
        bar = self._bar(name, self.num_images, self.num_images - num_left)
        with bar:
            for number in missing:
                founds = []
                for batch in self._batches(parts.items(number)):
                    founds.append(measure(batch))
                    bar.update(len(batch["image"]))
                parts.write(number, merge(founds))

    def _bar(self, name, total, initial):
        unit = "map" if name == "looks" else "image"
        return tqdm(
            desc=name,
            total=total,
            initial=initial,
            unit=unit,
            dynamic_ncols=True,
        )

    def _batches(self, indices):
        return pipeline.validation_batches(
            self._dataset,
            self.protocol.image_size,
            _BATCH_SIZE * self._generator.num_replicas,
            indices,
            self.protocol.split,
        ).as_numpy_iterator()

    def _measure_real(self, batch):
        return self.judges.measure(
            self.protocol, batch["image"], batch["label_map"], self.info
        )

    def draw(self, label_maps, sample_numbers):
        """Returns the fakes of label maps, `[B, H, W, 3]`, uint8."""
        seeds = [self.protocol.seed + int(n) for n in sample_numbers]
        return self._generator.draw(label_maps, seeds=seeds)

    def _measure_fake(self, batch):
        label_maps = batch["label_map"]
        fakes = self.draw(label_maps, batch["sample_number"])
        found = self.judges.measure(self.protocol, fakes, label_maps, self.info)
        if self._discriminator:
            for name, images in (("real", batch["image"]), ("fake", fakes)):
                counts = segmentation.confusions(
                    self._discriminator.segment_batch(images),
                    label_maps,
                    self.info.semantic_channels,
                )
                found[f"discriminator_{name}"] = counts.sum(axis=0)
        return found

    def look_at(self, index):
        """Returns an example's image, label map, fake, and what is found in it.

        Args:
            index: of the example in the split.
        """
        (batch,) = self._batches([index])
        label_map = batch["label_map"]
        fake = self.draw(label_map, [index])
        found, _ = self.judges.segmenter(fake)
        resized = pipeline.resize_label_map(
            found[0][..., None], label_map.shape[1:]
        )
        return batch["image"][0], label_map[0], fake[0], resized.numpy()[..., 0]

    def _measure_looks(self, number):
        """Compares the pictures of one label map, for each kind of noise."""
        places = pipeline.spread(self.num_images, self._looks.count)
        (batch,) = self._batches([int(places[number])])
        labels = batch["label_map"][0]
        seeds = range(
            self.protocol.seed, self.protocol.seed + self.protocol.num_looks
        )
        found = {}
        for kind in self.noises:
            if kind == "none":
                images = self._generator.draw(
                    [labels] * len(seeds), seeds=seeds
                )
            else:
                images = self._generator.draw(
                    [labels] * len(seeds),
                    noises=(
                        self._generator.sample_noise(labels, seed, kind)
                        for seed in seeds
                    ),
                )
            measured = diversity.mean_distances(images, self.judges.lpips)
            found |= {f"{kind}/{name}": v for name, v in measured.items()}
        return found

    def results(self):
        """Returns what `run` found.

        Returns:
            `(scores, real, fake)`: a dict plain enough for JSON; `Measured`
            twice.
        """
        real = Measured(self._real.read(), self.info)
        fake = Measured(self._fake.read(), self.info)
        scores = {}
        if self.judges.segmenter:
            scores["segmenter"] = {
                name: segmentation.summarize(
                    measured.counts["confusion"], self.info
                )
                for name, measured in (("real", real), ("fake", fake))
            }
        if self._discriminator:
            scores["discriminator"] = {
                name: segmentation.summarize(
                    fake.counts[f"discriminator_{name}"], self.info
                )
                for name in ("real", "fake")
            }
        if real.features is not None:
            scores["features"] = compare_features(real, fake)
        scores["statistics"] = distances(
            real.histograms, fake.histograms, self.info
        )
        if self._looks:
            scores["diversity"] = self._diversity()
        return scores, real, fake

    def _diversity(self):
        founds = list(self._looks.read())
        return {
            kind: diversity.summarize(
                {
                    name.removeprefix(f"{kind}/"): value.item()
                    for name, value in found.items()
                    if name.startswith(f"{kind}/")
                }
                for found in founds
            )
            for kind in self.noises
        }


def compare_features(real, fake):
    """Returns the scores of two sets' features.

    Args:
        real, fake: `Measured` with features of `LEAST_IMAGES` at least.

    Returns:
        {"fid", "kid", "kid_deviation", "precision", "recall": float}.
    """
    kid, kid_deviation = kernel_distance(real.features, fake.features)
    precision, recall = precision_recall(real.features, fake.features)
    return {
        "fid": frechet_distance(real.moments, fake.moments),
        "kid": kid,
        "kid_deviation": kid_deviation,
        "precision": precision,
        "recall": recall,
    }


def versions():
    """Returns {package: version} of what the numbers are computed with."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    found["oasis_tf"] = oasis_tf.__version__
    return found | {"python": platform.python_version()}
