"""Programs for accelerators: lowered, run without TensorFlow, loaded back.

Running them takes an interpreter with JAX and NumPy: this one, or that in the
environment variable OASIS_TF_JAX_PYTHON. Besides, TensorFlow's own XLA runs the
same text, so that the order of arguments and results is tested without JAX.
"""

import contextlib
import csv
import dataclasses
import importlib.util
import io
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import types
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from tensorflow.compiler.tf2xla.python import xla

from benchmarks.accelerator import flops
from benchmarks.accelerator import program as program_lib
from benchmarks.accelerator import run
from oasis_tf import config as config_lib
from oasis_tf import processor
from oasis_tf.data.label_map import one_hot
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.inference import networks
from oasis_tf.models import convolution
from oasis_tf.models.generator import build_generator
from oasis_tf.models.noise import global_noise
from oasis_tf.training import checkpoint
from oasis_tf.training import loop
from oasis_tf.training.train_step import compile_step
from oasis_tf.training.train_step import create_state
from tests import tiny

S = tiny.SEMANTIC_CHANNELS
NUM_STEPS = 3
# Losses that move within a few steps, and little to compile.
EXPERIMENT = f"""
from tests import tiny

def get_config():
    return tiny.config(
        generator={{"channels": (4, 4), "initial_gain": 1.0}},
        discriminator={{"channels": (4, 4), "initial_gain": 1.0}},
        train={{
            "generator_lr": 2e-3,
            "discriminator_lr": 2e-3,
            "num_steps": {NUM_STEPS},
        }},
    )
"""
LOSSES = [
    "discriminator/fake",
    "discriminator/labelmix",
    "discriminator/real",
    "generator/adversarial",
]
# What a step reads and does not change.
RATES = {
    "generator_optimizer/adam/learning_rate",
    "discriminator_optimizer/adam/learning_rate",
}


def command(name, *arguments):
    """Runs a command of the folder here; returns 0 or its message."""
    argv = [f"accelerator/{name}.py", *map(str, arguments)]
    stderr = io.StringIO()
    try:
        with (
            mock.patch.object(sys, "argv", argv),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(stderr),
        ):
            runpy.run_module(
                f"benchmarks.accelerator.{name}",
                run_name="__main__",
                alter_sys=True,
            )
    except SystemExit as exit_:
        return stderr.getvalue() if exit_.code else 0
    finally:
        # Its own only, and not those of what it is the first to import.
        mine = {
            flag.name
            for module, found in flags.FLAGS.flags_by_module_dict().items()
            for flag in found
            if module.endswith(f"accelerator/{name}.py")
        }
        flags.FLAGS.remove_flag_values(mine & set(flags.FLAGS))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A configuration, its packed data and its two programs."""
    root = tmp_path_factory.mktemp("accelerator")
    made = types.SimpleNamespace(
        experiment=root / "experiment.py",
        data=root / "data.npz",
        step=root / "step",
        generator=root / "generator",
    )
    made.experiment.write_text(EXPERIMENT)
    made.config = config_lib.load(str(made.experiment))
    dataset = f"--dataset={made.experiment}"
    assert command("pack", dataset, f"--out={made.data}") == 0
    for program, out in (
        ("train_step", made.step),
        ("generator", made.generator),
    ):
        arguments = f"--program={program}", f"--data={made.data}"
        assert command("lower", dataset, *arguments, f"--out={out}") == 0
    made.manifest = run.read_manifest(made.step)
    return made


def read(path):
    with np.load(path) as arrays:
        return dict(arrays)


def state_values(state):
    variables = program_lib.state_variables(state)
    return {name: variable.numpy() for name, variable in variables.items()}


def fill(state):
    """Gives every float variable of a state other, positive values."""
    rng = np.random.default_rng(1)
    for variable in program_lib.state_variables(state).values():
        if variable.dtype.is_floating:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype, name
        np.testing.assert_array_equal(actual[name], value, name)


def names(entries, *kinds):
    return [entry["name"] for entry in entries if entry["kind"] in kinds]


class StandIn:
    """Does as `run.Executable`, by TensorFlow's XLA."""

    peak_bytes = None

    def __init__(self, text, arguments, results):
        self._arguments, self._results = arguments, results

        @tf.function(jit_compile=True)
        def function(*values):
            return xla.call_module(
                values,
                version=9,
                module=text,
                Tout=[tf.as_dtype(result["dtype"]) for result in results],
                Sout=[result["shape"] for result in results],
                platforms=["CPU"],
            )

        self._function = function

    def put(self, arrays):
        return {name: tf.constant(value) for name, value in arrays.items()}

    def __call__(self, inputs, variables):
        values = self._function(
            *(
                tf.constant((inputs | variables)[a["name"]], a["dtype"])
                for a in self._arguments
            )
        )
        outputs = {}
        for result, value in zip(self._results, values, strict=True):
            is_update = result["kind"] == "update"
            (variables if is_update else outputs)[result["name"]] = value
        return outputs


class TestLower:
    def test_convolutions_are_not_those_for_cpus(
        self, files, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(
            processor, "is_onednn_slow_in_copying", lambda: True
        )
        arguments = (
            f"--dataset={files.experiment}",
            f"--data={files.data}",
            "--program=train_step",
            f"--out={tmp_path / 'step'}",
        )
        with mock.patch.object(convolution, "without_copies") as entered:
            assert command("lower", *arguments) == 0
        entered.assert_not_called()

    def test_arguments_are_the_inputs_and_then_the_variables(self, files):
        state = program_lib.state_variables(create_state(files.config, S))
        arguments = files.manifest["arguments"]
        kinds = [argument["kind"] for argument in arguments]
        assert kinds == ["input"] * 3 + ["variable"] * (len(kinds) - 3)
        assert names(arguments, "input") == [
            "image",
            "label_map",
            "sample_number",
        ]
        # Only what falling learning rates would ask for is not used.
        variables = names(arguments, "variable")
        assert sorted(variables) == sorted(state.keys() - {"last_step"})
        for argument in arguments[3:]:
            variable = state[argument["name"]]
            assert tuple(argument["shape"]) == variable.shape
            assert argument["dtype"] == variable.dtype.name

    def test_results_are_the_losses_and_then_the_new_variables(self, files):
        results = files.manifest["results"]
        kinds = [result["kind"] for result in results]
        assert kinds == ["output"] * 4 + ["update"] * (len(kinds) - 4)
        assert names(results, "output") == LOSSES
        variables = names(files.manifest["arguments"], "variable")
        assert names(results, "update") == [
            name for name in variables if name not in RATES
        ]

    def test_variables_are_those_of_a_new_run(self, files):
        state = create_state(files.config, S)
        assert_same(read(files.step / "variables.npz"), state_values(state))

    def test_manifest_has_settings_and_facts_of_the_data(self, files):
        text = json.dumps(files.manifest["config"])
        assert config_lib.from_json(text) == files.config
        facts = files.manifest["dataset"]
        assert facts["info"] == json.loads(Builder.INFO.to_json())
        assert facts["num_examples"] == {"train": 12, "validation": 3}

    def test_folder_without_its_packed_data_is_refused(self, tmp_path):
        message = command("lower", "--dataset=folder", f"--out={tmp_path}")
        assert "`--data` is needed" in message

    def test_perceptual_loss_is_refused(self, files, tmp_path):
        message = command(
            "lower",
            f"--dataset={files.experiment}",
            "--set=train.lambda_vgg=10",
            f"--out={tmp_path}",
        )
        assert "`train.lambda_vgg` must be 0" in message


class TestProgram:
    def lower(self, function, shapes, **variables):
        inputs = {name: tf.TensorSpec(size) for name, size in shapes.items()}
        compiled = tf.function(function, jit_compile=True, autograph=False)
        return program_lib.lower(compiled, inputs, variables)

    def test_computes_what_the_function_does_in_its_own_order(self):
        a, b, c = (tf.Variable([float(i)] * 2) for i in (1, 2, 3))

        def function(inputs):
            c.assign_add(inputs["y"] * a)  # 3 + 0.25 * 1
            outputs = {"sum": tf.reduce_sum(c), "product": a * b}
            b.assign(10 * b + inputs["x"])  # 10 * 2 + 0.5
            return outputs

        program = self.lower(function, {"y": [2], "x": [2]}, a=a, b=b, c=c)
        executable = StandIn(program.text, program.arguments, program.results)
        variables = executable.put({"a": a, "b": b, "c": c})
        outputs = executable({"x": [0.5, 0.5], "y": [0.25, 0.25]}, variables)
        np.testing.assert_array_equal(outputs["product"], [2, 2])
        np.testing.assert_array_equal(outputs["sum"], 6.5)
        np.testing.assert_array_equal(variables["a"], [1, 1])
        np.testing.assert_array_equal(variables["b"], [20.5, 20.5])
        np.testing.assert_array_equal(variables["c"], [3.25, 3.25])

    def test_variable_without_a_name_is_refused(self):
        a, b = tf.Variable([1.0, 2.0]), tf.Variable(2.0)
        with pytest.raises(ValueError, match="but those that are named"):
            self.lower(
                lambda inputs: {"y": inputs["x"] * a * b}, {"x": [2]}, a=a
            )

    def test_operation_that_is_only_tensorflows_is_refused(self):
        with pytest.raises(ValueError, match="own.*stablehlo.custom_call"):
            self.lower(
                lambda inputs: {"y": tf.linalg.eigh(inputs["x"])[0]},
                {"x": [2, 2]},
            )

    def test_convolution_counts_products_with_pixels_only(self):
        kernel = tf.Variable(tf.ones([3, 3, 5, 7]))
        program = self.lower(
            lambda inputs: {"y": tf.nn.conv2d(inputs["x"], kernel, 1, "SAME")},
            {"x": [2, 4, 4, 5]},
            kernel=kernel,
        )
        # In each direction the four windows hold 2, 3, 3 and 2 pixels.
        expected = 2 * (10 * 10) * 2 * 5 * 7
        assert flops.count(program.text) == expected

    def test_gradients_of_a_convolution_count_as_much_as_itself(self):
        kernel = tf.Variable(tf.ones([3, 3, 5, 7]))

        def function(inputs):
            with tf.GradientTape() as tape:
                tape.watch(inputs["x"])
                y = tf.nn.conv2d(inputs["x"], kernel, 2, "SAME")
                loss = tf.reduce_sum(y * y)
            by_x, by_kernel = tape.gradient(loss, [inputs["x"], kernel])
            return {"by_x": by_x, "by_kernel": by_kernel}

        program = self.lower(function, {"x": [2, 4, 4, 5]}, kernel=kernel)
        # With stride 2 the two windows hold 3 and 2 pixels.
        one = 2 * (5 * 5) * 2 * 5 * 7
        assert flops.count(program.text) == 3 * one

    def test_matrix_products_count_the_summed_dimension(self):
        matrix = tf.Variable(tf.ones([3, 5]))
        program = self.lower(
            lambda inputs: {
                "y": inputs["x"] @ matrix,
                "z": tf.linalg.matmul(matrix, inputs["x"], True, True),
            },
            {"x": [2, 3]},
            matrix=matrix,
        )
        assert flops.count(program.text) == 2 * (2 * 5 * 3) + 2 * (5 * 2 * 3)


class TestExamples:
    def examples(self, size=(4, 6), has_flip=True, count=5):
        """Examples whose pixels all tell their example, row and column."""
        example, row, column = np.mgrid[:count, :6, :8]
        images = np.stack([example, row, column], axis=-1).astype(np.uint8)
        label_maps = (100 * example + 10 * row + column).astype(np.int32)
        return run.Examples(images, label_maps, size, has_flip, seed=7)

    def test_every_epoch_takes_each_example_once_in_another_order(self):
        examples = self.examples()
        orders = [
            examples.batch(step, 5)["image"][:, 0, 0, 0].tolist()
            for step in range(20)
        ]
        for order in orders:
            assert sorted(order) == list(range(5))
        assert len(set(map(tuple, orders))) > 10

    def test_sample_does_not_depend_on_where_a_run_began(self):
        examples = self.examples()
        batches = [examples.batch(step, 3) for step in range(8)]
        for step in (6, 1):
            assert_same(self.examples().batch(step, 3), batches[step])
        numbers = [batch["sample_number"] for batch in batches]
        np.testing.assert_array_equal(np.ravel(numbers), np.arange(24))

    def test_image_and_label_map_are_cropped_and_mirrored_alike(self):
        batch = self.examples().batch(0, 100)
        assert batch["image"].shape == (100, 4, 6, 3)
        example, row, column = np.moveaxis(batch["image"].astype(int), -1, 0)
        np.testing.assert_array_equal(
            batch["label_map"], 100 * example + 10 * row + column
        )
        is_flipped = column[:, 0, 1] < column[:, 0, 0]
        assert 30 <= is_flipped.sum() <= 70
        corners = set(zip(row[:, 0, 0], column.min(axis=(1, 2))))
        assert corners == set(itertools.product(range(3), range(3)))

    def test_without_flip_nothing_is_mirrored(self):
        batch = self.examples(has_flip=False).batch(0, 40)
        assert np.all(batch["image"][:, 0, 1, 2] > batch["image"][:, 0, 0, 2])

    def test_packed_examples_are_those_of_the_data_set(self, files):
        packed = read(files.data)
        assert packed["image"].shape == (12, 16, 16, 3)
        drawn = tiny.batch(size=12)
        # Stored in an order of its own.
        for name in ("image", "label_map"):
            assert packed[name].dtype == np.uint8
            mine = {example.tobytes() for example in packed[name]}
            expected = drawn[name].astype(np.uint8)
            assert mine == {example.tobytes() for example in expected}

    def test_examples_that_do_not_fit_are_refused(self, files, tmp_path):
        image = np.zeros([2, 16, 16, 3], np.uint8)
        label_map = np.zeros([2, 16, 16], np.int32)
        for expected, arrays in (
            ("`image` and `label_map`", {"image": image}),
            ("uint8", {"image": image / 2, "label_map": label_map}),
            ("uint8", {"image": image[:1], "label_map": label_map}),
            (
                "at least 16 x 16",
                {"image": image[:, :8], "label_map": label_map[:, :8]},
            ),
            (
                f"labels must be 0..{S - 1}",
                {"image": image, "label_map": label_map + S},
            ),
        ):
            np.savez(tmp_path / "data.npz", **arrays)
            with pytest.raises(run.RunError, match=expected):
                run.read_examples(tmp_path / "data.npz", files.manifest)

    def test_made_examples_fit_the_program(self, files):
        batch = run.made_examples(files.manifest).batch(0, 16)
        assert batch["image"].shape == (16, 16, 16, 3)
        assert batch["image"].dtype == np.uint8
        assert 0 <= batch["label_map"].min() < batch["label_map"].max() < S


class TestVariablesFile:
    def test_file_that_is_none_is_named(self, files, tmp_path):
        path = tmp_path / "variables.npz"
        for make in (lambda: None, lambda: path.write_bytes(b"PK half a file")):
            make()
            with pytest.raises(run.RunError, match=str(path)):
                run.read_variables(path, files.manifest)

    def test_variable_of_another_shape_or_type_is_named(self, files, tmp_path):
        path = tmp_path / "variables.npz"
        name = "generator/generator/conv_in/bias"
        good = read(files.step / "variables.npz")
        for change in (
            good | {name: good[name][:-1]},
            good | {name: good[name].astype(np.float64)},
            {n: v for n, v in good.items() if n != name},
        ):
            run.write_arrays(path, change)
            with pytest.raises(run.RunError, match=name):
                run.read_variables(path, files.manifest)

    def test_manifest_that_is_none_is_named(self, tmp_path):
        (tmp_path / "manifest.json").write_text("{")
        with pytest.raises(run.RunError, match="manifest.json must be there"):
            run.read_manifest(tmp_path)

    def test_file_that_cannot_be_finished_leaves_the_old_one(self, tmp_path):
        path = tmp_path / "variables.npz"
        run.write_arrays(path, {"a": np.ones(3)})
        with mock.patch.object(np, "savez", side_effect=OSError("disk full")):
            with pytest.raises(OSError, match="disk full"):
                run.write_arrays(path, {"a": np.zeros(3)})
        np.testing.assert_array_equal(read(path)["a"], np.ones(3))


class Counter:
    """Stands in for a compiled step that counts, and breaks at a step."""

    peak_bytes = 5

    def __init__(self, broken_step=None, value=np.nan, broken_weight=None):
        self._broken = broken_step, value
        self._broken_weight = broken_weight

    def put(self, arrays):
        return dict(arrays)

    def __call__(self, inputs, variables):
        step = int(variables["step"]) + 1
        assert list(inputs["sample_number"]) == [2 * step - 2, 2 * step - 1]
        variables["step"] = np.int64(step)
        weight = np.nan if step == self._broken_weight else step
        variables["weight"] = np.float32([weight])
        broken_step, value = self._broken
        loss = value if step == broken_step else 0.5 * step
        return {"generator/adversarial": np.float32(loss)}


class TestTraining:
    """The loop, without a device."""

    MANIFEST = {
        "config": {"train": {"global_batch_size": 2}},
        "arguments": [
            {"name": "image", "kind": "input"},
            {"name": "step", "kind": "variable"},
            {"name": "weight", "kind": "variable"},
        ],
    }
    START = {
        "step": np.int64(0),
        "weight": np.float32([0]),
        "unused": np.float32([3]),
    }

    def train(self, out, num_steps, counter=None, save_every=2, log_every=1):
        path = out / "variables.npz"
        variables = read(path) if path.is_file() else self.START
        examples = TestExamples().examples()
        training = run.Training(
            counter or Counter(), self.MANIFEST, variables, examples, out
        )
        return training.train(num_steps, save_every, log_every, float("inf"))

    def losses(self, out):
        with open(out / "losses.csv", newline="") as file:
            return [
                (float(row["step"]), float(row["generator/adversarial"]))
                for row in csv.DictReader(file)
            ]

    def test_first_step_and_those_that_save_are_not_timed(self, tmp_path):
        timing = self.train(tmp_path, num_steps=7, save_every=4)
        # 2, 3 and 4, and after saving, 6 and 7.
        assert len(timing.seconds) == 5
        assert timing.peak_bytes == 5

    def test_all_variables_are_saved_at_the_end(self, tmp_path):
        self.train(tmp_path, num_steps=3)
        expected = {"step": 3, "weight": [3], "unused": [3]}
        for name, value in read(tmp_path / "variables.npz").items():
            np.testing.assert_array_equal(value, expected.pop(name))
        assert not expected

    def test_run_goes_on_where_it_was(self, tmp_path):
        self.train(tmp_path, num_steps=3)
        self.train(tmp_path, num_steps=5)
        assert int(read(tmp_path / "variables.npz")["step"]) == 5
        assert self.losses(tmp_path) == [(k, 0.5 * k) for k in range(1, 6)]

    def test_losses_beyond_what_was_saved_are_made_again(self, tmp_path):
        self.train(tmp_path, num_steps=2)
        with open(tmp_path / "losses.csv", "a") as file:
            file.write("3.0,99.0\n4.0,9")  # Cut off in writing.
        self.train(tmp_path, num_steps=4)
        assert self.losses(tmp_path) == [(k, 0.5 * k) for k in range(1, 5)]

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("step", [4, 5])
    def test_loss_that_is_not_finite_ends_the_run(self, tmp_path, step, value):
        with pytest.raises(
            run.RunError, match=f"Step {step}: the loss generator/adversarial"
        ):
            self.train(tmp_path, 9, Counter(step, value), save_every=3)
        # What was saved before is still there.
        assert int(read(tmp_path / "variables.npz")["step"]) == 3

    def test_weight_that_is_not_finite_is_not_saved(self, tmp_path):
        counter = Counter(broken_weight=4)
        with pytest.raises(run.RunError, match="Step 4: weight is not finite"):
            self.train(tmp_path, 9, counter, save_every=2)
        assert int(read(tmp_path / "variables.npz")["step"]) == 2

    def test_time_limit_ends_the_run_after_its_step(self, tmp_path):
        training = run.Training(
            Counter(),
            self.MANIFEST,
            self.START,
            TestExamples().examples(),
            tmp_path,
        )
        training.train(100, 0, 1, max_seconds=-1)
        assert int(read(tmp_path / "variables.npz")["step"]) == 1

    def test_signal_ends_the_run_after_its_step(self, tmp_path):
        class Stopped(Counter):
            def __call__(self, inputs, variables):
                if variables["step"] == 2:
                    os.kill(os.getpid(), signal.SIGTERM)
                return super().__call__(inputs, variables)

        self.train(tmp_path, num_steps=9, counter=Stopped(), save_every=0)
        assert int(read(tmp_path / "variables.npz")["step"]) == 3


class TestLoad:
    @pytest.fixture
    def finished(self, files, tmp_path):
        """A run's folder with values of its own; and these values."""
        state = create_state(files.config, S)
        fill(state)
        state.step.assign(NUM_STEPS)
        values = state_values(state)
        folder = tmp_path / "finished"
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps(files.manifest))
        run.write_arrays(folder / "variables.npz", values)
        losses = run.Losses(folder / "losses.csv", 0)
        for step in range(1, NUM_STEPS + 1):
            losses.add(step, dict.fromkeys(LOSSES, 0.5 * step))
        return folder, values

    def load(self, folder, workdir):
        return command("load", f"--run={folder}", f"--workdir={workdir}")

    def test_checkpoint_restores_bit_for_bit(self, files, finished, tmp_path):
        folder, values = finished
        workdir = tmp_path / "workdir"
        assert self.load(folder, workdir) == 0
        state = create_state(files.config, S)
        path = checkpoint.Checkpoints(
            state, workdir / "checkpoints", 1
        ).restore()
        assert path == str(workdir / f"checkpoints/step-{NUM_STEPS}")
        assert_same(state_values(state), values)

    def test_run_goes_on_and_exports(self, files, finished, tmp_path):
        folder, values = finished
        workdir = tmp_path / "workdir"
        assert self.load(folder, workdir) == 0
        dataset = tiny.dataset(tmp_path / "prepared", files.config)
        goes_on = loop.Run(files.config, dataset, workdir, ["CPU:0"])
        assert goes_on.train()  # It is complete: no step is taken.
        kernel = goes_on.state.ema_generator.conv_in.kernel.numpy()
        np.testing.assert_array_equal(
            kernel, values["ema_generator/generator/conv_in/kernel"]
        )
        with open(workdir / "losses.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["step"]) for row in rows] == [1, 2, 3]
        assert float(rows[1]["discriminator/fake"]) == 1.0
        goes_on.export()

        # And what was exported is what can be lowered.
        out = tmp_path / "out"
        arguments = "--program=generator", f"--workdir={workdir}"
        assert command("lower", *arguments, f"--out={out}") == 0
        averaged, step = networks.averaged_generator(workdir)
        assert step == NUM_STEPS
        variables = program_lib.model_variables("ema_generator", averaged)
        expected = {name: value.numpy() for name, value in variables.items()}
        assert_same(read(out / "variables.npz"), expected)

    @pytest.mark.slow
    def test_loaded_run_is_lowered_as_it_is(self, files, finished, tmp_path):
        folder, values = finished
        workdir, out = tmp_path / "workdir", tmp_path / "out"
        assert self.load(folder, workdir) == 0
        assert command("lower", f"--workdir={workdir}", f"--out={out}") == 0
        assert_same(read(out / "variables.npz"), values)
        assert run.read_manifest(out) == files.manifest

    def test_further_work_directory_is_refused(self, files, finished, tmp_path):
        folder, _ = finished
        workdir = tmp_path / "workdir"
        assert self.load(folder, workdir) == 0
        values = read(folder / "variables.npz")
        values["step"] = np.int64(NUM_STEPS - 1)
        run.write_arrays(folder / "variables.npz", values)
        message = self.load(folder, workdir)
        assert "`--workdir` must not be further on" in message
        found = [p.name for p in (workdir / "checkpoints").glob("*.index")]
        assert found == [f"step-{NUM_STEPS}.index"]

    def test_work_directory_of_other_settings_is_refused(
        self, finished, tmp_path
    ):
        folder, _ = finished
        workdir = tmp_path / "workdir"
        assert self.load(folder, workdir) == 0
        manifest = run.read_manifest(folder)
        manifest["config"]["train"]["seed"] = 5
        (folder / "manifest.json").write_text(json.dumps(manifest))
        assert "train.seed: was 0, now 5" in self.load(folder, workdir)

    def test_variables_of_other_networks_are_named(self, finished, tmp_path):
        folder, values = finished
        name = "generator/generator/conv_in/bias"
        for change, expected in (
            ({name: values[name][:-1]}, f"{name}: float32 (4,), in the file"),
            ({"other": values[name]}, "other: none, in the file float32 (4,)"),
        ):
            run.write_arrays(folder / "variables.npz", values | change)
            message = self.load(folder, tmp_path / "workdir")
            assert expected in message
        assert not (tmp_path / "workdir").exists()

    def test_weight_that_is_not_finite_is_refused(self, finished, tmp_path):
        folder, values = finished
        name = "generator/generator/conv_in/bias"
        values[name][0] = np.inf
        run.write_arrays(folder / "variables.npz", values)
        message = self.load(folder, tmp_path / "workdir")
        assert (
            "generator/conv_in/bias of the generator is not finite" in message
        )

    def test_folder_without_a_run_is_refused(self, tmp_path):
        message = self.load(tmp_path, tmp_path / "workdir")
        assert "must hold manifest.json and variables.npz" in message


@pytest.fixture(scope="module")
def jax_python():
    """Path of an interpreter that can import JAX."""
    if os.environ.get("OASIS_TF_JAX_PYTHON"):
        return os.environ["OASIS_TF_JAX_PYTHON"]
    if importlib.util.find_spec("jax"):
        return sys.executable
    return pytest.skip("needs JAX, here or in OASIS_TF_JAX_PYTHON")


def run_process(python, *arguments):
    """Runs run.py outside of the project; returns what it printed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run(
        [python, run.__file__, *arguments],
        cwd="/",
        env=environment | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


class TestAgainstTensorFlow:
    """The programs against the functions that they are made from."""

    @pytest.fixture(scope="class")
    def expected(self, files):
        """Losses by step and final variables of TensorFlow's own steps."""
        state = create_state(files.config, S)
        config = dataclasses.replace(
            files.config,
            train=dataclasses.replace(files.config.train, form="dense"),
        )
        strategy = tf.distribute.get_strategy()
        step = compile_step(state, config, Builder.INFO, strategy)
        examples = run.read_examples(files.data, files.manifest)
        losses = []
        for i in range(NUM_STEPS):
            batch = examples.batch(i, files.config.train.global_batch_size)
            metrics = step({n: tf.constant(v) for n, v in batch.items()})
            losses.append([float(metrics[name]) for name in LOSSES])
        return losses, state_values(state)

    def compare(self, out, expected):
        """Compares a run's losses and variables with TensorFlow's."""
        expected_losses, expected_values = expected
        rows = np.loadtxt(out / "losses.csv", delimiter=",", skiprows=1)
        steps, losses = rows[:, 0], rows[:, 1:]
        np.testing.assert_array_equal(steps, range(1, NUM_STEPS + 1))
        np.testing.assert_allclose(losses[0], expected_losses[0], rtol=1e-5)
        # Rounding grows through the updates.
        np.testing.assert_allclose(losses, expected_losses, rtol=2e-3)
        values = read(out / "variables.npz")
        assert values.keys() == expected_values.keys()
        assert int(values["step"]) == NUM_STEPS
        for name, value in expected_values.items():
            # Batch norm takes this bias out again: its gradient is 0 but for
            # rounding, which Adam makes into steps of the learning rate's
            # size. The mean that batch norm collects moves with it.
            is_free = name.endswith(
                ("block_0/conv_0/bias", "block_0/spade_1/norm/moving_mean")
            )
            atol = 2 * NUM_STEPS * 2e-3 if is_free else 1e-5
            np.testing.assert_allclose(
                values[name], value, rtol=0, atol=atol, err_msg=name
            )

    def test_three_steps_are_tensorflows(self, files, expected, tmp_path):
        text = (files.step / "program.mlir").read_text()
        manifest = files.manifest
        training = run.Training(
            StandIn(text, manifest["arguments"], manifest["results"]),
            manifest,
            run.read_variables(files.step / "variables.npz", manifest),
            run.read_examples(files.data, manifest),
            tmp_path,
        )
        training.train(NUM_STEPS, 0, 1, float("inf"))
        self.compare(tmp_path, expected)

    def test_three_steps_by_jax_are_tensorflows(
        self, files, expected, jax_python, tmp_path
    ):
        arguments = (
            f"--program={files.step}",
            f"--data={files.data}",
            f"--out={tmp_path}",
            "--log_every=1",
        )
        run_process(jax_python, *arguments, "--num_steps=1")
        printed = run_process(
            jax_python, *arguments, f"--num_steps={NUM_STEPS}"
        )
        self.compare(tmp_path, expected)
        # No variable is twice in memory.
        updates = names(files.manifest["results"], "update")
        assert f"| {len(updates)} of {len(updates)} |" in printed
        again = run_process(jax_python, *arguments, f"--num_steps={NUM_STEPS}")
        assert f"has finished {NUM_STEPS} steps already" in again

    def test_pictures_by_jax_are_tensorflows(self, files, jax_python, tmp_path):
        run_process(
            jax_python,
            f"--program={files.generator}",
            f"--data={files.data}",
            f"--out={tmp_path}",
            "--num_steps=1",
        )
        drawn = read(tmp_path / "pictures.npz")
        generator = build_generator(files.config.generator, S)
        variables = program_lib.model_variables("ema_generator", generator)
        for name, value in read(files.generator / "variables.npz").items():
            variables[name].assign(value)
        picture = generator(
            global_noise(tf.constant(drawn["z"]), files.config.image_size),
            one_hot(tf.constant(drawn["label_map"]), S),
        )
        assert np.std(picture) > 0.01
        np.testing.assert_allclose(drawn["picture"], picture, atol=1e-5)
