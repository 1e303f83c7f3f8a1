"""The folder for TensorFlow.js; what runs it is tests/web's matter."""

import base64
import hashlib
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from oasis_tf.data.image import to_uint8
from oasis_tf.data.label_map import one_hot
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.exporters import converter
from oasis_tf.exporters import tfjs
from oasis_tf.exporters.comparison import ConversionError
from oasis_tf.exporters.tfjs_graph import GraphModel
from tests import tiny
from tests import trained

LABEL_MAPS = [np.asarray(m) for m in tiny.batch(size=6)["label_map"]]
LABEL_MAP = LABEL_MAPS[0]


@pytest.fixture
def converted(monkeypatch):
    """Stands in for the converter; a list of its calls' arguments."""
    calls = []

    def convert(saved_model, signature, folder, arguments, progress):
        model = tf.saved_model.load(saved_model)
        calls.append((model.signatures[signature], arguments))
        folder.mkdir()
        graph = {"modelTopology": {"node": []}, "weightsManifest": []}
        (folder / "model.json").write_text(json.dumps(graph))
        (folder / "group1-shard1of1.bin").write_bytes(b"weights")

    class Model:
        """What it would draw."""

        def __init__(self, folder):
            self._signature = calls[-1][0]

        def run(self, inputs):
            return self._signature(
                **{name: tf.constant(value) for name, value in inputs.items()}
            )["image"].numpy()

    monkeypatch.setattr(converter, "convert", convert)
    monkeypatch.setattr(tfjs, "GraphModel", Model)
    return calls


def export(folder, config=tiny.CONFIG, precision="float32"):
    generator = trained.calm_generator(config)
    tfjs.export_generator(
        generator, config, Builder.INFO, folder, precision, LABEL_MAPS
    )
    return generator


def test_signature_draws_every_place_by_its_vector(tmp_path, converted):
    generator = export(tmp_path / "model")
    [(signature, _)] = converted
    z = np.random.default_rng(0).normal(size=[1, 3, 2]).astype(np.float32)
    place_map = np.arange(256).reshape(1, 16, 16) % 3
    image = signature(
        label_map=tf.constant(LABEL_MAP[None]),
        z=tf.constant(z),
        place_map=tf.constant(place_map, tf.int32),
    )["image"]
    expected = generator(
        z[0][place_map], one_hot(LABEL_MAP[None], tiny.SEMANTIC_CHANNELS)
    )
    largest = np.abs(
        image.numpy().astype(int) - to_uint8(expected).numpy()
    ).max()
    assert largest <= 1


@pytest.mark.parametrize("noise", ["image", "none"])
def test_check_is_the_network_s_picture(tmp_path, converted, noise):
    config = tiny.config(generator={"noise": noise})
    generator = export(tmp_path / "model", config)
    check = json.loads((tmp_path / "model/check.json").read_text())
    inputs = {
        name: np.array(i["values"], i["dtype"]).reshape(i["shape"])
        for name, i in check["inputs"].items()
    }
    if noise == "none":
        assert set(inputs) == {"label_map"}
        noise_map = np.zeros([1, 16, 16, 0], np.float32)
    else:
        assert len(np.unique(inputs["place_map"])) == 2
        noise_map = inputs["z"][0][inputs["place_map"]]
    expected = generator(
        noise_map, one_hot(inputs["label_map"], tiny.SEMANTIC_CHANNELS)
    )
    image = np.frombuffer(base64.b64decode(check["image"]), np.uint8)
    np.testing.assert_array_equal(image, np.ravel(to_uint8(expected)))


def test_sums_of_all_files_are_told(tmp_path, converted):
    export(tmp_path / "model")
    facts = json.loads((tmp_path / "model/oasis.json").read_text())
    assert set(facts["files"]) == {
        "model.json",
        "group1-shard1of1.bin",
        "check.json",
    }
    for name, told in facts["files"].items():
        content = (tmp_path / "model" / name).read_bytes()
        assert told["num_bytes"] == len(content)
        assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert facts["dataset_info"]["name"] == "toy_scenes"
    assert list(facts["signatures"]) == ["synthesize_places"]


def test_float16_is_the_converter_s_matter(tmp_path, converted):
    export(tmp_path / "model", precision="float16")
    [(_, arguments)] = converted
    assert arguments == ["--quantize_float16=*"]


def test_difference_is_told_and_kept(tmp_path, converted):
    generator = trained.calm_generator()
    differences = tfjs.export_generator(
        *(generator, tiny.CONFIG, Builder.INFO, tmp_path / "model"),
        *("float32", LABEL_MAPS),
    )
    difference = differences["synthesize_places"]
    assert difference.num_images == 4
    assert difference.largest_value < 1e-4
    facts = json.loads((tmp_path / "model/oasis.json").read_text())
    told = facts["differences"]["synthesize_places"]
    assert told["largest_value"] == difference.largest_value


def test_model_that_draws_something_else_is_not_kept(
    tmp_path, converted, monkeypatch
):
    run = tfjs.GraphModel.run
    monkeypatch.setattr(
        tfjs.GraphModel, "run", lambda self, inputs: 255 - run(self, inputs)
    )
    with pytest.raises(ConversionError, match="at most 0.0001 from"):
        export(tmp_path / "model")
    with pytest.raises(ConversionError, match="at least 40 dB"):
        export(tmp_path / "model", precision="float16")
    assert not [*tmp_path.iterdir()]


def test_without_label_maps_it_is_told(tmp_path):
    with pytest.raises(ValueError, match="must have one label map at least"):
        tfjs.export_generator(
            *(trained.calm_generator(), tiny.CONFIG, Builder.INFO),
            *(tmp_path / "model", "float32", []),
        )


def test_failed_conversion_leaves_nothing(tmp_path, monkeypatch):
    def convert(*_):
        raise converter.InstallationError("No.")

    monkeypatch.setattr(converter, "convert", convert)
    with pytest.raises(converter.InstallationError):
        export(tmp_path / "models/model")
    assert not [*(tmp_path / "models").iterdir()]


def test_what_is_there_is_kept(tmp_path, converted):
    export(tmp_path / "model")
    before = (tmp_path / "model/oasis.json").read_text()
    with pytest.raises(ValueError, match="must not be there yet"):
        export(tmp_path / "model", precision="float16")
    assert (tmp_path / "model/oasis.json").read_text() == before


def test_unknown_precision_is_told(tmp_path):
    with pytest.raises(ValueError, match="must be one of float32, float16"):
        export(tmp_path / "model", precision="int8")


class TestGraphModel:
    """What TensorFlow makes of the files, of a model that is kept."""

    FOLDER = trained.ROOT / "tests/web/model"

    def inputs(self):
        check = json.loads((self.FOLDER / "check.json").read_text())
        inputs = {
            name: np.array(i["values"], i["dtype"]).reshape(i["shape"])
            for name, i in check["inputs"].items()
        }
        image = np.frombuffer(base64.b64decode(check["image"]), np.uint8)
        return inputs, image.astype(int)

    def test_draws_what_the_network_draws(self):
        inputs, expected = self.inputs()
        image = GraphModel(self.FOLDER).run(inputs)
        assert image.dtype == np.uint8
        assert np.abs(image.ravel() - expected).max() <= 1

    def test_stored_halves_are_read(self, tmp_path):
        inputs, expected = self.inputs()
        model = json.loads((self.FOLDER / "model.json").read_text())
        [group] = model["weightsManifest"]
        content = (self.FOLDER / group["paths"][0]).read_bytes()
        start, halves = 0, b""
        for weight in group["weights"]:
            count = int(np.prod(weight["shape"], dtype=int))
            values = np.frombuffer(content, weight["dtype"], count, start)
            start += values.nbytes
            if weight["dtype"] == "float32":
                values = values.astype(np.float16)
                weight["quantization"] = {
                    "dtype": "float16",
                    "original_dtype": "float32",
                }
            halves += values.tobytes()
        (tmp_path / "model.json").write_text(json.dumps(model))
        (tmp_path / group["paths"][0]).write_bytes(halves)
        image = GraphModel(tmp_path).run(inputs)
        assert 1 <= np.abs(image.ravel() - expected).max() <= 4


class TestSums:
    """Sums of feature maps that the converter took for biases."""

    def convolution(self, bias, *fused):
        operations = [base64.b64encode(f.encode()).decode() for f in fused]
        attributes = {"fused_ops": {"list": {"s": operations}}}
        attributes |= {"leakyrelu_alpha": {"f": 0.2}, "T": {"type": "F"}}
        for key in ("strides", "padding", "data_format", "dilations"):
            attributes[key] = {"s": key}
        return {
            "name": "c",
            "op": "_FusedConv2D",
            "input": ["x", "kernel", bias],
            "attr": attributes,
        }

    def split(self, folder, bias, *fused):
        others = [
            {"name": "b", "op": "Const"},
            {"name": "map", "op": "Relu", "input": ["y"]},
        ]
        nodes = [*others, self.convolution(bias, *fused)]
        path = folder / "model.json"
        path.write_text(json.dumps({"modelTopology": {"node": nodes}}))
        tfjs._split_sums(path)
        nodes = json.loads(path.read_text())["modelTopology"]["node"]
        assert nodes[:2] == others
        return nodes[2:]

    def test_biases_stay(self, tmp_path):
        [node] = self.split(tmp_path, "b", "BiasAdd")
        assert node == self.convolution("b", "BiasAdd")

    def test_sum_becomes_an_operation(self, tmp_path):
        convolution, total = self.split(tmp_path, "map", "BiasAdd")
        assert (convolution["op"], total["op"]) == ("Conv2D", "AddV2")
        assert convolution["input"] == ["x", "kernel"]
        assert total["input"] == [convolution["name"], "map"]
        assert total["name"] == "c"  # As others ask for it.
        assert "fused_ops" not in convolution["attr"]

    def test_activation_comes_after_it(self, tmp_path):
        nodes = self.split(tmp_path, "map", "BiasAdd", "LeakyRelu")
        assert [n["op"] for n in nodes] == ["Conv2D", "AddV2", "LeakyRelu"]
        assert nodes[2]["input"] == [nodes[1]["name"]]
        assert nodes[2]["name"] == "c"
        assert nodes[2]["attr"]["alpha"] == {"f": 0.2}

    def test_other_activations_are_told(self, tmp_path):
        with pytest.raises(converter.InstallationError, match="BiasAdd, Elu"):
            self.split(tmp_path, "map", "BiasAdd", "Elu")


class TestConverter:
    @pytest.fixture
    def cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        return tmp_path / "oasis_tf/tfjs_converter"

    def convert(self, told=None):
        progress = told.append if told is not None else print
        converter.convert("in", "serve", "out", ["--more"], progress)

    def fake_run(self, monkeypatch):
        """Returns a list of the commands that would have been run."""
        commands = []

        def run(command, must):
            commands.append([str(part) for part in command])
            if "venv" in commands[-1]:
                pathlib.Path(command[-1]).mkdir(parents=True)

        monkeypatch.setattr(converter, "run", run)
        return commands

    def test_without_a_package_index_says_so(self, cache, monkeypatch):
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        message = "must be installed once, for which pip needs its package"
        with pytest.raises(converter.InstallationError, match=message) as error:
            self.convert()
        assert "No matching distribution" in str(error.value)
        # The next attempt starts anew.
        assert not (cache / ".ready").exists()

    def test_environment_is_made_once(self, cache, monkeypatch):
        commands, told = self.fake_run(monkeypatch), []
        self.convert(told)
        self.convert()
        assert [c[1:3] for c in commands[:2]] == [["-m", "venv"], ["-m", "pip"]]
        assert len(commands) == 4
        assert commands[2] == commands[3]
        assert commands[3][0] == str(cache / "bin/python")
        assert commands[3][-3:] == ["--more", "in", "out"]
        assert "3 GB" in told[0]

    def test_environment_of_other_versions_is_made_anew(
        self, cache, monkeypatch
    ):
        commands = self.fake_run(monkeypatch)
        self.convert()
        (cache / ".ready").write_text("tensorflowjs==4.21.0")
        (cache / "old").touch()
        self.convert()
        assert len(commands) == 6
        assert not (cache / "old").exists()

    def test_other_python_is_looked_for(self, cache, monkeypatch):
        commands = self.fake_run(monkeypatch)
        monkeypatch.setattr(converter.sys, "version_info", (3, 13, 1))
        monkeypatch.setattr(
            converter.shutil, "which", lambda name: name == "python3.11"
        )
        self.convert()
        assert commands[0][0] == "python3.11"

    def test_no_such_python_is_told(self, cache, monkeypatch):
        monkeypatch.setattr(converter.sys, "version_info", (3, 13, 1))
        monkeypatch.setattr(converter.shutil, "which", lambda name: None)
        with pytest.raises(converter.InstallationError, match="python3.12"):
            self.convert()

    def test_what_the_converter_says_is_told(self, cache, monkeypatch):
        (cache.parent / "bin").mkdir(parents=True)
        program = cache.parent / "bin/python"
        program.write_text("#!/bin/sh\necho Unsupported Ops: X >&2; exit 3\n")
        program.chmod(0o755)
        monkeypatch.setattr(
            converter, "_environment", lambda progress: cache.parent
        )
        message = "must take the model. Received exit code 3:\nUnsupported Ops"
        with pytest.raises(converter.InstallationError, match=message):
            self.convert()
