"""`python -m oasis_tf.ablation`: rows, runs, table and pictures."""

import os
import pathlib
import signal
import subprocess

import pytest
from PIL import Image

from oasis_tf import processor
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
        "--seeds=2",
        "--segmenter_steps=2",
        "--patch_channels=4,8",
        "--out=a",
    )
    done = trained.run_process("ablation", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (tmp_path / "a/table.md").read_text().splitlines()
        if line.startswith("| ")
    ][2:]
    assert [(row[0], row[1]) for row in rows] == [
        ("oasis", "2"),
        ("no_labelmix", "1"),
        ("no_class_balancing", "1"),
        ("no_noise", "1"),
        ("patch_discriminator", "2"),
    ]
    # Without noise all pictures of a map are the same.
    assert float(rows[3][7]) == pytest.approx(1, abs=1e-3)
    for name in ("scores", "pictures"):
        with Image.open(tmp_path / f"a/{name}.png") as picture:
            assert min(picture.size) > 200
    # Again: nothing is run.
    before = (tmp_path / "a/runs/oasis_0/losses.csv").stat().st_mtime_ns
    assert trained.run_process("ablation", *flags, cwd=tmp_path).returncode == 0
    after = (tmp_path / "a/runs/oasis_0/losses.csv").stat().st_mtime_ns
    assert before == after


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
    ],
)
def test_mistakes_are_told_before_anything_runs(
    experiment, tmp_path, flags, message
):
    done = trained.run("ablation", experiment, *flags, "--out=a", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "a").exists()
