"""The benchmark of the input pipeline, as it is started."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def run(*arguments):
    """Returns what `benchmarks.input_pipeline` prints."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.input_pipeline", *arguments],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_measures_each_number_of_workers_and_each_stage(tmp_path):
    plot = tmp_path / "plot.png"
    text = run(
        "--workers=1,2",
        "--turns=1",
        "--batches=1",
        "--num_images=2",
        "--set=train.global_batch_size=2",
        f"--plot={plot}",
    )
    rows = re.findall(r"^\| (\d) \| ([\d.]+) \| .* \| ([\d.]+) \|$", text, re.M)
    assert [row[0] for row in rows] == ["1", "2"]
    assert all(float(rate) > 0 for row in rows for rate in row[1:])
    stages = re.findall(r"^\| ([a-z ,]+) \| ([\d.]+) \| ", text, re.M)
    assert [name for name, _ in stages] == [
        "read",
        "decode the image",
        "decode the label map",
        "resize and crop the image",
        "resize and crop the label map",
        "flip both, of every second one",
        "all",
    ]
    times = [float(ms) for _, ms in stages]
    assert abs(sum(times[:-1]) - times[-1]) < 0.05  # But for rounding.
    assert plot.read_bytes().startswith(b"\x89PNG")
