"""A whole run: stopping, going on, and what it leaves in its directory."""

import csv
import json
import os
import pathlib
import shutil
import signal
import tempfile
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from oasis_tf.training import loop
from oasis_tf.training.checkpoint import NonFiniteError
from oasis_tf.training.inspector import Inspector
from oasis_tf.training.workdir import ResumeError
from tests import tiny

NETWORKS = {
    "generator": {"channels": (4, 4)},
    "discriminator": {"channels": (4, 4)},
}


def setUpModule():
    global FOLDER
    FOLDER = tempfile.TemporaryDirectory()


def tearDownModule():
    FOLDER.cleanup()


def load_dataset(config=tiny.CONFIG, is_blind=True):
    """Returns prepared data; blind ones have no validation split."""
    dataset = tiny.dataset(pathlib.Path(FOLDER.name) / "prepared", config)
    if is_blind:
        dataset.num_examples["validation"] = 0
    return dataset


def make_run(config, workdir, is_blind=True, devices=("CPU:0",)):
    dataset = load_dataset(config, is_blind)
    return loop.Run(config, dataset, workdir, list(devices))


def saved_steps(workdir):
    return sorted(
        int(path.stem.partition("-")[2])
        for path in workdir.glob("checkpoints/step-*.index")
    )


def read(path):
    """Returns the lines of a history as {name: float}."""
    with open(path, newline="") as file:
        return [
            {name: float(value) for name, value in line.items()}
            for line in csv.DictReader(file)
        ]


def looking_away(scores):
    """Context in which runs do not draw, and score as told."""
    scores = iter(scores)
    return mock.patch.multiple(
        Inspector,
        score=lambda _: dict.fromkeys(["miou_real", "miou_fake"], next(scores)),
        sample_sheet=lambda _: np.zeros([4, 4, 3], np.uint8),
    )


class FakeStep:
    """Counts; adds 1 to a weight; notes the samples; has a loss by step.

    Stands in for `compile_step`, to test the loop around the step.

    Args:
        loss: function of the step's number, from 0.
    """

    def __init__(self, loss=float):
        self.samples = []
        self._loss = loss

    def __call__(self, state, *_):
        def step(batch):
            number = int(state.step.numpy())
            self.samples.append(batch["sample_number"].numpy().tolist())
            state.generator.conv_in.bias.assign_add(tf.ones([4]))
            state.step.assign_add(1)
            return {
                "generator/a": tf.constant(self._loss(number)),
                "discriminator/b": tf.constant(1.0),
            }

        return step


class LoopTest(tf.test.TestCase, parameterized.TestCase):
    """The loop around a step that costs nothing."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.get_temp_dir())
        self.workdir = self.folder / "run"

    def run_with(
        self, step, is_blind=True, train=(), data=(), workdir=None, **log
    ):
        config = tiny.config(
            **NETWORKS, log=log, train=dict(train), data=dict(data)
        )
        with mock.patch.object(loop, "compile_step", step):
            run = make_run(config, workdir or self.workdir, is_blind)
        self.addCleanup(run._lock.close)
        return run

    def copy(self):
        """Returns a copy of the directory: of a run whose process is gone."""
        copy = self.folder / "copy"
        shutil.copytree(self.workdir, copy)
        return copy

    def test_checkpoints_come_regularly_and_at_the_end(self):
        run = self.run_with(FakeStep(), checkpoint_every=2, keep_checkpoints=9)
        self.assertTrue(run.train())
        self.assertEqual(saved_steps(self.workdir), [2, 4, 6])
        more = self.run_with(
            FakeStep(),
            workdir=self.copy(),
            train={"num_steps": 9},
            checkpoint_every=2,
            keep_checkpoints=9,
        )
        self.assertTrue(more.train())
        self.assertEqual(saved_steps(more.workdir), [2, 4, 6, 8, 9])

    def test_resumed_run_sees_the_samples_it_would_have_seen(self):
        whole = FakeStep()
        self.run_with(whole, workdir=self.folder / "whole").train()
        self.assertEqual(sum(whole.samples, []), list(range(4 * 6)))
        first, second = FakeStep(), FakeStep()
        self.run_with(first, train={"num_steps": 2}).train()
        self.run_with(second, workdir=self.copy()).train()
        self.assertEqual(first.samples + second.samples, whole.samples)

    def test_a_complete_run_takes_no_further_step(self):
        self.run_with(FakeStep()).train()
        step = FakeStep()
        self.assertTrue(self.run_with(step, workdir=self.copy()).train())
        self.assertEmpty(step.samples)

    def test_killed_run_goes_on_from_its_last_checkpoint(self):
        def kill(number):
            if number == 5:
                raise KeyboardInterrupt
            return 0.5

        run = self.run_with(FakeStep(kill), checkpoint_every=3)
        with self.assertRaises(KeyboardInterrupt):
            run.train()
        step = FakeStep(lambda number: 10.0 + number)
        resumed = self.run_with(step, workdir=self.copy())
        resumed.train()
        self.assertEqual([samples[0] for samples in step.samples], [12, 16, 20])
        self.assertEqual(
            [
                line["generator/a"]
                for line in read(resumed.workdir / "losses.csv")
            ],
            [0.5, 0.5, 0.5, 13.0, 14.0, 15.0],
        )
        self.assertAllEqual(
            resumed.state.generator.conv_in.bias, [6.0, 6.0, 6.0, 6.0]
        )

    @parameterized.parameters(signal.SIGTERM, signal.SIGINT)
    def test_signal_ends_the_run_with_a_checkpoint(self, number):
        def interrupt(step):
            if step == 3:
                os.kill(os.getpid(), number)
            return 0.5

        before = signal.getsignal(number)
        run = self.run_with(FakeStep(interrupt))
        self.assertFalse(run.train())
        self.assertEqual(saved_steps(self.workdir), [4])
        self.assertIs(signal.getsignal(number), before)
        self.assertTrue(self.run_with(FakeStep(), workdir=self.copy()).train())

    def test_signal_during_a_checkpoint_ends_the_run_with_that_one(self):
        run = self.run_with(FakeStep(), checkpoint_every=2)
        save = run.checkpoints.save

        def interrupt():
            os.kill(os.getpid(), signal.SIGTERM)
            return save()

        with mock.patch.object(run.checkpoints, "save", interrupt):
            self.assertFalse(run.train())
        self.assertEqual(saved_steps(self.workdir), [2])

    def test_time_that_is_up_ends_the_run_as_its_last_step_does(self):
        run = self.run_with(FakeStep())
        self.assertTrue(run.train(max_seconds=0))
        self.assertEqual(saved_steps(self.workdir), [1])
        self.assertTrue((self.workdir / "losses.png").is_file())

    @parameterized.parameters((35, 3), (1000, 6))
    def test_rates_fall_towards_the_step_that_the_time_allows(
        self, max_seconds, last_step
    ):
        # A step takes ten seconds of a made-up clock.
        clock = [0.0]

        def loss(_):
            clock[0] += 10
            return 0.5

        run = self.run_with(FakeStep(loss))
        with mock.patch.object(loop.time, "monotonic", lambda: clock[0]):
            run.train(max_seconds)
        self.assertEqual(run.state.step.numpy(), last_step)
        self.assertEqual(run.state.last_step.numpy(), last_step)

    def test_infinite_moment_is_not_saved(self):
        run = self.run_with(FakeStep(), checkpoint_every=2)
        optimizer = run.state.discriminator_optimizer
        moment = next(v for v in optimizer.variables if "moment" in v.path)
        moment.assign(tf.fill(moment.shape, np.inf))
        with self.assertRaisesRegex(NonFiniteError, "Step 2: .*moment"):
            run.train()
        self.assertEqual(saved_steps(self.workdir), [])

    def test_non_finite_loss_names_part_and_step_and_keeps_checkpoints(self):
        run = self.run_with(
            FakeStep(lambda step: np.nan if step >= 3 else 0.5),
            checkpoint_every=2,
        )
        with self.assertRaisesRegex(
            NonFiniteError, "Step 4: the loss generator/a is nan.*checkpoints"
        ):
            run.train()
        self.assertEqual(saved_steps(self.workdir), [2])
        resumed = self.run_with(FakeStep(), workdir=self.copy())
        self.assertEndsWith(resumed.checkpoints.restore(), "step-2")
        self.assertAllEqual(resumed.state.generator.conv_in.bias, [2.0] * 4)

    def test_non_finite_loss_between_two_logged_steps_is_found(self):
        run = self.run_with(
            FakeStep(lambda step: np.inf if step == 1 else 0.5),
            log_every=4,
            checkpoint_every=4,
        )
        with self.assertRaisesRegex(NonFiniteError, "Step 2: .* is inf"):
            run.train()
        self.assertEqual(saved_steps(self.workdir), [])

    def test_non_finite_weight_is_not_saved(self):
        run = self.run_with(FakeStep(), checkpoint_every=2)
        bias = run.state.ema_generator.conv_in.bias
        bias.assign([0.0, np.nan, 0.0, 0.0])
        with self.assertRaisesRegex(NonFiniteError, "Step 2: .*conv_in/bias"):
            run.train()
        self.assertEqual(saved_steps(self.workdir), [])

    def test_best_is_that_of_the_highest_score(self):
        run = self.run_with(
            FakeStep(),
            is_blind=False,
            validate_every=2,
            sample_every=4,
            best_score="miou_real",
        )
        with looking_away([0.5, 0.7, 0.6]):
            run.train()
        best = json.loads((self.workdir / "best/best.json").read_text())
        self.assertEqual(best, {"step": 4, "name": "miou_real", "score": 0.7})
        indices = [path.name for path in self.workdir.glob("best/*.index")]
        self.assertEqual(indices, ["step-4.index"])
        scores = read(self.workdir / "scores.csv")
        self.assertEqual(
            [score["miou_real"] for score in scores], [0.5, 0.7, 0.6]
        )
        sheets = sorted(p.name for p in self.workdir.glob("samples/*"))
        self.assertEqual(sheets, ["step_0000004.png", "step_0000006.png"])

    def test_best_is_that_of_the_lowest_distance(self):
        run = self.run_with(
            FakeStep(),
            is_blind=False,
            validate_every=2,
            segmenter=str(tiny.segmenter(self.workdir.parent / "segmenter")),
            best_score="color_emd",
        )
        values = iter([0.5, 0.3, 0.6])
        with mock.patch.multiple(
            Inspector,
            score=lambda _: {"color_emd": next(values)},
            sample_sheet=lambda _: np.zeros([4, 4, 3], np.uint8),
        ):
            run.train()
        best = json.loads((self.workdir / "best/best.json").read_text())
        self.assertEqual(best, {"step": 4, "name": "color_emd", "score": 0.3})
        with Image.open(self.workdir / "scores.png") as picture:
            self.assertGreater(min(picture.size), 100)

    def test_a_segmenter_scores_the_fakes(self):
        run = self.run_with(
            FakeStep(),
            is_blind=False,
            data={"num_validation_scenes": 4},
            segmenter=str(tiny.segmenter(self.workdir.parent / "segmenter")),
            diversity_maps=1,
        )
        run.train()
        self.assertCountEqual(
            run.scores,
            [
                *("miou_real", "miou_fake"),
                *("segmenter_miou", "segmenter_accuracy"),
                *("segmenter_fid", "segmenter_kid"),
                *("segmenter_precision", "segmenter_recall"),
                *("color_emd", "texture_chi2", "ms_ssim"),
            ],
        )
        self.assertBetween(run.scores["ms_ssim"], 0, 0.999)
        self.assertBetween(run.scores["segmenter_miou"], 0, 1)
        self.assertGreater(run.scores["segmenter_fid"], 0)
        # Fakes of random weights have other colours than scenes.
        self.assertGreater(run.scores["color_emd"], 1)

    def test_a_missing_segmenter_leaves_no_work_directory(self):
        with self.assertRaisesRegex(ValueError, "/no/such must be a SavedMod"):
            self.run_with(FakeStep(), is_blind=False, segmenter="/no/such")
        self.assertFalse(self.workdir.exists())

    def test_a_best_score_that_cannot_be_taken_is_refused(self):
        with self.assertRaisesRegex(ValueError, r"Received: images of .*16"):
            self.run_with(
                FakeStep(),
                is_blind=False,
                diversity_maps=1,
                best_score="random_lpips",
            )
        with self.assertRaisesRegex(ValueError, "Received: 3 validation imag"):
            self.run_with(
                FakeStep(),
                is_blind=False,
                segmenter=str(
                    tiny.segmenter(self.workdir.parent / "segmenter")
                ),
                best_score="segmenter_fid",
            )
        self.assertFalse(self.workdir.exists())

    def test_other_settings_are_refused_and_named(self):
        self.run_with(FakeStep()).train()
        with self.assertRaisesRegex(
            ResumeError, "train.generator_lr: was 0.0001, now 0.5"
        ):
            self.run_with(
                FakeStep(), workdir=self.copy(), train={"generator_lr": 0.5}
            )

    def test_other_data_are_refused(self):
        self.run_with(FakeStep())
        dataset = load_dataset()
        dataset.num_examples["train"] = 11
        config = tiny.config(**NETWORKS)
        with self.assertRaisesRegex(ResumeError, "num_examples: was"):
            loop.Run(config, dataset, self.copy(), ["CPU:0"])

    def test_two_runs_in_one_directory_are_refused(self):
        run = self.run_with(FakeStep())
        with self.assertRaisesRegex(ResumeError, "another process"):
            self.run_with(FakeStep())
        self.assertTrue(run.train())

    @parameterized.parameters(
        ({"image_size": (16, 18)}, "multiples of 4"),
        ({"train": {"global_batch_size": 4, "accumulation_steps": 3}}, "mult"),
        ({"train": {"lambda_vgg": 1.0}}, "train.vgg_weights"),
    )
    def test_settings_that_do_not_fit_leave_no_directory(self, change, message):
        dataset = load_dataset()
        with self.assertRaisesRegex(ValueError, message):
            config = tiny.config(**NETWORKS | change)
            loop.Run(config, dataset, self.workdir, ["CPU:0"])
        self.assertFalse(self.workdir.exists())


@pytest.mark.slow
class TwoDevicesTest(tf.test.TestCase):
    def test_a_whole_run_is_that_of_one_device(self):
        folder = pathlib.Path(self.get_temp_dir())
        config = tiny.config(**NETWORKS, train={"num_steps": 3})
        runs = []
        for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
            workdir = folder / str(len(devices))
            run = make_run(config, workdir, is_blind=False, devices=devices)
            self.addCleanup(run._lock.close)
            run.train()
            runs.append(run)
        for mine, other in zip(*(read(r.workdir / "losses.csv") for r in runs)):
            self.assertAllClose(mine, other, rtol=1e-4, atol=1e-4)
        scores = [run.scores["miou_real"] for run in runs]
        self.assertAllClose(*scores, atol=0.02)
        images = []
        label_map = tiny.batch(size=1)["label_map"]
        for run in runs:
            model = tf.saved_model.load(str(run.export()))
            image = model.signatures["synthesize"](
                label_map=label_map, seed=tf.constant([3], tf.int64)
            )["image"]
            images.append(image.numpy().astype(int))
        self.assertLessEqual(np.abs(images[0] - images[1]).max(), 2)


class WholeRunTest(tf.test.TestCase):
    """Six real steps at once; and three of them again, from a checkpoint."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(
            cls.enterClassContext(tempfile.TemporaryDirectory())
        )
        config = tiny.config(
            **NETWORKS,
            train={"generator_lr": 1e-3, "discriminator_lr": 1e-3},
            log={
                "checkpoint_every": 3,
                "sample_every": 3,
                "validate_every": 3,
                "best_score": "miou_fake",
            },
        )
        cls.whole = make_run(config, cls.folder / "whole", is_blind=False)
        cls.addClassCleanup(cls.whole._lock.close)
        cls.whole.train()
        # What is there of a run that was killed before its second checkpoint.
        shutil.copytree(cls.folder / "whole", cls.folder / "resumed")
        for path in cls.folder.glob("resumed/checkpoints/step-6.*"):
            path.unlink()
        cls.resumed = make_run(config, cls.folder / "resumed", is_blind=False)
        cls.addClassCleanup(cls.resumed._lock.close)
        with looking_away([0.0]):
            cls.resumed.train()

    def test_killed_and_resumed_run_has_the_losses_of_the_whole(self):
        whole = read(self.folder / "whole/losses.csv")
        resumed = read(self.folder / "resumed/losses.csv")
        self.assertLen(whole, 6)
        for mine, other in zip(whole, resumed, strict=True):
            self.assertAllClose(mine, other, rtol=1e-6)

    def test_killed_and_resumed_run_has_the_weights_of_the_whole(self):
        for name in ("generator", "discriminator", "ema_generator"):
            for mine, other in zip(
                getattr(self.whole.state, name).variables,
                getattr(self.resumed.state, name).variables,
            ):
                self.assertAllClose(
                    mine.numpy(), other.numpy(), rtol=1e-5, atol=1e-6
                )

    def test_weights_have_moved(self):
        kernel = self.whole.state.generator.conv_in.kernel.numpy()
        average = self.whole.state.ema_generator.conv_in.kernel.numpy()
        self.assertNotAllClose(kernel, average, atol=1e-5)

    def test_samples_curves_and_summaries_are_there(self):
        workdir = self.whole.workdir
        sheets = sorted(p.name for p in workdir.glob("samples/*"))
        self.assertEqual(sheets, ["step_0000003.png", "step_0000006.png"])
        for path in workdir.glob("samples/*"):
            with Image.open(path) as sheet:
                # Label map, real and four fakes of 16 pixels, enlarged to 128.
                self.assertEqual(sheet.width, 6 * 134 + 6)
        with Image.open(workdir / "losses.png") as curves:
            self.assertGreater(curves.width, 100)
        (events,) = workdir.glob("summaries/events*")
        tags = {
            value.tag
            for event in tf.compat.v1.train.summary_iterator(str(events))
            for value in event.summary.value
        }
        self.assertContainsSubset(
            {
                "generator/adversarial",
                "discriminator/labelmix",
                "images_per_second",
                "samples",
                "miou_real",
                "miou_fake",
            },
            tags,
        )

    def test_scores_are_shares(self):
        scores = read(self.whole.workdir / "scores.csv")
        self.assertEqual([score["step"] for score in scores], [3, 6])
        for score in scores:
            self.assertBetween(score["miou_real"], 0, 1)
            self.assertBetween(score["miou_fake"], 0, 1)
        best = json.loads((self.whole.workdir / "best/best.json").read_text())
        self.assertEqual(
            best["score"], max(score["miou_fake"] for score in scores)
        )

    def test_segmentation_sheet_has_three_pictures_in_a_row(self):
        sheet = self.whole.inspector.segmentation_sheet()
        self.assertEqual(sheet.shape[1], 3 * 134 + 6)

    def test_export_draws_the_same_image_for_the_same_seed(self):
        folder = self.whole.export()
        self.assertEqual(folder, self.whole.workdir / "export/generator/6")
        self.assertEqual(self.whole.export(), folder)
        model = tf.saved_model.load(str(folder))
        label_map = tf.constant(tiny.batch(size=2)["label_map"])

        def draw():
            return model.signatures["synthesize"](
                label_map=label_map, seed=tf.constant([1, 2], tf.int64)
            )["image"]

        image = draw()
        self.assertEqual(image.shape, (2, 16, 16, 3))
        self.assertEqual(image.dtype, tf.uint8)
        self.assertAllEqual(image, draw())

    def test_inspection_leaves_the_average_as_it_is(self):
        average = self.whole.state.ema_generator
        before = average.get_weights()
        self.whole.inspector.score()
        for old, new in zip(before, average.get_weights()):
            self.assertAllEqual(old, new)


if __name__ == "__main__":
    tf.test.main()
