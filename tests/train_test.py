"""The command `train`, in processes of its own."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf

_ROOT = pathlib.Path(__file__).parents[1]

_EXPERIMENT = """
from tests import tiny

def get_config():
    return tiny.config(
        generator={"channels": (4, 4)},
        discriminator={"channels": (4, 4)},
        train={"num_steps": %d},
        log={"checkpoint_every": 20},
    )
"""
NUM_STEPS = 400
PATIENCE = 300  # Seconds.


@pytest.fixture
def start(tmp_path):
    """Function that starts the command; all are ended after the test."""
    (tmp_path / "tiny_scenes.py").write_text(_EXPERIMENT % NUM_STEPS)
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            with (tmp_path / "stderr.txt").open("w") as stderr:
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "oasis_tf.train"),
                        "--dataset=tiny_scenes.py",
                        "--workdir=run",
                        f"--set=data.prepared_dir={tmp_path / 'prepared'}",
                        *arguments,
                    ],
                    env=os.environ
                    | {"PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"},
                    cwd=tmp_path,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
            stack.enter_context(process)  # Closes its pipe, waits for it.
            stack.callback(process.kill)
            return process

        yield start


def finish(process, tmp_path):
    """Waits for a process; returns its status and what it printed."""
    stdout, _ = process.communicate(timeout=PATIENCE)
    stderr = (tmp_path / "stderr.txt").read_text()
    assert "Traceback" not in stderr, stderr
    return process.returncode, stdout, stderr


def newest_step(tmp_path):
    steps = [
        int(path.stem.partition("-")[2])
        for path in tmp_path.glob("run/checkpoints/step-*.index")
    ]
    return max(steps, default=0)


def wait_for_checkpoint(process, tmp_path):
    deadline = time.monotonic() + PATIENCE
    while not newest_step(tmp_path):
        assert process.poll() is None, (tmp_path / "stderr.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def logged_steps(tmp_path):
    lines = (tmp_path / "run/losses.csv").read_text().splitlines()
    return [float(line.partition(",")[0]) for line in lines[1:]]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dataset=toy_scnes"], "Received: 'toy_scnes'; there are: ade20k,"),
        (["--set=train.num_stepz=3"], "Received: 'num_stepz'"),
        (["--wrkdir=x"], "Unknown command line flag 'wrkdir'"),
        (["resume"], "Unknown arguments: resume"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(
    start, tmp_path, arguments, message
):
    status, _, stderr = finish(start(*arguments), tmp_path)
    assert status == 2, stderr
    (line,) = [x for x in stderr.splitlines() if "oasis_tf.train:" in x]
    assert message in line


def test_sizes_and_data_that_do_not_fit_exit_with_2(start, tmp_path):
    status, _, stderr = finish(start("--set=image_size=16,18"), tmp_path)
    assert status == 2, stderr
    assert "`image_size` must be multiples of 4" in stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_exits_with_0(start, tmp_path):
    process = start("--set=train.num_steps=1000000")
    wait_for_checkpoint(process, tmp_path)
    process.send_signal(signal.SIGTERM)
    status, stdout, stderr = finish(process, tmp_path)
    assert status == 0, stderr
    assert "; the same command goes on from" in stdout
    assert newest_step(tmp_path) == logged_steps(tmp_path)[-1]


@pytest.mark.slow
def test_killed_run_goes_on_by_the_same_command(start, tmp_path):
    process = start()
    wait_for_checkpoint(process, tmp_path)
    process.kill()
    process.wait()
    killed_at = newest_step(tmp_path)
    assert 0 < killed_at < NUM_STEPS
    status, stdout, stderr = finish(start(), tmp_path)
    assert status == 0, stderr
    assert "Going on from" in stderr
    assert logged_steps(tmp_path) == list(range(1, NUM_STEPS + 1))
    export = tmp_path / f"run/export/generator/{NUM_STEPS}"
    assert f"Export: run/export/generator/{NUM_STEPS}" in stdout
    model = tf.saved_model.load(str(export))
    image = model.signatures["synthesize"](
        label_map=tf.zeros([1, 16, 16], tf.int32),
        seed=tf.constant([1], tf.int64),
    )["image"]
    assert image.shape == (1, 16, 16, 3)


@pytest.mark.slow
def test_truncated_newest_checkpoint_falls_back_and_says_so(start, tmp_path):
    process = start()
    while newest_step(tmp_path) < 40:
        wait_for_checkpoint(process, tmp_path)
    process.kill()
    process.wait()
    newest = newest_step(tmp_path)
    data = tmp_path / f"run/checkpoints/step-{newest}.data-00000-of-00001"
    os.truncate(data, data.stat().st_size // 2)
    status, _, stderr = finish(start(), tmp_path)
    assert status == 0, stderr
    assert f"step-{newest}: expected a whole checkpoint" in stderr
    assert f"Going on from run/checkpoints/step-{newest - 20}" in stderr


@pytest.mark.slow
def test_changed_settings_are_refused_with_2(start, tmp_path):
    finish(start("--set=train.num_steps=1"), tmp_path)
    status, _, stderr = finish(start("--set=train.ema_decay=0.5"), tmp_path)
    assert status == 2
    assert "train.ema_decay: was 0.9, now 0.5" in stderr


@pytest.mark.slow
def test_non_finite_loss_ends_the_run_with_1(start, tmp_path):
    # Weights of 1e30 square to infinity in the discriminator's update.
    status, _, stderr = finish(start("--set=train.generator_lr=1e30"), tmp_path)
    assert status == 1
    assert "oasis_tf.train: Step 1: the loss discriminator/" in stderr
    assert newest_step(tmp_path) == 0


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
