"""TFLite models: what they draw, where they run, what is refused."""

import functools
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from oasis_tf.data.label_map import one_hot
from oasis_tf.data.label_map import restore
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.exporters import comparison
from oasis_tf.exporters import tflite
from tests import tiny
from tests import trained

LABEL_MAPS = [
    np.asarray(label_map) for label_map in tiny.batch(size=6)["label_map"]
]
SIZE = LABEL_MAPS[0].shape


@functools.cache
def network(noise_kind):
    """Returns a config and a calm generator."""
    # Large enough for 8 bits: small kernels stay in float.
    sizes = {
        "channels": (32, 32, 24),
        "noise_channels": 2,
        "spade_channels": 16,
    }
    config = tiny.config(generator=sizes | {"noise": noise_kind})
    generator = trained.calm_generator(config)
    return config, generator


def export(path, precision="float32", size=SIZE, noise="image"):
    config, generator = network(noise)
    return tflite.export_generator(
        generator,
        config,
        Builder.INFO,
        path,
        precision,
        size,
        LABEL_MAPS,
        progress=lambda line: None,
    )


@pytest.fixture(scope="module")
def copy_of(tmp_path_factory):
    """Returns a function like `export`, which makes each model once."""

    @functools.cache
    def exported(*options):
        path = tmp_path_factory.mktemp("exported") / "model.tflite"
        return path, export(path, *options)

    def copy(path, precision="float32", size=SIZE, noise="image"):
        made, differences = exported(precision, size, noise)
        for suffix in (".tflite", ".json"):
            shutil.copy(made.with_suffix(suffix), path.with_suffix(suffix))
        return differences

    return copy


@pytest.mark.parametrize("size", [SIZE, None])
@pytest.mark.parametrize(
    ("precision", "least"),
    [("float32", 80), ("float16", 50), ("int8_dynamic", 30), ("int8", 20)],
)
def test_draws_what_the_network_draws(
    tmp_path, copy_of, precision, least, size
):
    path = tmp_path / "model.tflite"
    differences = copy_of(path, precision, size)
    assert set(differences) == {"synthesize", "resample"}
    model = tflite.Model(path.read_bytes())
    _, generator = network("image")
    signatures = json.loads((tmp_path / "model.json").read_text())["signatures"]
    assert set(signatures) == set(differences)
    for name in differences:
        # As another program would make its inputs, of the last map.
        label_map = LABEL_MAPS[-1][None]
        z, z_local = np.random.default_rng(5).normal(size=[2, 1, 2])
        inputs = {"label_map": label_map, "z": np.float32(z)}
        noise = np.tile(np.float32(z)[:, None, None], [1, *SIZE, 1])
        if name == "resample":
            mask = np.zeros([1, *SIZE], np.float32)
            mask[:, :, : SIZE[1] // 2] = 1
            inputs |= {"z_local": np.float32(z_local), "noise_mask": mask}
            noise[:, :, : SIZE[1] // 2] = z_local
        image = model.run(name, inputs)
        assert image.shape == (1, *SIZE, 3) and image.dtype == np.uint8
        assert image.std() > 30
        compared = comparison.Comparison(generator)
        compared.add(image, label_map, noise)
        assert compared.difference().psnr > least
        if precision == "float32":
            assert compared.difference().largest_value < 1e-4
            assert differences[name].largest_value < 1e-4


def test_any_size_is_any_that_the_network_works_in(tmp_path, copy_of):
    path = tmp_path / "model.tflite"
    copy_of(path, size=None)
    model = tflite.Model(path.read_bytes())
    _, generator = network("image")
    z = np.ones([1, 2], np.float32)
    for height, width in ((16, 16), (8, 24), (32, 16)):
        label_map = np.full([1, height, width], 3, np.int32)
        label_map[:, height // 2 :] = 1
        image = model.run("synthesize", {"label_map": label_map, "z": z})
        compared = comparison.Comparison(generator)
        compared.add(image, label_map, np.ones([1, height, width, 2], "f4"))
        assert compared.difference().largest_value < 1e-4


@pytest.mark.parametrize(
    ("noise", "signatures"),
    [("none", {"synthesize"}), ("pixel", {"synthesize", "resample"})],
)
def test_other_noise(tmp_path, copy_of, noise, signatures):
    differences = copy_of(tmp_path / "model.tflite", noise=noise)
    assert set(differences) == signatures


def test_smaller_precisions_are_smaller_files(tmp_path, copy_of):
    sizes = []
    for precision in ("float32", "float16", "int8_dynamic"):
        path = tmp_path / f"{precision}.tflite"
        copy_of(path, precision)
        sizes.append(path.stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


def test_runs_without_tensorflow(tmp_path, copy_of):
    path = tmp_path / "model.tflite"
    copy_of(path)
    program = f"""
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
import numpy as np
from ai_edge_litert.interpreter import Interpreter
runner = Interpreter({str(path)!r}).get_signature_runner("synthesize")
label_map = np.full([1, {SIZE[0]}, {SIZE[1]}], 2, np.int32)
image = runner(label_map=label_map, z=np.zeros([1, 2], np.float32))["image"]
print(image.shape, image.dtype)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.stdout == f"(1, {SIZE[0]}, {SIZE[1]}, 3) uint8\n", done.stderr


def test_beside_it_is_what_a_program_needs(tmp_path, copy_of):
    path = tmp_path / "model.tflite"
    differences = copy_of(path, "float16")
    facts = json.loads((tmp_path / "model.json").read_text())
    assert facts["dataset_info"]["class_names"] == list(
        Builder.INFO.class_names
    )
    assert facts["precision"] == "float16"
    assert facts["size"] == list(SIZE)
    assert facts["noise_channels"] == 2
    difference = facts["differences"]["synthesize"]
    assert difference["psnr"] == differences["synthesize"].psnr
    assert difference["num_images"] == 4


@pytest.mark.parametrize("precision", tflite.PRECISIONS)
def test_model_that_draws_something_else_is_not_kept(
    tmp_path, monkeypatch, precision
):
    run = tflite.Model.run
    monkeypatch.setattr(
        tflite.Model, "run", lambda *arguments: 255 - run(*arguments)
    )
    with pytest.raises(comparison.ConversionError, match=precision):
        export(tmp_path / "model.tflite", precision)
    assert not [*tmp_path.iterdir()]


def test_int8_is_compared_on_other_maps_than_it_is_calibrated_on(
    tmp_path, monkeypatch
):
    examples, calibrated = comparison.examples, []

    def noted(signature, label_maps):
        calibrated.append(label_maps)
        return examples(signature, label_maps)

    monkeypatch.setattr(tflite, "examples", noted)
    export(tmp_path / "model.tflite", "int8")
    assert calibrated
    for label_maps in calibrated:
        assert len(label_maps) == len(LABEL_MAPS) - comparison.NUM_COMPARED
        assert label_maps[0] is LABEL_MAPS[0]


def test_other_network_is_told_by_its_difference(tmp_path, monkeypatch):
    config, generator = network("image")
    other, _ = trained.networks()
    make = comparison.Comparison
    monkeypatch.setattr(
        comparison, "Comparison", lambda _, make=make: make(other)
    )
    with pytest.raises(comparison.ConversionError, match="at most 0.0001 from"):
        export(tmp_path / "model.tflite")
    with pytest.raises(
        comparison.ConversionError, match="PSNR of at least 40 dB"
    ):
        export(tmp_path / "model.tflite", "float16")
    assert not [*tmp_path.iterdir()]


def test_what_is_there_is_kept(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_text("mine")
    with pytest.raises(ValueError, match="must not be there yet"):
        export(path)
    assert path.read_text() == "mine"


def test_unknown_precision_is_told(tmp_path):
    with pytest.raises(ValueError, match="`precision` must be one of"):
        export(tmp_path / "model.tflite", "int4")


@pytest.mark.parametrize("keep", [0, 3, 100, 5000])
def test_truncated_file_is_a_clear_error(tmp_path, copy_of, keep):
    path = tmp_path / "model.tflite"
    copy_of(path)
    with pytest.raises(ValueError):
        tflite.Model(path.read_bytes()[:keep])


class TestExample:
    """`serving/examples/litert.py`, which has no TensorFlow."""

    def run(self, folder, *arguments):
        program = trained.ROOT / "serving/examples/litert.py"
        command = [sys.executable, str(program), *arguments]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True
        )

    @pytest.mark.parametrize("noise", ["image", "pixel", "none"])
    def test_draws_what_the_network_draws(self, tmp_path, copy_of, noise):
        copy_of(tmp_path / "model.tflite", noise=noise)
        file = Image.fromarray(np.uint8(restore(LABEL_MAPS[0], Builder.INFO)))
        file.save(tmp_path / "map.png")
        done = self.run(tmp_path, "model.tflite", "map.png", "3", "image.png")
        assert done.returncode == 0, done.stderr
        _, generator = network(noise)
        channels = generator.noise_channels
        shape = [1, *SIZE, channels] if noise == "pixel" else [1, channels]
        z = np.random.default_rng(3).standard_normal(shape)
        compared = comparison.Comparison(generator)
        compared.add(
            np.array(Image.open(tmp_path / "image.png"))[None],
            LABEL_MAPS[0][None],
            comparison.noise_of(
                "synthesize",
                {"label_map": LABEL_MAPS[0][None], "z": np.float32(z)},
            ),
        )
        assert compared.difference().largest_value < 1e-4

    def test_what_is_wrong_is_one_line(self, tmp_path, copy_of):
        path = tmp_path / "model.tflite"
        copy_of(path)
        (tmp_path / "cut.tflite").write_bytes(path.read_bytes()[:9000])
        facts = path.with_suffix(".json").read_text()
        (tmp_path / "cut.json").write_text(facts)
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "map.png")
        Image.fromarray(np.full(SIZE, 99, np.uint8)).save(tmp_path / "no.png")
        Image.fromarray(np.zeros([8, 12], np.uint8)).save(tmp_path / "wide.png")
        cut = (tmp_path / "map.png").read_bytes()[:45]
        (tmp_path / "cut.png").write_bytes(cut)
        (tmp_path / "bare.tflite").write_bytes(path.read_bytes())
        (tmp_path / "empty.tflite").write_bytes(path.read_bytes())
        (tmp_path / "empty.json").write_text("{}")
        for arguments, message in (
            (["model.tflite", "map.png", "x"], "number from 0. Received: x"),
            (["model.tflite", "map.png", "-3"], "number from 0. Received: -3"),
            (["none.tflite", "map.png", "3"], "none.tflite must be a TFLite"),
            (["bare.tflite", "map.png", "3"], "bare.json must be there"),
            (["empty.tflite", "map.png", "3"], "empty.json must be there"),
            (["model.tflite", "none.png", "3"], "none.png cannot be read"),
            (["model.tflite", "cut.png", "3"], "cut.png cannot be read"),
            (["model.tflite", "wide.png", "3"], "Received: 8 x 12"),
            (["model.tflite", "no.png", "3"], r"ids that are none: [99]"),
            (["cut.tflite", "map.png", "3"], "not a valid Flatbuffer"),
        ):
            done = self.run(tmp_path, *arguments, "image.png")
            assert done.returncode == 1
            assert message in done.stderr
            assert "Traceback" not in done.stderr


class TestDifference:
    @staticmethod
    def of(change):
        """Returns the difference of the Keras model's changed levels."""
        _, generator = network("image")
        compared = comparison.Comparison(generator)
        label_map = LABEL_MAPS[0][None]
        noise = np.zeros([1, *SIZE, 2], np.float32)
        drawn = generator(noise, one_hot(label_map, tiny.SEMANTIC_CHANNELS))
        levels = np.clip(127.5 * drawn.numpy() + 127.5, 0, 255).round()
        compared.add(np.uint8(change(levels)), label_map, noise)
        return compared.difference()

    def test_of_the_same(self):
        difference = self.of(lambda levels: levels)
        assert difference.psnr == float("inf")
        assert difference.largest_level == 0
        assert difference.largest_value == 0

    def test_of_one_level_everywhere(self):
        difference = self.of(
            lambda levels: np.where(levels > 100, levels - 1, levels + 1)
        )
        assert abs(difference.psnr - 48.13) < 0.01  # 20 log10(255).
        assert difference.largest_level == 1
        assert 0.5 / 127.5 <= difference.largest_value <= 1 / 127.5
