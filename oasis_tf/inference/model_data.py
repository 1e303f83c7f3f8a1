"""The data that a trained model is measured on, or draws more of."""

import dataclasses

from oasis_tf import config as config_lib
from oasis_tf import data


def load_data(config, info, experiment="", data_dir=None, settings=()):
    """Opens the data of a model's classes, prepared for its image size.

    Args:
        config: the model's `Config`.
        info: the model's `DatasetInfo`.
        experiment: name of one in configs/ whose data are taken; empty: those
            that the model was trained on.
        data_dir: folder of the data set's own files.
        settings: of `config.override`, of the data alone.

    Returns:
        `oasis_tf.data.Dataset`.

    Raises:
        ValueError: if a setting is of something else, the classes are others,
            or the data are not as they must be.
    """
    size = config.image_size
    if experiment:
        config = config_lib.load(experiment)
    changed = config_lib.override(config, settings)
    if dataclasses.replace(changed, data=config.data) != config:
        raise ValueError(
            "Settings must be of the data set's, data.*: the others "
            f"are the model's. Received: {', '.join(settings)}."
        )
    dataset = data.load(changed.dataset, data_dir, changed.data, size)
    if dataset.info.class_names != info.class_names:
        raise ValueError(
            "The data set must be one of the model's classes. Received: "
            f"{dataset.info.name!r} with {len(dataset.info.class_names)} "
            f"class names, for a model of {info.name!r} with "
            f"{len(info.class_names)}."
        )
    return dataset
