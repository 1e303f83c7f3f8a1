"""The outer loop: log, draw, validate, checkpoint, export; resume."""

import contextlib
import json
import pathlib
import signal
import time

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image
from tqdm import tqdm

from oasis_tf import config as config_lib
from oasis_tf import model_files
from oasis_tf.data import pipeline
from oasis_tf.evaluation import charts
from oasis_tf.exporters import saved_model
from oasis_tf.training import workdir as workdir_lib
from oasis_tf.training.checkpoint import Checkpoints
from oasis_tf.training.checkpoint import NonFiniteError
from oasis_tf.training.checkpoint import has_checkpoints
from oasis_tf.training.checkpoint import save_models
from oasis_tf.training.history import History
from oasis_tf.training.initialization import take_networks
from oasis_tf.training.inspector import Inspector
from oasis_tf.training.perceptual import PerceptualLoss
from oasis_tf.training.train_step import compile_step
from oasis_tf.training.train_step import create_state


class Run:
    """One training run in its work directory.

    Args:
        config: `Config`.
        dataset: `oasis_tf.data.Dataset`.
        workdir: folder of everything that the run writes.
        devices: names of the devices to train on; None for all GPUs, or the
            CPU where there is none.
        init_from: work directory whose networks the run starts with, unless
            it has a checkpoint of its own.

    Raises:
        ResumeError: if `workdir` holds a run with other settings or data, or
            another process trains there.
        ValueError: if settings do not fit together, or to the networks that
            the run should start with.
        CheckpointError: if those cannot be read.
    """

    def __init__(self, config, dataset, workdir, devices=None, init_from=None):
        self.config = config
        self.workdir = pathlib.Path(workdir)
        self._dataset = dataset
        self._strategy = tf.distribute.MirroredStrategy(devices)
        self._check_batch_size()
        perceptual_loss = None
        if config.train.lambda_vgg > 0:
            with self._strategy.scope():
                perceptual_loss = PerceptualLoss(config.train.vgg_weights)
        with self._strategy.scope():
            self.state = create_state(config, dataset.info.semantic_channels)
        is_new = not has_checkpoints(self.workdir / "checkpoints")
        if init_from and is_new:
            take_networks(init_from, self.state, config, dataset.info)
        elif init_from:
            logging.warning(
                "%s goes on from its own checkpoint, not from the networks of "
                "%s.",
                workdir,
                init_from,
            )
        self._step = compile_step(
            self.state, config, dataset.info, self._strategy, perceptual_loss
        )
        self.inspector = Inspector(self.state, config, dataset, self._strategy)
        # After what may fail: settings that do not fit leave no directory.
        self._lock = workdir_lib.claim(self.workdir, config, dataset)
        self.checkpoints = Checkpoints(
            self.state,
            self.workdir / "checkpoints",
            config.log.keep_checkpoints,
        )
        if init_from and is_new:
            # So that a run which is cut off goes on from there.
            self.checkpoints.save()
        self.scores = None  # The last that were taken.
        self._stop_signal = None

    def _check_batch_size(self):
        train = self.config.train
        num_replicas = self._strategy.num_replicas_in_sync
        if train.global_batch_size % (num_replicas * train.accumulation_steps):
            raise ValueError(
                "`train.global_batch_size` must be a multiple of the devices "
                "times `train.accumulation_steps`. Received: "
                f"{train.global_batch_size}, {num_replicas} devices, "
                f"{train.accumulation_steps} steps."
            )

    def train(self, max_seconds=float("inf")):
        """Trains up to `num_steps`, from the last checkpoint if there is one.

        Args:
            max_seconds: the run ends after so many seconds at the latest. As
                soon as its speed shows that it will come to fewer steps than
                `num_steps`, the learning rates fall towards that end.

        Returns:
            Whether the run came to its end: False where a signal stopped it.

        Raises:
            NonFiniteError: if a loss or a weight is not finite any more.
            CheckpointError: if no checkpoint of the run can be read.
        """
        start = time.monotonic()
        self._stop_signal = None
        with self._signals():
            path = self.checkpoints.restore()
            if path:
                logging.info("Going on from %s.", path)
            self._train_on(start + max_seconds)
        return self._stop_signal is None

    def _train_on(self, deadline):
        """Takes steps from where the state is, up to a time at the latest."""
        train, log = self.config.train, self.config.log
        step = saved_step = self._finished_steps()
        losses = History(self.workdir / "losses.csv", step)
        scores = History(self.workdir / "scores.csv", step)
        writer = tf.summary.create_file_writer(str(self.workdir / "summaries"))
        batches = iter(self._batches(step))
        pending = []  # (step, losses) not looked at yet.
        bar = tqdm(
            total=train.num_steps,
            initial=step,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.5,
            smoothing=0.05,
        )
        last_step = train.num_steps
        self.state.last_step.assign(last_step)
        is_last = step >= last_step
        since = time.monotonic()
        with writer.as_default(), bar:
            while not (is_last or self._stop_signal):
                step += 1
                pending.append((step, self._step(next(batches))))
                bar.update()
                is_last = step >= last_step or time.monotonic() > deadline
                is_due = {
                    name: is_last or (every > 0 and step % every == 0)
                    for name, every in (
                        ("log", log.log_every),
                        ("checkpoint", log.checkpoint_every),
                        ("sample", log.sample_every),
                        ("validate", log.validate_every),
                    )
                }
                if not any(is_due.values()):
                    continue
                last_losses = self._finite(pending)
                num_images = len(pending) * train.global_batch_size
                rate = num_images / (time.monotonic() - since)
                pending.clear()
                self._log(step, last_losses, rate, losses, bar)
                if is_due["sample"]:
                    losses.draw(self.workdir / "losses.png")
                    self._draw_samples(step)
                if is_due["validate"]:
                    self._validate(step, scores, bar)
                # Last: a run that goes on from here has all of this step.
                if is_due["checkpoint"]:
                    self.checkpoints.save()
                    saved_step = step
                seconds_left = deadline - time.monotonic()
                if seconds_left < float("inf") and not is_last:
                    steps_left = seconds_left * rate / train.global_batch_size
                    last_step = min(
                        train.num_steps, step + max(1, int(steps_left))
                    )
                    self.state.last_step.assign(last_step)
                    bar.total = last_step  # For the time that is left.
                since = time.monotonic()
            if step > saved_step:  # A signal came in between.
                self._finite(pending)
                self.checkpoints.save()
        losses.draw(self.workdir / "losses.png")

    def _finished_steps(self):
        return int(self.state.step.numpy())

    @property
    def _has_validation(self):
        return self._dataset.num_examples["validation"] > 0

    def _batches(self, first_step):
        dataset = pipeline.train_batches(
            self._dataset,
            self.config.image_size,
            self.config.train.global_batch_size,
            self.config.data,
            self.config.train.seed,
            first_step,
        )
        return self._strategy.experimental_distribute_dataset(dataset)

    def _finite(self, pending):
        """Returns the last losses; raises NonFiniteError at the first bad."""
        losses = None
        for step, losses in pending:
            losses = {name: float(value) for name, value in losses.items()}
            for name, value in losses.items():
                if not np.isfinite(value):
                    raise NonFiniteError(
                        f"Step {step}: the loss {name} is {value}. The "
                        f"checkpoints in {self.workdir / 'checkpoints'} are "
                        "from before it."
                    )
        return losses

    def _log(self, step, losses, rate, history, bar):
        history.add(step, losses)
        for name, value in losses.items():
            tf.summary.scalar(name, value, step=step)
        tf.summary.scalar("images_per_second", rate, step=step)
        texts = [f"{rate:.1f} images/s"]
        for name, value in losses.items():
            network, _, part = name.partition("/")
            texts.append(f"{network[0].upper()}.{part} {value:.2f}")
        bar.set_postfix_str(", ".join(texts))

    def _draw_samples(self, step):
        if not self._has_validation:
            return
        sheet = self.inspector.sample_sheet()
        path = self.workdir / "samples" / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(sheet).save(path)
        tf.summary.image("samples", sheet[None], step=step)

    def _validate(self, step, history, bar):
        if not self._has_validation:
            return
        self.scores = self.inspector.score()
        if not self.scores:
            return
        history.add(step, self.scores)
        if np.isfinite(list(self.scores.values())).any():
            charts.scores_over_time(self.workdir / "scores.png", history.rows)
        for name, value in self.scores.items():
            tf.summary.scalar(name, value, step=step)
        texts = [f"{name} {value:.3f}" for name, value in self.scores.items()]
        bar.write(f"step {step}: {', '.join(texts)}")
        name = self.config.log.best_score
        if name and np.isfinite(self.scores[name]):
            self._keep_best(step, name, self.scores[name])

    def _keep_best(self, step, name, score):
        record = self.workdir / "best" / "best.json"
        if record.is_file():
            best = json.loads(record.read_text())
            sign = -1 if name in config_lib.LOWER_IS_BETTER else 1
            if best["name"] == name and sign * best["score"] >= sign * score:
                return
        Checkpoints(self.state, record.parent, keep=1).save()
        best = {"step": step, "name": name, "score": score}
        model_files.write(record, json.dumps(best))

    def export(self):
        """Exports the averaged generator and the discriminator.

        What is there of this step already is kept.

        Returns:
            Folder of the generator's SavedModel: `export/generator/<step>`.
        """
        step = self._finished_steps()
        facts = self.config, self._dataset.info
        base, version = self.workdir / model_files.EXPORT, max(1, step)
        with self.inspector.averaged_generator() as generator:
            save_models(
                self.workdir / model_files.AVERAGED, step, generator=generator
            )
            folder = saved_model.export_generator(
                generator, *facts, base / model_files.GENERATOR, version, step
            )
        if self.config.discriminator.is_segmenter:
            saved_model.export_segmenter(
                self.state.discriminator,
                *facts,
                base / model_files.SEGMENTER,
                version,
                step,
            )
        return folder

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
