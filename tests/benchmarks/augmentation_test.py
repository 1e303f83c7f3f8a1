"""`python -m benchmarks.augmentation`, on a handful of scenes."""

import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from tests import trained

EXPERIMENT = """
import dataclasses

from tests import tiny


def get_config():
    train = dataclasses.replace(tiny.CONFIG.train, num_steps=2)
    data = dataclasses.replace(tiny.CONFIG.data, num_validation_scenes=4)
    return dataclasses.replace(tiny.CONFIG, train=train, data=data)
"""


def run(cwd, *flags):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.augmentation", *flags],
        cwd=cwd,
        env=trained.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_compares_segmenters_with_and_without_drawn_images(tmp_path):
    pathlib.Path(tmp_path, "tiny_experiment.py").write_text(EXPERIMENT)
    flags = (
        "--dataset=tiny_experiment.py",
        "--real_images=5",
        "--per_image=2",
        "--segmenter_steps=2",
        "--set=data.flip=false",
        "--seeds=1",
        "--out=a",
    )
    done = run(tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (tmp_path / "a/table.md").read_text().splitlines()[2:]
    ]
    assert [row[:3] for row in rows] == [
        ["real images alone", "5", "1"],
        ["real and drawn images", "15", "1"],
    ]
    with Image.open(tmp_path / "a/class_iou.png") as picture:
        assert min(picture.size) > 100
    # Again: nothing is trained.
    before = models(tmp_path / "a")
    assert len(before) == 4  # A generator, its segmenter, and two judges.
    done = run(tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert models(tmp_path / "a") == before


def models(folder):
    """Returns when each was written."""
    return {
        path: path.stat().st_mtime_ns for path in folder.rglob("saved_model.pb")
    }


def test_mistakes_are_told_in_a_line(tmp_path):
    done = run(tmp_path, "--dataset=no_such", "--out=a")
    assert done.returncode == 2
    assert "no_such" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()
