"""Label maps to hold an exported model against, and to calibrate it with."""

import pathlib

import numpy as np

from oasis_tf.data import pipeline
from oasis_tf.data import prepare
from oasis_tf.data.pairs import IMAGE_ENDINGS
from oasis_tf.inference import inputs

_NUM_MAPS = 100
_NUM_REGIONS = 6


def read(config, info, size, multiple, path=None):
    """Returns label maps of the data that a model was trained on.

    Args:
        config: `Config` of the training.
        info: `DatasetInfo`.
        size: (height, width) to bring them to.
        multiple: of which that must be.
        path: of a label file in the data set's own ids, or of a folder of them;
            None for the data's own validation maps where those are generated.

    Returns:
        list of at most 100 `[H, W]` int32 arrays, the labels; empty where there
        is neither.

    Raises:
        ValueError: if a file is no label map, or a folder has none.
    """
    if path:
        return [
            inputs.resize_label_map(
                inputs.read_label_map(file, info, config),
                inputs.target_size(str(file), size, multiple, size, size),
            )
            for file in _files(path)
        ]
    if not prepare.find_builder(config.dataset).IS_GENERATED:
        return []
    dataset = prepare.load(config.dataset, None, config.data, config.image_size)
    num_maps = min(_NUM_MAPS, dataset.num_examples["validation"])
    batches = pipeline.validation_batches(
        dataset, size, _NUM_MAPS, range(num_maps)
    )
    return list(next(batches.as_numpy_iterator())["label_map"])


def _files(path):
    path = pathlib.Path(path)
    if not path.is_dir():
        return [path]
    files = sorted(
        file for file in path.rglob("*") if file.suffix.lower() in IMAGE_ENDINGS
    )
    if not files:
        raise ValueError(
            "`--label_maps` must be a label file or a folder of them. "
            f"Received: {str(path)!r}, "
            f"without {', '.join(sorted(IMAGE_ENDINGS))}."
        )
    # Of all of the folder, not only of what comes first in it.
    return [files[n] for n in pipeline.spread(len(files), _NUM_MAPS)]


def draw(size, info, num_maps, seed=0):
    """Returns label maps without a meaning: a few regions of random labels.

    Args:
        size: (height, width) in pixels.
        info: `DatasetInfo`; of labels that its files have ids for.
        num_maps: how many.
        seed: int.

    Returns:
        list of `[H, W]`, int32.
    """
    rng = np.random.default_rng(seed)
    known = sorted({s for i, s in info.label_of_id.items() if i >= 0})
    y, x = np.mgrid[: size[0], : size[1]]
    maps = []
    for _ in range(num_maps):
        # The nearest of some points, each with a label.
        points = rng.uniform(0, size, [_NUM_REGIONS, 2])
        labels = rng.choice(known, _NUM_REGIONS)
        distances = [np.hypot(y - p[0], x - p[1]) for p in points]
        maps.append(labels[np.argmin(distances, axis=0)].astype(np.int32))
    return maps
