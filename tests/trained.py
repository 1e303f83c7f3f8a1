"""A work directory as a finished run leaves it."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import tempfile
from unittest import mock

import numpy as np
from absl import flags
from absl import logging
from PIL import Image

from oasis_tf import config as config_lib
from oasis_tf.data.label_map import one_hot
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.data.toy_scenes import scenes
from oasis_tf.exporters import saved_model
from oasis_tf.models.discriminator import build_discriminator
from oasis_tf.models.generator import build_generator
from oasis_tf.training import checkpoint
from tests import tiny

ROOT = pathlib.Path(__file__).parents[1]

_TEMPLATES = tempfile.TemporaryDirectory(prefix="oasis_tf_workdirs_")


def networks(config=tiny.CONFIG):
    """Returns a generator and a discriminator with lively weights."""
    pair = (
        build_generator(config.generator, tiny.SEMANTIC_CHANNELS),
        build_discriminator(config.discriminator, tiny.SEMANTIC_CHANNELS),
    )
    rng = np.random.default_rng(0)
    for network in pair:
        for variable in network.variables:
            if not variable.path.endswith("moving_variance"):
                variable.assign(rng.normal(0, 0.5, variable.shape))
    return pair


def calm_generator(config=tiny.CONFIG):
    """Returns a generator whose pictures change little where it does.

    That of `networks` divides by wrong singular values: a rounding error in it
    grows to other pictures.
    """
    generator = build_generator(config.generator, tiny.SEMANTIC_CHANNELS)
    rng = np.random.default_rng(0)
    label_map = tiny.batch(size=6)["label_map"]
    semantic_map = one_hot(label_map, tiny.SEMANTIC_CHANNELS)
    for _ in range(10):  # Until singular values and statistics fit.
        shape = [*label_map.shape, generator.noise_channels]
        noise = np.float32(rng.normal(size=shape))
        generator(noise, semantic_map, training=True)
    kernel = generator.conv_out.kernel
    kernel.assign(kernel * 0.5 / np.std(generator(noise, semantic_map)))
    return generator


def make_workdir(folder, config=tiny.CONFIG, info=Builder.INFO, generator=None):
    """Writes a work directory; returns its path."""
    folder = pathlib.Path(folder)
    if generator:
        return _write_workdir(folder, config, info, generator)
    # The export takes ten seconds, and many tests begin with the same one.
    template = pathlib.Path(_TEMPLATES.name, _digest(config, info))
    if not template.exists():
        # One that is cut off is not taken for a whole one.
        part = template.with_suffix(".part")
        _write_workdir(part, config, info).rename(template)
    shutil.copytree(template, folder, dirs_exist_ok=True)
    return folder


def _digest(config, info):
    facts = config_lib.to_json(config) + info.to_json()
    return hashlib.sha256(facts.encode()).hexdigest()


def _write_workdir(folder, config, info, generator=None):
    lively, discriminator = networks(config)
    generator = generator or lively
    checkpoint.save_models(
        folder / "checkpoints",
        6,
        generator=generator,
        discriminator=discriminator,
        ema_generator=generator,
    )
    checkpoint.save_models(folder / "averaged", 6, generator=generator)
    export = folder / "export"
    facts = config, info
    saved_model.export_generator(
        generator, *facts, export / "generator", 6, step=6
    )
    (folder / "config.json").write_text(config_lib.to_json(config))
    facts = {"info": json.loads(info.to_json())}
    (folder / "dataset.json").write_text(json.dumps(facts))
    return folder


def save_scene(folder, index=5, size=(16, 16)):
    """Writes a scene; returns the paths of its photo and its label map."""
    image, label_map = scenes.draw_scene(0, index, *size)
    paths = [
        pathlib.Path(folder, f"{kind}{index}.png") for kind in ("photo", "map")
    ]
    for path, array in zip(paths, (image, label_map)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return paths


def run(command, *arguments, cwd):
    """Does as `run_process` without the seconds that TensorFlow starts in.

    Returns:
        `subprocess.CompletedProcess`.
    """
    stdout, stderr = io.StringIO(), io.StringIO()
    verbosity = logging.get_verbosity()
    argv = [f"oasis_tf/{command}.py", *map(str, arguments)]
    try:
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            mock.patch.object(sys, "argv", argv),
        ):
            runpy.run_module(
                f"oasis_tf.{command}", run_name="__main__", alter_sys=True
            )
        code = 0
    except SystemExit as exit_:
        code = exit_.code or 0
    finally:
        logging.set_verbosity(verbosity)
        # Another command's flags may have the same names. Those of a library
        # that was imported meanwhile stay: it is not imported again.
        own = [
            flag.name
            for module, defined in flags.FLAGS.flags_by_module_dict().items()
            if pathlib.Path(module).name == f"{command}.py"
            for flag in defined
        ]
        flags.FLAGS.remove_flag_values(own)
    return subprocess.CompletedProcess(
        argv, code, stdout.getvalue(), stderr.getvalue()
    )


def run_process(command, *arguments, cwd):
    """Runs `python -m oasis_tf.<command>` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", f"oasis_tf.{command}", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def environment():
    """Returns an environment in which any folder may run the commands."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
