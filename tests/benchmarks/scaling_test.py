"""The tables of scaling.md, as they are printed."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *arguments],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """The path of an experiment with tiny networks."""
    path = tmp_path_factory.mktemp("experiment") / "experiment.py"
    path.write_text(
        "from tests import tiny\n\ndef get_config():\n    return tiny.CONFIG\n"
    )
    return path


def tables(text):
    """Returns a dict of title -> rows of cells, without the header."""
    found = {}
    for section in text.split("\n### ")[1:]:
        title, *lines = section.splitlines()
        lines = [line for line in lines if line.startswith("|")][2:]
        found[title.split(",")[0].split(" (")[0]] = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in lines
        ]
    return found


def test_costs_are_worked_out(experiment, tmp_path):
    plot = tmp_path / "plot.png"
    result = run(
        f"--dataset={experiment}",
        "--sizes=256,512",
        "--classes=5,7",
        "--regions=1",
        "--batches=1",
        "--replicas=1,2,64",
        f"--plot={plot}",
    )
    assert result.returncode == 0, result.stderr
    found = tables(result.stdout)
    assert {title: len(cells) for title, cells in found.items()} == {
        "Arithmetic of an image": 2 * 2,
        "The generator by neighbourhoods": 2,
        "Memory of the training step": 2 * 2,
        "The least times on one H100 SXM": 2 * 3,
        "What a step costs for any number of images": 2 + 4,
        # One GPU; two over each link; 64, which two links do not reach.
        "Replicas": 2 * (1 + 4 + 2),
    }
    small, large = (
        float(row[5]) for row in found["Arithmetic of an image"][:2]
    )
    assert small * 4 == pytest.approx(large, rel=0.1)  # But for rounding.
    for row in found["The generator by neighbourhoods"]:
        assert float(row[-1]) > 1.5  # One region has few neighbourhoods.
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_times_are_measured(experiment):
    result = run(
        f"--dataset={experiment}",
        "--sizes=16",
        "--classes=5",
        "--regions=1",
        "--measure",
        "--measured_sizes=16",
        "--shrink=2",
        "--turns=1",
    )
    assert result.returncode == 0, result.stderr
    found = tables(result.stdout)
    drawing = found["The dense generator of toy_scenes"]
    steps = found["The dense training step at 1/2 of the widths"]
    assert [row[:2] for row in drawing] == [["5", "16"]]
    assert [row[:3] for row in steps] == [["5", "16", "1"], ["5", "16", "2"]]


def test_an_unknown_experiment_is_refused_in_one_line():
    result = run("--dataset=nothing")
    assert result.returncode == 2
    assert re.search(
        r"^benchmarks.scaling: There must be a configuration",
        result.stderr,
        re.MULTILINE,
    )
