"""`python -m oasis_tf.export`."""

import json
import pathlib
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from oasis_tf.data.image import to_uint8
from oasis_tf.data.label_map import one_hot
from oasis_tf.models import noise as noise_lib
from tests import tiny
from tests import trained

LABEL_MAP = tiny.batch(size=1)["label_map"]


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as path:
        trained.make_workdir(pathlib.Path(path, "run"))
        yield pathlib.Path(path)


def run(folder, *arguments):
    return trained.run("export", "--workdir=run", *arguments, cwd=folder)


def draw(export):
    model = tf.saved_model.load(str(export))
    return model.signatures["synthesize"](
        label_map=LABEL_MAP, seed=tf.constant([3], tf.int64)
    )["image"].numpy()


def test_writes_both_models_for_a_server(folder):
    process = run(folder, "--out=models", "--version=12")
    assert process.returncode == 0, process.stderr
    generator = folder / "models/generator/12"
    segmenter = folder / "models/segmenter/12"
    assert f"generator: {generator.resolve()}" in process.stdout
    assert f"segmenter: {segmenter.resolve()}" in process.stdout
    # Nothing else: a server takes every number for a version.
    assert [p.name for p in generator.parent.iterdir()] == ["12"]
    model = tf.saved_model.load(str(segmenter))
    assert set(model.signatures) == {
        "serving_default",
        "segment",
        "segment_png",
        "describe",
    }


def test_draws_as_the_averaged_generator(folder):
    run(folder, "--out=average")
    generator, _ = trained.networks()
    z = noise_lib.sample_z(
        tf.zeros([2], tf.int32), tf.constant([3], tf.int64), 2
    )
    expected = to_uint8(
        generator(
            noise_lib.global_noise(z, (16, 16)),
            one_hot(LABEL_MAP, tiny.SEMANTIC_CHANNELS),
        )
    )
    # The step of the training is the version.
    np.testing.assert_array_equal(
        draw(folder / "average/generator/6"), expected
    )


def test_options_reach_the_model(folder):
    process = run(
        folder,
        "--out=small",
        "--name=landscapes",
        "--segmenter_name=landscapes_segmenter",
        "--weights=bfloat16",
        "--image_format=jpeg",
        "--max_pixels=1024",
    )
    assert process.returncode == 0, process.stderr
    path = folder / "small/landscapes/6/assets.extra/model.json"
    facts = json.loads(path.read_text())
    assert facts["image_format"] == "jpeg"
    assert facts["max_pixels"] == 1024
    sizes = [
        (parent / "variables/variables.data-00000-of-00001").stat().st_size
        for parent in (path.parents[1], folder / "run/export/generator/6")
    ]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # The generator's is there since the run's end.
        ([], r"--version=7 would be served instead"),
        (["--name=a/b"], "`--name` must be a name without / and :"),
        (["--name=segmenter"], "must differ. Received: 'segmenter'"),
        (["--workdir=missing"], "which does not exist"),
        (["--weights=int4"], "--weights"),
        (["--version=0"], "--version"),
        (["--out=run/config.json"], "`--out` must be a folder"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(folder, arguments, message):
    before = sorted(folder.glob("run/**/*"))
    process = run(folder, *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert sorted(folder.glob("run/**/*")) == before


def test_run_without_its_end_is_told(folder):
    unfinished = trained.make_workdir(folder / "unfinished")
    for path in (unfinished / "averaged").iterdir():
        path.unlink()
    process = run(folder, "--workdir=unfinished")
    assert process.returncode == 2
    assert "must be the work directory of a finished run" in process.stderr
