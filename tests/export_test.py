"""`python -m oasis_tf.export`."""

import json
import pathlib
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from oasis_tf.data.image import to_uint8
from oasis_tf.data.label_map import one_hot
from oasis_tf.exporters import converter
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
        (
            ["--weights=float16", "--convolutions=winograd"],
            "`--convolutions=winograd` must go with `--weights=float32`",
        ),
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


@pytest.fixture(scope="module")
def calm_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("calm")
    trained.make_workdir(path / "run", generator=trained.calm_generator())
    return path


def test_tflite_of_generated_data_is_held_against_it(calm_folder):
    process = trained.run_process(
        "export",
        *("--workdir=run", "--format=tflite", "--precision=int8"),
        "--out=light",
        cwd=calm_folder,
    )
    assert process.returncode == 0, process.stderr
    assert "resample: PSNR" in process.stdout
    assert "dB, of the worst of 3 pictures" in process.stdout
    path = (
        calm_folder / "light/tflite/generator-6-16x16-int8.tflite"
    ).resolve()
    assert f"MB: {path}" in process.stdout
    assert json.loads(path.with_suffix(".json").read_text())["size"] == [16, 16]


def test_tflite_of_any_size_and_name(calm_folder):
    trained.save_scene(calm_folder / "scenes")
    arguments = "--format=tflite", "--size=any", "--name=scenes", "--version=3"
    arguments += ("--label_maps=scenes/map5.png",)
    process = run(calm_folder, *arguments)
    assert process.returncode == 0, process.stderr
    path = calm_folder / "run/export/tflite/scenes-3-any-float32.tflite"
    assert path.is_file()
    again = run(calm_folder, *arguments)
    assert again.returncode == 2
    assert "must not be there yet" in again.stderr
    # A server does not take it for a model.
    assert not [p for p in path.parent.iterdir() if p.name.isdigit()]


def test_label_maps_of_a_folder_are_taken(calm_folder):
    trained.save_scene(calm_folder / "maps", size=(40, 24))
    arguments = "--format=tflite", "--precision=int8", "--out=given"
    process = run(calm_folder, *arguments, "--label_maps=maps/map5.png")
    assert process.returncode == 0, process.stderr
    bad = run(calm_folder, *arguments, "--version=9", "--label_maps=maps")
    assert bad.returncode == 2  # The photo beside it is no label map.
    assert "photo5.png" in bad.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights=float16"], "`--weights` must go without `--format=tflit"),
        (["--size=20,20,3"], "`--size` must be height,width or any"),
        (["--size=17,16"], "must be multiples of 2; (16, 16) would do"),
        (["--label_maps=nowhere.png"], "nowhere.png"),
        (["--label_maps=run/checkpoints"], "without .bmp"),
    ],
)
def test_wrong_options_of_tflite_are_told(calm_folder, arguments, message):
    process = run(calm_folder, "--format=tflite", "--out=wrong", *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert not [*calm_folder.glob("wrong/**/*.tflite")]


def test_real_label_maps_are_needed_for_int8(calm_folder, tmp_path):
    config = tiny.config(dataset="folder")
    trained.make_workdir(tmp_path / "run", config)
    process = run(tmp_path, "--format=tflite", "--precision=int8")
    assert process.returncode == 2
    assert "`--label_maps` is needed for --precision=int8" in process.stderr
    process = run(tmp_path, "--format=tflite")
    assert process.returncode == 0, process.stderr
    assert "regions of random labels stand in" in process.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision=int8"], "must be one of float32, float16. Received: 'i"),
        (["--size=16,16"], "`--size` must go without `--format=tfjs`"),
    ],
)
def test_wrong_options_of_tfjs_are_told(calm_folder, arguments, message):
    process = run(calm_folder, "--format=tfjs", *arguments)
    assert process.returncode == 2
    assert message in process.stderr


def test_failed_conversion_exits_with_1(calm_folder, monkeypatch):
    def convert(*_):
        raise converter.InstallationError("No converter.")

    monkeypatch.setattr(converter, "convert", convert)
    trained.save_scene(calm_folder / "scenes")
    process = run(calm_folder, "--format=tfjs", "--label_maps=scenes/map5.png")
    assert process.returncode == 1
    assert "oasis_tf.export: No converter." in process.stderr
