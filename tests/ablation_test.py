"""`python -m oasis_tf.ablation`: rows, runs, table and pictures."""

import pathlib

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


@pytest.mark.slow
def test_table_of_all_rows(tmp_path):
    pathlib.Path(tmp_path, "tiny_experiment.py").write_text(EXPERIMENT)
    flags = (
        "--dataset=tiny_experiment.py",
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


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set=train.no_such=1"], "no_such"),
        (["--dataset=no_such"], "no_such"),
        (["--patch_channels=x"], "discriminator.channels"),
    ],
)
def test_mistakes_are_told_before_anything_runs(tmp_path, flags, message):
    done = trained.run("ablation", *flags, "--out=a", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "a").exists()
