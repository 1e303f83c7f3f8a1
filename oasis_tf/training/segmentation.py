"""Trains a segmentation network on real images, to judge fakes by."""

import dataclasses
import json
import os
import pathlib
import shutil

import keras
import tensorflow as tf

from oasis_tf import model_files
from oasis_tf.data import pipeline
from oasis_tf.data.image import to_float
from oasis_tf.evaluation.segmentation import FACTS
from oasis_tf.evaluation.segmentation import SegmentationNetwork
from oasis_tf.evaluation.segmentation import segment_split
from oasis_tf.evaluation.segmentation import summarize
from oasis_tf.models.unet import build_unet
from oasis_tf.training import workdir
from oasis_tf.training.checkpoint import Checkpoints

_STEPS_PER_EPOCH = 100  # Between two checkpoints.


@dataclasses.dataclass(frozen=True)
class SegmenterSettings:
    """How a segmentation network is trained."""

    image_size: tuple[int, int]
    """(height, width), in pixels."""
    num_steps: int = 3000
    """Updates; a few more where they do not make even epochs."""
    global_batch_size: int = 16
    learning_rate: float = 2e-3
    """At the start; it falls to 0 by a cosine."""
    channels: tuple[int, ...] = (16, 32, 64, 128)
    """See `build_unet`."""
    train_images: int = 0
    """So many of the training images are used, the first; 0: all."""
    seed: int = 0

    def __post_init__(self):
        multiple = 2 ** (len(self.channels) - 1)
        if any(n < 1 or n % multiple for n in self.image_size):
            raise ValueError(
                f"`image_size` must be multiples of {multiple}, for `channels` "
                f"has {len(self.channels)} entries. Received: "
                f"{self.image_size}."
            )
        for name in ("num_steps", "global_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1. Received: "
                    f"{getattr(self, name)}."
                )


def train(dataset, data_config, settings, folder, devices=None):
    """Trains a U-Net, exports it and scores it on real validation images.

    What is there already of the same settings is gone on with.

    Args:
        dataset: `oasis_tf.data.Dataset`.
        data_config: `DataConfig`, with `load_size` and `flip`.
        settings: `SegmenterSettings`.
        folder: to write to.
        devices: as of `loop.Run`.

    Returns:
        Folder of the SavedModel: for `SegmentationNetwork`.

    Raises:
        ValueError: if the folder holds one of other settings or data, or
            another process trains there.
        NonFiniteError: if a weight is not finite any more.
        CheckpointError: if there are checkpoints but none can be read.
    """
    folder = pathlib.Path(folder)
    _batches(dataset, data_config, settings)  # What may fail, first.
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "data": dataset.prepared_dir.name,
        "load_size": data_config.load_size,
        "flip": data_config.flip,
        "settings": dataclasses.asdict(settings),
    }
    with workdir.lock(folder):
        model_files.claim(folder / "settings.json", facts, "a segmenter")
        export = folder / "export"
        if not (export / FACTS).is_file():
            network = _fit(dataset, data_config, settings, folder, devices)
            _export(network, dataset, settings, export)
    return export


def _batches(dataset, data_config, settings, first_step=0):
    batches = pipeline.train_batches(
        dataset,
        settings.image_size,
        settings.global_batch_size,
        data_config,
        settings.seed,
        first_step,
        num_examples=settings.train_images or None,
    )
    return batches.map(
        lambda batch: (to_float(batch["image"]), {"logits": batch["label_map"]})
    )


def _fit(dataset, data_config, settings, folder, devices):
    """Trains a network, from its last checkpoint if there is one."""
    num_epochs = -(-settings.num_steps // _STEPS_PER_EPOCH)
    steps_per_epoch = -(-settings.num_steps // num_epochs)
    info = dataset.info
    keras.utils.set_random_seed(settings.seed)
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        network = build_unet(info.semantic_channels, settings.channels)
        schedule = keras.optimizers.schedules.CosineDecay(
            settings.learning_rate, num_epochs * steps_per_epoch
        )
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=0 if info.has_dont_care else None
        )
        optimizer = keras.optimizers.Adam(schedule, name="adam")
        optimizer.build(network.trainable_variables)
        network.compile(optimizer, loss={"logits": loss, "features": None})
    state = _State(optimizer.iterations.value, network, optimizer)
    checkpoints = Checkpoints(state, folder / "checkpoints", keep=2)
    checkpoints.restore()
    first_step = int(state.step.numpy())
    network.fit(
        _batches(dataset, data_config, settings, first_step),
        steps_per_epoch=steps_per_epoch,
        initial_epoch=first_step // steps_per_epoch,
        epochs=num_epochs,
        shuffle=False,  # Done already.
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda *_: checkpoints.save()
            )
        ],
    )
    return network


@dataclasses.dataclass
class _State:
    """What a checkpoint holds."""

    step: tf.Variable
    network: keras.Model
    optimizer: keras.optimizers.Optimizer


class _Exported(tf.Module):
    """The signature that `SegmentationNetwork` takes, and its features."""

    def __init__(self, network, has_dont_care):
        super().__init__()
        self.network = network
        self._first = 1 if has_dont_care else 0

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
        autograph=False,
    )
    def segment(self, image):
        outputs = self.network(to_float(image), training=False)
        choices = outputs["logits"][..., self._first :]
        labels = tf.argmax(choices, axis=-1, output_type=tf.int32)
        return {
            "label_map": labels + self._first,
            "features": outputs["features"],
        }


def _export(network, dataset, settings, folder):
    """Writes the SavedModel, with its scores: whole or not at all."""
    info = dataset.info
    temporary = folder.with_name("export.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    exported = _Exported(network, info.has_dont_care)
    tf.saved_model.save(
        exported,
        str(temporary),
        signatures={"serving_default": exported.segment},
    )
    facts = {
        "ids": "labels",
        "image_size": settings.image_size,
        "info": json.loads(info.to_json()),
    }
    (temporary / FACTS).write_text(json.dumps(facts, indent=1))
    if dataset.num_examples["validation"]:
        confusion = segment_split(
            SegmentationNetwork(temporary, info), dataset, settings.image_size
        )
        facts["real"] = summarize(confusion, info)
        (temporary / FACTS).write_text(json.dumps(facts, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
