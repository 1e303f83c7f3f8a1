"""The outer loop: log, draw, validate, checkpoint, export; resume."""

import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import signal
import time

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image
from tqdm import tqdm

from oasis_tf import config as config_lib
from oasis_tf import data
from oasis_tf import sheets
from oasis_tf.data import pipeline
from oasis_tf.data.label_map import colorize
from oasis_tf.data.label_map import one_hot
from oasis_tf.evaluation import miou
from oasis_tf.exporters import saved_model
from oasis_tf.training import train_step
from oasis_tf.training.checkpoint import Checkpoints
from oasis_tf.training.checkpoint import NonFiniteError
from oasis_tf.training.curves import LossHistory
from oasis_tf.training.ema import StatisticsEstimator
from oasis_tf.training.perceptual import PerceptualLoss

# Settings that may change when a run goes on.
_MAY_CHANGE = ("log.", "train.num_steps", "data.prepared_dir")
_NUM_LOOKS = 4  # Fakes of each label map on a sample sheet.
_SAMPLE_SEED, _STATISTICS_SEED = (1, 0), (1, 1)


class ResumeError(ValueError):
    """The work directory belongs to a run with other settings."""


class Run:
    """One training run in its work directory.

    Args:
        config: `Config`.
        dataset: `oasis_tf.data.Dataset`.
        workdir: folder of everything that the run writes.
        devices: names of the devices to train on; None for all GPUs, or the
            CPU where there is none.

    Raises:
        ResumeError: if `workdir` holds a run with other settings or data, or
            another process trains there.
        ValueError: if settings do not fit together.
    """

    def __init__(self, config, dataset, workdir, devices=None):
        self.config = config
        self.dataset = dataset
        self.workdir = pathlib.Path(workdir)
        self.info = dataset.info
        self.strategy = tf.distribute.MirroredStrategy(devices)
        num_replicas = self.strategy.num_replicas_in_sync
        parts = num_replicas * config.train.accumulation_steps
        if config.train.global_batch_size % parts:
            raise ValueError(
                "`train.global_batch_size` must be a multiple of the devices "
                "times `train.accumulation_steps`. Received: "
                f"{config.train.global_batch_size}, {num_replicas} devices, "
                f"{config.train.accumulation_steps} steps."
            )
        self._claim_workdir()

        with self.strategy.scope():
            self.state = train_step.create_state(
                config, self.info.semantic_channels
            )
        self._check_image_size()
        self.checkpoints = Checkpoints(
            self.state,
            self.workdir / "checkpoints",
            config.log.keep_checkpoints,
        )
        self._step = train_step.compile_step(
            self.state,
            config,
            self.info,
            self.strategy,
            PerceptualLoss(config.train.vgg_weights)
            if config.train.lambda_vgg > 0
            else None,
        )
        self._estimator = StatisticsEstimator(
            self.state.ema_generator,
            lambda sample_number: train_step.draw_noise(
                config.generator,
                tf.constant(_STATISTICS_SEED),
                sample_number,
                config.image_size,
            ),
            self.strategy,
        )
        self._generate = tf.function(self._generate_eagerly, autograph=False)
        self._segment = tf.function(self._segment_eagerly, autograph=False)
        self._stop_signal = None

    def _check_image_size(self):
        for model in (self.state.generator, self.state.discriminator):
            size, multiple = self.config.image_size, model.size_multiple
            if any(n % multiple for n in size):
                raise ValueError(
                    f"`image_size` must be multiples of {multiple} for the "
                    f"{model.name} of this configuration. Received: {size}."
                )

    def _claim_workdir(self):
        """Writes config.json and dataset.json, or compares them."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.workdir / ".lock", "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResumeError(
                f"{self.workdir}: another process is training there."
            ) from None
        facts = {
            "num_examples": self.dataset.num_examples,
            "info": json.loads(self.info.to_json()),
        }
        saved = self.workdir / "config.json"
        if saved.is_file():
            changed = config_lib.differences(self.config, saved.read_text())
            changed = {
                name: values
                for name, values in changed.items()
                if not name.startswith(_MAY_CHANGE)
            }
            if changed:
                lines = [
                    f"  {name}: was {old!r}, now {new!r}"
                    for name, (old, new) in changed.items()
                ]
                raise ResumeError(
                    f"{self.workdir}: this run was started with other "
                    "settings; take them, or another --workdir:\n"
                    + "\n".join(lines)
                )
            was = json.loads((self.workdir / "dataset.json").read_text())
            if was != json.loads(json.dumps(facts)):
                changed = [name for name in facts if was[name] != facts[name]]
                raise ResumeError(
                    f"{self.workdir}: this run was started on other data: "
                    f"{', '.join(changed)} changed. Was {was['num_examples']} "
                    f"examples, now {facts['num_examples']}."
                )
        # The data first: config.json stands for a claimed folder.
        _write(self.workdir / "dataset.json", json.dumps(facts, indent=1))
        _write(saved, config_lib.to_json(self.config))

    def train(self, max_seconds=float("inf")):
        """Trains up to `num_steps`, from the last checkpoint if there is one.

        Args:
            max_seconds: the run ends after so many seconds at the latest, as
                if this were `num_steps`; the same call then goes on.

        Returns:
            Whether the run came to its end: False where a signal stopped it.

        Raises:
            NonFiniteError: if a loss or a weight is not finite any more.
            CheckpointError: if no checkpoint of the run can be read.
        """
        start = time.monotonic()
        train, log = self.config.train, self.config.log
        path = self.checkpoints.restore()
        step = int(self.state.step.numpy())
        if path:
            logging.info("Going on from %s.", path)
        history = LossHistory(self.workdir / "losses.csv", step)
        writer = tf.summary.create_file_writer(str(self.workdir / "summaries"))
        batches = iter(self._train_batches(step))
        pending = []  # (step, losses) not looked at yet.
        bar = tqdm(
            total=train.num_steps,
            initial=step,
            unit="step",
            dynamic_ncols=True,
            smoothing=0.05,
        )
        timer = _Timer()
        with writer.as_default(), self._signals(), bar:
            is_last = step >= train.num_steps
            while not is_last and not self._stop_signal:
                pending.append((step, self._step(next(batches))))
                step += 1
                bar.update()
                is_last = (
                    step >= train.num_steps
                    or time.monotonic() - start > max_seconds
                )
                is_due = {
                    name: is_last or every and step % every == 0
                    for name, every in (
                        ("log", log.log_every),
                        ("sample", log.sample_every),
                        ("validate", log.validate_every),
                        ("checkpoint", log.checkpoint_every),
                    )
                }
                if any(is_due.values()) or self._stop_signal:
                    losses = self._finite(pending)
                    rate = timer.rate(len(pending) * train.global_batch_size)
                    pending.clear()
                    self._log(step, losses, rate, history, bar)
                    if is_due["checkpoint"] or self._stop_signal:
                        self.checkpoints.save()
                    if is_due["sample"]:
                        self.draw_samples()
                        history.draw(self.workdir / "losses.png")
                    if is_due["validate"]:
                        self._validate(bar)
                    timer.go_on()
        history.draw(self.workdir / "losses.png")
        return self._stop_signal is None

    def _train_batches(self, first_step):
        dataset = pipeline.train_batches(
            self.dataset,
            self.config.image_size,
            self.config.train.global_batch_size,
            self.config.data,
            self.config.train.seed,
            first_step,
        )
        return self.strategy.experimental_distribute_dataset(dataset)

    def _finite(self, pending):
        """Returns the last losses; raises NonFiniteError at the first bad."""
        for step, losses in pending:
            losses = {name: float(value) for name, value in losses.items()}
            for name, value in losses.items():
                if not np.isfinite(value):
                    raise NonFiniteError(
                        f"Step {step}: the loss {name} is {value}. The "
                        "checkpoints in "
                        f"{self.workdir / 'checkpoints'} are from before it."
                    )
        return losses

    def _log(self, step, losses, rate, history, bar):
        history.add(step, losses)
        for name, value in losses.items():
            tf.summary.scalar(name, value, step=step)
        tf.summary.scalar("images_per_second", rate, step=step)
        bar.set_postfix_str(
            f"{rate:.1f} images/s, "
            + ", ".join(f"{_short(n)} {v:.2f}" for n, v in losses.items())
        )

    @contextlib.contextmanager
    def averaged_generator(self):
        """Context with the averaged generator, its statistics estimated.

        They come from the run's first training batches.
        """
        batches = itertools.islice(
            self._train_batches(0), self.config.train.ema_statistics_batches
        )
        with self._estimator.estimated(batches) as generator:
            yield generator

    def draw_samples(self):
        """Writes the sample sheet of this step.

        A row for each of some validation label maps: label map, photo, fakes
        by the same noise vectors in every row and at every step.

        Returns:
            Path of the sheet.
        """
        step = int(self.state.step.numpy())
        examples = self._sample_examples()
        with self.averaged_generator():
            looks = [
                self._generate(
                    examples["label_map"],
                    tf.fill(
                        [len(examples["label_map"])],
                        tf.constant(look, tf.int64),
                    ),
                )
                for look in range(_NUM_LOOKS)
            ]
        looks = [saved_model.to_uint8(images).numpy() for images in looks]
        colored = colorize(examples["label_map"], self.info)
        rows = list(zip(colored, examples["image"], *looks, strict=True))
        headings = ["label map", "real"]
        headings += [f"noise {look + 1}" for look in range(_NUM_LOOKS)]
        sheet = sheets.draw_sheet(rows, headings)
        path = self.workdir / "samples" / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(sheet).save(path)
        tf.summary.image("samples", sheet[None], step=step)
        return path

    def _sample_examples(self):
        """Returns evenly spread validation examples, of one batch."""
        split = (
            "validation"
            if self.dataset.num_examples["validation"]
            else ("train")
        )
        num = self.dataset.num_examples[split]
        wanted = np.linspace(
            0, num - 1, min(num, self.config.log.num_samples)
        ).astype(int)
        batches = pipeline.validation_batches(
            self.dataset, self.config.image_size, 1, split=split
        )
        chosen = [
            batch
            for i, batch in enumerate(batches.as_numpy_iterator())
            if i in wanted
        ]
        return {
            name: np.concatenate([example[name] for example in chosen])
            for name in ("image", "label_map")
        }

    def draw_segmentations(self, path):
        """Writes a sheet of validation images as the discriminator sees them.

        Args:
            path: of the sheet.

        Returns:
            `path`.
        """
        examples = self._sample_examples()
        image, label_map = examples["image"], examples["label_map"]
        predicted = self._segment(train_step.to_float(image))
        rows = list(
            zip(
                image,
                colorize(label_map, self.info),
                colorize(predicted, self.info),
                strict=True,
            )
        )
        sheet = sheets.draw_sheet(rows, ["real", "label map", "segmented"])
        Image.fromarray(sheet).save(path)
        return path

    def _generate_eagerly(self, label_map, seeds):
        noise = train_step.draw_noise(
            self.config.generator,
            tf.constant(_SAMPLE_SEED),
            seeds,
            self.config.image_size,
        )
        semantic_map = one_hot(label_map, self.info.semantic_channels)
        return self.state.ema_generator(noise, semantic_map)

    def _segment_eagerly(self, image):
        return miou.segment(
            self.state.discriminator(image), self.info.has_dont_care
        )

    def score(self):
        """Segments validation photos and fakes of their label maps.

        Returns:
            {"miou_real": how well the discriminator segments real images,
            "miou_fake": how well it finds the label maps in fakes again}:
            mean IoU, 0..1.
        """
        batches = pipeline.validation_batches(
            self.dataset,
            self.config.image_size,
            self.config.train.global_batch_size,
            self.config.log.validation_images,
        )
        channels = self.info.semantic_channels
        confusion = {
            name: np.zeros([channels, channels], np.int64)
            for name in ("miou_real", "miou_fake")
        }
        with self.averaged_generator():
            for batch in batches:
                images = {
                    "miou_real": train_step.to_float(batch["image"]),
                    "miou_fake": self._generate(
                        batch["label_map"], batch["sample_number"]
                    ),
                }
                for name, image in images.items():
                    confusion[name] += miou.confusion_matrix(
                        batch["label_map"], self._segment(image), channels
                    )
        return {
            name: miou.mean_iou(counts, self.info.has_dont_care)
            for name, counts in confusion.items()
        }

    def _validate(self, bar):
        if not self.dataset.num_examples["validation"]:
            return
        step = int(self.state.step.numpy())
        scores = self.score()
        for name, value in scores.items():
            tf.summary.scalar(name, value, step=step)
        texts = [f"{name} {value:.3f}" for name, value in scores.items()]
        bar.write(f"step {step}: {', '.join(texts)}")
        with open(self.workdir / "scores.jsonl", "a") as file:
            file.write(json.dumps({"step": step} | scores) + "\n")
        name = self.config.log.best_score
        if name:
            self._keep_best(step, name, scores[name])

    def _keep_best(self, step, name, score):
        record = self.workdir / "best" / "best.json"
        best = -np.inf
        if record.is_file():
            best = json.loads(record.read_text())[name]
        if score > best:
            kept = Checkpoints(self.state, self.workdir / "best", keep=1)
            kept.save()
            _write(record, json.dumps({"step": step, name: score}))

    def export(self):
        """Exports the averaged generator, unless this step's is there.

        Returns:
            Folder of the SavedModel: `export/<step>`.
        """
        with self.averaged_generator() as generator:
            return saved_model.export(
                generator,
                self.config.generator.noise,
                self.info,
                self.workdir / "export",
                int(self.state.step.numpy()),
            )

    @contextlib.contextmanager
    def _signals(self):
        """Context in which SIGTERM and SIGINT end the loop after its step."""

        def stop(number, frame):
            del frame
            self._stop_signal = signal.Signals(number)

        previous = {
            number: signal.signal(number, stop)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


class _Timer:
    """Measures images per second, without what stands between the steps."""

    def __init__(self):
        self._start = time.monotonic()

    def rate(self, num_images):
        """Returns images per second since the start or the last `go_on`."""
        return num_images / max(time.monotonic() - self._start, 1e-9)

    def go_on(self):
        """Starts the next interval."""
        self._start = time.monotonic()


def _short(name):
    network, _, part = name.partition("/")
    return f"{network[0].upper()}.{part}"


def _write(path, text):
    """Writes a file whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def load_dataset(config, data_dir):
    """Prepares and opens the data set of a configuration.

    Args:
        config: `Config`.
        data_dir: folder of the raw files, or None.

    Returns:
        `oasis_tf.data.Dataset`.
    """
    return data.load(config.dataset, data_dir, config.data, config.image_size)
