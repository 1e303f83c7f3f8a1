"""`python -m benchmarks.train_step`: variants, and a run of small ones."""

import re
import subprocess
import sys

import pytest

from benchmarks.variant import Variant
from tests import tiny

SMALL = (
    "--set=image_size=16,16",
    "--set=generator.channels=8,8,4",
    "--set=generator.spade_channels=4",
    "--set=discriminator.channels=4,8",
    "--set=train.global_batch_size=2",
    "--turns=2",
    "--steps=1",
)


def parse(name):
    return Variant.parse(tiny.CONFIG, name)


def test_a_variant_is_settings_and_where_they_run():
    variant = parse("train.accumulation_steps=2 replicas=3")
    assert variant.config.train.accumulation_steps == 2
    assert variant.replicas == 3
    assert variant.memory_format is None
    variant = parse("pytorch=channels_last train.global_batch_size=5")
    assert variant.config.train.global_batch_size == 5
    assert variant.memory_format == "channels_last"
    assert parse("pytorch").memory_format == "channels_first"
    variant = parse("TF_X=1=2 train.global_batch_size=5 A=")
    assert variant.environment == {"TF_X": "1=2", "A": ""}
    assert variant.config.train.global_batch_size == 5


@pytest.mark.parametrize(
    "name, message",
    [
        ("replicas=0", "`replicas` must be.*'replicas=0'"),
        ("replicas=two", "`replicas` must be.*'replicas=two'"),
        ("pytorch replicas=2", "one of.*'pytorch replicas=2'"),
        ("pytorch train.precision=mixed_bfloat16", "precision.*float32"),
        ("TF_X", "section.field=value.*'TF_X'"),
        ("tensorflow", "section.field=value.*'tensorflow'"),
    ],
)
def test_a_variant_that_is_none_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        parse(name)


@pytest.mark.slow
def test_a_run_writes_a_row_for_each_variant_and_a_plot(tmp_path):
    plot = tmp_path / "plot.png"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.train_step", *SMALL),
            *("--variant=train.precision=float32", "--variant=replicas=2"),
            f"--plot={plot}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    header, _, first, second = done.stdout.splitlines()
    assert header.startswith("| Variant | Images/s |")
    number = r"[\d.]+(?:e[+]\d+)?"
    row = (
        rf"\| (\S+) \| ({number}) \| {number} to {number} \| ({number}) \| "
        rf"({number}) GB \| ({number}) GB \|"
    )
    first, second = (re.fullmatch(row, line) for line in (first, second))
    assert first[1] == "train.precision=float32"
    assert second[1] == "replicas=2"
    assert float(first[3]) == 1  # Its ratio to itself.
    for found in (first, second):
        assert 0 < float(found[5]) < float(found[4]) < 5  # TensorFlow's GB.
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_what_is_no_variant_ends_the_command_with_a_line():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train_step", "--variant=replicas=0"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "train_step: `replicas` must be a number" in done.stderr
    assert "Traceback" not in done.stderr
