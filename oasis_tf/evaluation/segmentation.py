"""Segmentation networks as judges: are the label maps found in the fakes?"""

import json
import pathlib

import numpy as np
import tensorflow as tf

from oasis_tf.data import pipeline
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.evaluation import miou

FACTS = "segmenter.json"
"""File in a SavedModel of `oasis_tf.train_segmenter`: its data and scores."""

IDS = ("labels", "classes", "native")
"""What a network's numbers may mean: labels 0..S-1, of which 0 is don't-care if
there is one; places in `DatasetInfo.scored`, the classes without don't-care or,
where the data set's benchmark scores some alone (19 of Cityscapes), these; ids
of the data's files."""

_BATCH_SIZE = 8


class SegmentationNetwork:
    """A SavedModel that maps images to the class of every pixel.

    Its default signature takes one tensor, `[B, H, W, 3]`: uint8, or float32
    in 0..255; and returns integers `[B, H, W]`, or one score for each class,
    `[B, H, W, N]`; a second output `[B, C]` is taken as features.

    Args:
        path: folder of the SavedModel, or that of `train_segmenter`.
        info: `DatasetInfo` of the images.
        ids: one of `IDS`; None for what the network itself says.
        image_size: (height, width) that images are brought to; None for the
            network's own, or the images' where it has none.

    Attributes:
        path: folder of the SavedModel.
        ids, image_size: the same; the second may be None.
        has_features: whether it returns features.
        is_ours: whether `oasis_tf.train_segmenter` made it.
        real: its scores on real validation images, as `summarize` returns
            them, or None where it does not say.

    Raises:
        ValueError: if it is no such SavedModel, or one of other classes.
    """

    def __init__(self, path, info, ids=None, image_size=None):
        self.path = path = find(path)
        self.info = info
        facts = _read_facts(path, info)
        self.real = facts.get("real")
        self.is_ours = bool(facts)
        self.ids = ids or facts.get("ids")
        if image_size and min(image_size) < 1:
            raise ValueError(
                "`image_size` must be two numbers above 0. Received: "
                f"{tuple(image_size)}."
            )
        try:
            self._model = tf.saved_model.load(str(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"{path} must be a SavedModel. Received: one that cannot be "
                f"read ({str(error).splitlines()[0]})."
            ) from error
        if self.ids is None:
            raise ValueError(
                f"`ids` must say what the numbers of {path} mean, one of "
                f"{', '.join(IDS)}: it does not say itself. Received: none."
            )
        self._label_of = _labels(info, self.ids)
        if "serving_default" not in self._model.signatures:
            raise ValueError(
                f"{path} must have the signature `serving_default`. Received: "
                f"{', '.join(self._model.signatures) or 'none'}."
            )
        self._function = self._model.signatures["serving_default"]
        inputs = self._function.structured_input_signature[1]
        if len(inputs) != 1:
            raise ValueError(
                f"{path} must take one tensor, the images. Received: "
                f"{', '.join(inputs)}."
            )
        ((self._input, spec),) = inputs.items()
        self._dtype = spec.dtype
        shape = spec.shape.as_list() if spec.shape.rank == 4 else []
        if shape[3:] not in ([3], [None]):
            raise ValueError(
                f"{path} must take images `[B, H, W, 3]`. Received: "
                f"{spec.shape}; one of `[B, 3, H, W]` needs a transposition in "
                "front."
            )
        batch_size, height, width, _ = shape
        self._takes_one = batch_size == 1
        fixed = (height, width) if height and width else None
        self.image_size = image_size or facts.get("image_size") or fixed
        shapes = [s.shape for s in self._function.structured_outputs.values()]
        self.has_features = any(shape.rank == 2 for shape in shapes)

    def __call__(self, images):
        """Segments images.

        Args:
            images: `[B, H, W, 3]`, uint8.

        Returns:
            `(label_map, features)`: `[B, h, w]`, int32 array, labels 0..S-1 of
            images brought to `image_size`; `[B, C]`, float32 array, or None.
        """
        if self.image_size and tuple(self.image_size) != images.shape[1:3]:
            images = tf.stack(
                [pipeline.resize_image(one, self.image_size) for one in images]
            )
        images = tf.cast(images, self._dtype)
        if self._takes_one:
            singles = [self._run(one[tf.newaxis]) for one in images]
            outputs = {
                name: tf.concat([single[name] for single in singles], axis=0)
                for name in singles[0]
            }
        else:
            outputs = self._run(images)
        label_map = features = None
        for tensor in outputs.values():
            if tensor.shape.rank == 2:
                features = tensor.numpy()
            elif tensor.shape.rank == 4:
                if tensor.shape[-1] != len(self._label_of):
                    raise ValueError(
                        f"{self.path} must give a score for each of "
                        f"{len(self._label_of)} numbers, as `ids` are "
                        f"{self.ids!r}. Received: {tensor.shape[-1]} scores."
                    )
                label_map = tf.argmax(tensor, -1, output_type=tf.int32)
            elif tensor.shape.rank == 3 and tensor.dtype.is_integer:
                label_map = tensor
        if label_map is None:
            shapes = {k: tuple(v.shape) for k, v in outputs.items()}
            raise ValueError(
                f"{self.path} must return `[B, H, W]` integers or `[B, H, W, "
                f"N]` scores. Received: {shapes}."
            )
        return self._to_labels(label_map.numpy()), features

    def _run(self, images):
        try:
            return self._function(**{self._input: images})
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise ValueError(
                f"{self.path} must take images of {tuple(images.shape)}. "
                f"Received: {str(error).splitlines()[0]}."
            ) from error

    def _to_labels(self, numbers):
        found = np.unique(numbers)
        wrong = [
            int(n)
            for n in found
            if not 0 <= n < len(self._label_of) or self._label_of[n] < 0
        ]
        if wrong:
            raise ValueError(
                f"{self.path} must find classes of {self.info.name!r}, 0.."
                f"{len(self._label_of) - 1}. Received: the numbers "
                f"{', '.join(map(str, wrong[:5]))}."
            )
        return self._label_of[numbers]


def find(path):
    """Returns the folder of a network's SavedModel.

    Args:
        path: of it, or that of `oasis_tf.train_segmenter`.

    Raises:
        ValueError: if there is none.
    """
    path = pathlib.Path(path)
    if (path / "export" / FACTS).is_file():
        path = path / "export"
    if not (path / "saved_model.pb").is_file():
        raise ValueError(
            f"{path} must be a SavedModel, with saved_model.pb, as "
            "`python -m oasis_tf.train_segmenter` writes it. Received: "
            f"{'a folder without' if path.is_dir() else 'no such folder'}."
        )
    return path


def _read_facts(path, info):
    file = path / FACTS
    if not file.is_file():
        return {}
    try:
        facts = json.loads(file.read_text())
        theirs = DatasetInfo.from_json(json.dumps(facts["info"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} must be as oasis_tf.train_segmenter wrote it. Received: "
            f"{error}."
        ) from error
    if theirs.class_names != info.class_names:
        raise ValueError(
            f"{path} must be a segmenter of {info.name!r}, with its "
            f"{len(info.class_names)} class names. Received: one of "
            f"{theirs.name!r}, with {len(theirs.class_names)}."
        )
    return facts


def _labels(info, ids):
    """Returns the label of each number that a network may return, int32.

    -1 where the number means nothing.
    """
    if ids not in IDS:
        raise ValueError(
            f"`ids` must be one of {', '.join(map(repr, IDS))}. Received: "
            f"{ids!r}."
        )
    if ids == "labels":
        return np.arange(info.semantic_channels, dtype=np.int32)
    if ids == "classes":
        return np.array(info.scored, np.int32)
    ids_of_files = [i for i in info.label_of_id if i >= 0]
    labels = np.full(max(ids_of_files) + 1, -1, np.int32)
    for i in ids_of_files:
        labels[i] = info.label_of_id[i]
    return labels


def confusions(found, label_maps, semantic_channels):
    """Counts pixels by true and found label, image by image.

    Args:
        found: `[B, h, w]`, int32. Labels, 0..S-1.
        label_maps: `[B, H, W]`, int32. The truth, which is brought to the size
            of what was found by the nearest neighbour.
        semantic_channels: S.

    Returns:
        `[B, S, S]`, int64: see `miou.confusion_matrix`.
    """
    if found.shape != label_maps.shape:
        resized = [
            pipeline.resize_label_map(one[..., None], found.shape[1:])
            for one in label_maps
        ]
        label_maps = np.stack(resized)[..., 0]
    return np.stack(
        [
            miou.confusion_matrix(truth, labels, semantic_channels)
            for truth, labels in zip(label_maps, found, strict=True)
        ]
    )


def segment_split(network, dataset, image_size, split="validation"):
    """Returns the `[S, S]` counts of real images of a split."""
    total = 0
    for batch in pipeline.validation_batches(
        dataset, image_size, _BATCH_SIZE, split=split
    ).as_numpy_iterator():
        found, _ = network(batch["image"])
        channels = network.info.semantic_channels
        counts = confusions(found, batch["label_map"], channels)
        total = total + counts.sum(axis=0)
    return total


def summarize(counts, info):
    """Returns the scores of a confusion matrix.

    Args:
        counts: `[S, S]`.
        info: `DatasetInfo`.

    Returns:
        {"miou": mean IoU of the scored classes that occur, 0..1; "accuracy":
        share of their pixels found right; "class_iou": {class name: IoU, None
        for one that does not occur or is not scored}, of which "miou" is the
        mean}.
    """
    iou = miou.class_iou(counts, info.scored)
    iou[np.sum(counts, axis=1) == 0] = np.nan
    return {
        "miou": miou.mean_iou(counts, info.scored),
        "accuracy": miou.pixel_accuracy(counts, info.scored),
        "class_iou": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(info.class_names, iou, strict=True)
        },
    }
