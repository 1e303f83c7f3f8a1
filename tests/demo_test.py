"""The demo, with networks too small to draw anything."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

_TINY = (
    "data.num_train_scenes=8",
    "data.num_validation_scenes=6",
    "generator.channels=8,8,4",
    "generator.noise_channels=2",
    "generator.spade_channels=4",
    "discriminator.channels=4,8",
    "discriminator.last_channels=4",
    "train.num_steps=3",
    "train.global_batch_size=2",
    "train.ema_statistics_batches=2",
)
_ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_demo_trains_exports_draws_and_says_where(tmp_path):
    command = [sys.executable, "-m", "oasis_tf.demo", f"--workdir={tmp_path}"]
    command += [f"--set={setting}" for setting in _TINY]
    command += [f"--set=data.prepared_dir={tmp_path / 'prepared'}"]
    done = subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"mIoU 0\.\d+", done.stdout)
    assert len(list((tmp_path / "examples").glob("map*.png"))) == 6
    for name in ("pictures.png", "segmentation.png", "losses.png"):
        assert str(tmp_path / name) in done.stdout
        # A drawn sheet has more than one colour.
        assert len(np.unique(np.asarray(Image.open(tmp_path / name)))) > 10
    assert (tmp_path / "export/generator/3/saved_model.pb").is_file()
