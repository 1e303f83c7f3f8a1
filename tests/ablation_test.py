"""`python -m oasis_tf.ablation`: rows, runs, table and pictures."""

import json
import os
import pathlib
import signal
import subprocess

import numpy as np
import pytest
from PIL import Image

from oasis_tf import processor
from oasis_tf.inference import generator
from tests import tiny
from tests import trained

EXPERIMENT = """
import dataclasses

from tests import tiny


def get_config():
    train = dataclasses.replace(tiny.CONFIG.train, num_steps=2)
    data = dataclasses.replace(tiny.CONFIG.data, num_validation_scenes=4)
    return dataclasses.replace(tiny.CONFIG, train=train, data=data)
"""


@pytest.fixture(autouse=True)
def _gpus_stay(monkeypatch):
    """The next tests of this process may want them."""
    monkeypatch.setattr(processor, "leave_gpus", lambda: None)


@pytest.fixture
def experiment(tmp_path):
    pathlib.Path(tmp_path, "tiny_experiment.py").write_text(EXPERIMENT)
    return "--dataset=tiny_experiment.py"


@pytest.mark.slow
def test_table_of_all_rows(experiment, tmp_path):
    flags = (
        experiment,
        "--seeds=1",
        "--segmenter_steps=2",
        "--patch_channels=4,8",
        "--out=a",
    )
    done = trained.run_process("ablation", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "a")
    assert list(rows) == ROWS
    # Without noise all pictures of a map are the same.
    assert float(rows["no_noise"]["MS-SSIM ↓"]) == pytest.approx(1, abs=1e-3)
    assert float(rows["oasis"]["MS-SSIM ↓"]) < 0.999
    assert_pictures(tmp_path / "a")
    # Again: nothing is run.
    before = (tmp_path / "a/runs/oasis_0/losses.csv").stat().st_mtime_ns
    assert trained.run_process("ablation", *flags, cwd=tmp_path).returncode == 0
    after = (tmp_path / "a/runs/oasis_0/losses.csv").stat().st_mtime_ns
    assert before == after


ROWS = [
    "oasis",
    "no_labelmix",
    "no_class_balancing",
    "no_noise",
    "patch_discriminator",
]


def table(folder):
    """Returns {row: {heading: cell}} of a folder's table."""
    heading, _, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (folder / "table.md").read_text().splitlines()
        if line.startswith("|")
    ]
    return {row[0]: dict(zip(heading, row, strict=True)) for row in rows}


def assert_pictures(folder):
    for name in ("scores", "pictures"):
        with Image.open(folder / f"{name}.png") as picture:
            assert min(picture.size) > 200


class Commands:
    """Stand for training and evaluation: leave what these would leave.

    Attributes:
        called: [(name, {flag: its values})].
        scores: {row: mIoU of its runs by seed}.
    """

    scores = {"oasis": [0.5, 0.3, 0.4], "patch_discriminator": [0.1, 0.2, 0.3]}

    def __init__(self):
        self.called = []

    def __call__(self, command):
        _, _, name, *arguments = command
        flags = {}
        for flag, _, value in (a.partition("=") for a in arguments):
            flags.setdefault(flag, []).append(value)
        self.called.append((name, flags))
        if name == "oasis_tf.train":
            export = pathlib.Path(flags["--workdir"][0], "export/generator/7")
            export.mkdir(parents=True)
            (export / "saved_model.pb").touch()
        elif name == "oasis_tf.evaluate":
            out = pathlib.Path(flags["--out"][0])
            out.mkdir(parents=True)
            metrics = self.metrics(*out.name.rsplit("_", 1))
            (out / "metrics.json").write_text(json.dumps(metrics))
        process = Process(command)
        process.wait = lambda: 0
        return process

    def metrics(self, row, seed):
        miou = self.scores.get(row, [0.25])[int(seed)]
        noise = "none" if row == "no_noise" else "image"
        return {
            "num_images": 4,
            "notes": {"miou": "by another network"},
            "scores": {
                "segmenter": {
                    "fake": {"miou": miou, "accuracy": 0.75},
                    "real": {"miou": 0.9},
                },
                "statistics": {"overall": {"color_emd": 2, "texture_chi2": 1}},
                "diversity": {noise: {"mean": {"ms_ssim": 0.5}}},
            },
        }


class Drawer:
    """Stands for a trained generator."""

    def draw(self, label_maps, seeds):
        assert len(label_maps) == len(seeds) == 4
        return np.zeros([4, 16, 16, 3], np.uint8)


def test_every_row_is_run_as_often_as_told(experiment, tmp_path, monkeypatch):
    commands = Commands()
    monkeypatch.setattr(subprocess, "Popen", commands)
    monkeypatch.setattr(generator, "load_generator", lambda _: Drawer())
    flags = (experiment, "--steps=7", "--set=train.beta_1=0.5", "--out=a")
    done = trained.run("ablation", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    settings = {}
    for name, given in commands.called[1:]:
        if name == "oasis_tf.train":
            run = pathlib.Path(given["--workdir"][0]).name
            settings[run] = given["--set"]
    assert settings == {
        run: [
            "train.beta_1=0.5",
            f"train.seed={run[-1]}",
            *own,
            "train.num_steps=7",
        ]
        for run, own in {
            "oasis_0": [],
            "oasis_1": [],
            "oasis_2": [],
            "no_labelmix_0": ["train.lambda_labelmix=0"],
            "no_class_balancing_0": ["train.class_balancing=false"],
            "no_noise_0": ["generator.noise=none"],
            **{
                f"patch_discriminator_{seed}": [
                    "discriminator.kind=patch",
                    "discriminator.channels=64,128,256,512",
                ]
                for seed in range(3)
            },
        }.items()
    }
    # One segmenter for all, the one trained first.
    assert [name for name, _ in commands.called] == [
        "oasis_tf.train_segmenter",
        *["oasis_tf.train", "oasis_tf.evaluate"] * 9,
    ]
    for name, given in commands.called:
        if name == "oasis_tf.evaluate":
            assert given["--segmenter"] == ["a/segmenter/export"]
    rows = table(tmp_path / "a")
    assert list(rows) == ROWS
    assert [row["Runs"] for row in rows.values()] == list("31113")
    assert [row["mIoU ↑"] for row in rows.values()] == [
        "0.4 (0.3 to 0.5)",
        *["0.25"] * 3,
        "0.2 (0.1 to 0.3)",
    ]
    assert rows["no_noise"]["MS-SSIM ↓"] == "0.5"
    assert rows["oasis"]["FID of the segmenter ↓"] == "-"
    text = (tmp_path / "a/table.md").read_text()
    assert "mIoU on real images is 0.900" in text
    assert "mIoU and accuracy: by another network." in text
    # Two scales of 4 x 4 convolutions, with biases but no other weights.
    channels = (3 + tiny.SEMANTIC_CHANNELS, 64, 128, 256, 512, 1)
    num_weights = 2 * sum(
        (4 * 4 * before + 1) * after
        for before, after in zip(channels, channels[1:])
    )
    assert f"the patch discriminator {num_weights:,}." in text
    assert_pictures(tmp_path / "a")
    # Again, with a segmenter there: nothing is run.
    (tmp_path / "a/segmenter/export").mkdir(parents=True)
    num_called = len(commands.called)
    assert trained.run("ablation", *flags, cwd=tmp_path).returncode == 0
    assert len(commands.called) == num_called
    # Other settings, and other rows: refused.
    done = trained.run("ablation", *flags, "--steps=8", cwd=tmp_path)
    assert done.returncode == 2
    assert "train.num_steps: was 7, now 8" in done.stderr
    assert len(commands.called) == num_called


class Process:
    """Stands for a command that runs until a signal comes."""

    def __init__(self, command):
        self.command = command
        self.signals = []

    def wait(self):
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    def send_signal(self, number):
        self.signals.append(number)


def test_a_signal_stops_what_runs_and_then_the_command(
    experiment, tmp_path, monkeypatch
):
    processes = []

    def start(command):
        processes.append(Process(command))
        return processes[-1]

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(subprocess, "Popen", start)
    done = trained.run("ablation", experiment, "--out=a", cwd=tmp_path)
    assert done.returncode == 130
    assert "the same command goes on" in done.stderr
    (process,) = processes
    assert "oasis_tf.train_segmenter" in process.command
    assert process.signals == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_training_that_was_stopped_is_not_evaluated(
    experiment, tmp_path, monkeypatch
):
    """It exits with 0 then, and leaves no export."""
    names = []

    def start(command):
        names.append(command[2])
        process = Process(command)
        process.wait = lambda: 0
        return process

    monkeypatch.setattr(subprocess, "Popen", start)
    done = trained.run("ablation", experiment, "--out=a", cwd=tmp_path)
    assert done.returncode == 130
    assert names == ["oasis_tf.train_segmenter", "oasis_tf.train"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set=train.no_such=1"], "no_such"),
        (["--dataset=no_such"], "no_such"),
        (["--patch_channels=x"], "discriminator.channels"),
        (["--segmenter=nowhere"], "nowhere must be a SavedModel"),
        (["--segmenter_ids=classes"], "needs `--segmenter`"),
        (["--set=data.num_validation_scenes=3"], "Received: 3"),
        (["--set=generator.noise=none"], "Row 'no_noise' must lack"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    experiment, tmp_path, flags, message
):
    done = trained.run("ablation", experiment, *flags, "--out=a", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "a").exists()
