"""Writes a training step or a generator for devices without TensorFlow.

    python -m benchmarks.accelerator.lower --dataset=toy_scenes --out=D
    python -m benchmarks.accelerator.lower --workdir=W --out=D

The folder holds the program in StableHLO (`program.mlir`), what its arguments
and results are and the run's settings (`manifest.json`), and the variables to
start with (`variables.npz`). `run.py` takes it.
"""

import dataclasses
import importlib
import json
import pathlib

import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.accelerator import flops
from benchmarks.accelerator import program as program_lib
from oasis_tf import command_line
from oasis_tf import config as config_lib
from oasis_tf import model_files
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.data.label_map import one_hot
from oasis_tf.inference import networks
from oasis_tf.models.generator import build_generator
from oasis_tf.models.noise import global_noise
from oasis_tf.training.checkpoint import CheckpointError
from oasis_tf.training.checkpoint import Checkpoints
from oasis_tf.training.train_step import compile_step
from oasis_tf.training.train_step import create_state

_PROGRAM = flags.DEFINE_enum(
    "program",
    "train_step",
    ["train_step", "generator"],
    "What to write: one training iteration with all its updates, or the "
    "averaged generator in evaluation mode, from z and a label map.",
)
_FORM = flags.DEFINE_enum(
    "form", "dense", ["dense"], "How SPADE computes: see `TrainConfig`."
)
_DATASET = flags.DEFINE_string(
    "dataset",
    "toy_scenes",
    "Experiment in configs/, named after its data set, or a file like those.",
)
_SET = flags.DEFINE_multi_string(
    "set", [], "section.field=value; any setting of oasis_tf/config.py."
)
_DATA = flags.DEFINE_string(
    "data",
    "",
    "File of benchmarks.accelerator.pack, for what the data set's labels mean; "
    "without it, the published data sets only.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    "",
    "Work directory to go on from, of oasis_tf.train; its settings are taken "
    "in place of --dataset.",
)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)


def main():
    try:
        config, facts = _settings()
        info = DatasetInfo.from_json(json.dumps(facts["info"]))
        make = {"train_step": _train_step, "generator": _generator}
        function, inputs, variables = make[_PROGRAM.value](config, info)
    except CheckpointError as error:
        return command_line.fail(error, 1)
    program = program_lib.lower(function, inputs, variables)
    manifest = {
        "program": _PROGRAM.value,
        "form": _FORM.value,
        "flops": flops.count(program.text),
        "config": dataclasses.asdict(config),
        "dataset": facts,
        "arguments": program.arguments,
        "results": program.results,
    }
    out = pathlib.Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    (out / "program.mlir").write_text(program.text)
    with open(out / "variables.npz", "wb") as file:
        np.savez(file, **{name: v.numpy() for name, v in variables.items()})
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1))
    print(
        f"{out}: {len(program.arguments)} arguments, {len(program.results)} "
        f"results, {len(program.text) / 1e6:.1f} MB of text."
    )


def _settings():
    """Returns `Config` and what a work directory keeps about its data."""
    if _WORKDIR.value:
        config, _, _ = model_files.find_checkpoints(_WORKDIR.value)
        facts_file = pathlib.Path(_WORKDIR.value, "dataset.json")
        facts = json.loads(facts_file.read_text())
        return config_lib.override(config, _SET.value), facts
    config = config_lib.override(config_lib.load(_DATASET.value), _SET.value)
    if _DATA.value:
        with np.load(_DATA.value) as packed:
            return config, json.loads(str(packed["facts"]))
    if config.dataset == "folder":
        raise ValueError(
            "`--data` is needed: what the labels of a folder mean is in its "
            "packed file."
        )
    module = importlib.import_module(f"oasis_tf.data.{config.dataset}")
    return config, {"info": json.loads(module.Builder.INFO.to_json())}


def _train_step(config, info):
    """Returns a step's function, its inputs and the state's variables."""
    if config.train.lambda_vgg > 0:
        raise ValueError(
            "`train.lambda_vgg` must be 0: VGG's weights are no part of the "
            f"state. Received: {config.train.lambda_vgg}."
        )
    compiled = dataclasses.replace(
        config,
        train=dataclasses.replace(
            config.train, jit_compile=True, form=_FORM.value
        ),
    )
    state = create_state(compiled, info.semantic_channels)
    if _WORKDIR.value:
        folder = pathlib.Path(_WORKDIR.value, "checkpoints")
        Checkpoints(state, folder, keep=1).restore()
    step = compile_step(state, compiled, info, tf.distribute.get_strategy())
    size = config.train.global_batch_size, *config.image_size
    inputs = {
        "image": tf.TensorSpec([*size, 3], tf.uint8),
        "label_map": tf.TensorSpec(size, tf.int32),
        "sample_number": tf.TensorSpec(size[:1], tf.int64),
    }
    return step, inputs, program_lib.state_variables(state)


def _generator(config, info):
    """Returns a generator's function, its inputs and its variables."""
    generator = build_generator(
        config.generator, info.semantic_channels, config.train.precision
    )
    if _WORKDIR.value:
        trained, _ = networks.averaged_generator(_WORKDIR.value)
        generator.set_weights(trained.get_weights())

    @tf.function(jit_compile=True, autograph=False)
    def dense(batch):
        noise = global_noise(batch["z"], config.image_size)
        semantic_map = one_hot(batch["label_map"], info.semantic_channels)
        return {"image": generator(noise, semantic_map)}

    batch_size = config.train.global_batch_size
    inputs = {
        "label_map": tf.TensorSpec([batch_size, *config.image_size], tf.int32),
        "z": tf.TensorSpec([batch_size, generator.noise_channels], tf.float32),
    }
    variables = program_lib.model_variables("ema_generator", generator)
    return {"dense": dense}[_FORM.value], inputs, variables


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
