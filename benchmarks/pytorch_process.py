"""The networks in plain PyTorch, in a process and environment of their own."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import sys
import tempfile

import numpy as np

from benchmarks.peak_memory import Peak
from benchmarks.processes import Process
from oasis_tf.exporters.installed import cache_folder
from oasis_tf.exporters.installed import locked
from oasis_tf.exporters.installed import run
from oasis_tf.models import published

_REQUIREMENTS = pathlib.Path(__file__).with_name("pytorch") / "requirements.txt"
_READY = ".ready"  # Holds the requirements that are installed.
# What `TrainConfig` has and PyTorch's step has not, with the value that it does
# without.
_ABSENT = {
    "precision": "float32",
    "accumulation_steps": 1,
    "lambda_vgg": 0.0,
    "clip_norm": 0.0,
    "jit_compile": False,
}
_SETTINGS = (
    *("generator_lr", "discriminator_lr", "beta_1", "beta_2", "epsilon"),
    *("lambda_labelmix", "class_balancing", "ema_decay"),
)


class PyTorchProcess:
    """PyTorch's generator, discriminator and training step, by command.

    While nothing is asked of it, the process takes no time of the processor.
    While it computes, its threads spin for about a millisecond before they
    sleep, as is PyTorch's habit: small networks gain by it, but where others
    compute on the same processors it is several times slower than with
    `environment={"OMP_WAIT_POLICY": "PASSIVE"}`.

        with PyTorchProcess(threads=2) as pytorch:
            pytorch.load_generator(generator)
            image, seconds = pytorch.draw(z, label_map)

    Args:
        threads: that PyTorch computes with; None: a thread per processor that
            this process may run on, which is what TensorFlow takes.
        python: path of an interpreter that has PyTorch; None: the one of an
            environment that is made once, in the user's cache.
        memory_format: "channels_first", PyTorch's usual one, or
            "channels_last".
        seed: of initial weights and random draws.
        environment: {name: value} of variables for the process, or None.
        progress: function of a line of text.

    Raises:
        InstallationError: if there is no environment.
        ProcessError: from all methods, if the process ends.
        ValueError: if the memory format is none.
    """

    def __init__(
        self,
        threads=None,
        python=None,
        memory_format="channels_first",
        seed=0,
        environment=None,
        progress=print,
    ):
        if memory_format not in ("channels_first", "channels_last"):
            raise ValueError(
                '`memory_format` must be "channels_first" or "channels_last". '
                f"Received: {memory_format!r}."
            )
        self._stack = contextlib.ExitStack()
        python = python or _environment(progress) / "bin/python"
        with contextlib.ExitStack() as stack:
            self._folder = pathlib.Path(
                stack.enter_context(tempfile.TemporaryDirectory())
            )
            self._process = stack.enter_context(
                Process("benchmarks.pytorch.worker", python, environment)
            )
            self._process.ask(
                "configure",
                threads=threads or num_processors(),
                memory_format=memory_format,
                seed=seed,
            )
            self._stack = stack.pop_all()
        self._sizes = {}

    @property
    def pid(self):
        """The process's number."""
        return self._process.pid

    def load_generator(self, generator):
        """Makes a generator with the sizes and weights of a `Generator`."""
        self._make(generator=_generator_sizes(generator))
        self._load("generator", generator)

    def load_discriminator(self, discriminator):
        """Makes one with the sizes and weights of a `Discriminator`."""
        self._make(
            discriminator={
                "semantic_channels": discriminator.semantic_channels,
                "channels": discriminator.channels,
                "last_channels": discriminator.last_channels,
            }
        )
        self._load("discriminator", discriminator)

    def make_networks(self, config, semantic_channels):
        """Makes both networks of a `Config`, with initial weights.

        Raises:
            ValueError: if its noise is not a vector per image.
        """
        if config.generator.noise != "image":
            raise ValueError(
                '`generator.noise` must be "image" for the step in PyTorch. '
                f"Received: {config.generator.noise!r}."
            )
        self._make(
            generator={
                "semantic_channels": semantic_channels,
                "noise_channels": config.generator.noise_channels,
                "channels": config.generator.channels,
                "spade_channels": config.generator.spade_channels,
            },
            discriminator={
                "semantic_channels": semantic_channels,
                "channels": config.discriminator.channels,
                "last_channels": config.discriminator.last_channels,
            },
            gains=(
                config.generator.initial_gain,
                config.discriminator.initial_gain,
            ),
        )

    def _make(self, generator=None, discriminator=None, gains=(1.0, 1.0)):
        self._sizes = generator or self._sizes
        self._process.ask(
            "make",
            generator=generator,
            discriminator=discriminator,
            gains=gains,
        )

    def _load(self, network, model):
        tensors = published.to_state_dict(
            {v.path: v.numpy() for v in model.variables}
        )
        with self._written(**tensors) as path:
            self._process.ask("load", network=network, path=path)

    @contextlib.contextmanager
    def _written(self, **arrays):
        """Context in which a file has arrays; yields its path."""
        path = self._folder / "given.npz"
        # An archive's keys may be any text, `np.savez`'s `file` aside.
        np.savez(path, **{n: np.asarray(a) for n, a in arrays.items()})
        yield str(path)
        path.unlink()

    def _read(self, path):
        with np.load(path) as arrays:
            [array] = (arrays[name] for name in arrays.files)
        path.unlink()
        return array

    def draw(self, noise, label_map, is_measured=True):
        """Draws images with the statistics that were collected.

        Args:
            noise: z, `[B, Z]`; or 3D noise, `[B, H, W, Z]`.
            label_map: `[B, H, W]`, integer. Labels, 0..S-1.
            is_measured: whether `peak_memory` will tell of it. The memory that
                PyTorch has kept is given back for that, which takes time.

        Returns:
            `[B, H, W, 3]`, float32, in [-1, 1]; and the seconds it took, from
            label map to image, without the way to the process and back.
        """
        out = self._folder / "image.npz"
        with self._written(noise=noise, label_map=label_map) as path:
            seconds = self._process.ask(
                "draw", path=path, out=str(out), is_measured=is_measured
            )
        return self._read(out), seconds

    def judge(self, image):
        """Returns the logits `[B, H, W, S + 1]` of `[B, H, W, 3]`."""
        out = self._folder / "logits.npz"
        with self._written(image=image) as path:
            self._process.ask("judge", path=path, out=str(out))
        return self._read(out)

    def prepare_training(self, image, label_map, train, has_dont_care=False):
        """Makes optimizers and an average for the networks that there are.

        Args:
            image: `[B, H, W, 3]`, uint8. What `train_steps` trains on.
            label_map: `[B, H, W]`, integer. Labels, 0..S-1.
            train: `TrainConfig`.
            has_dont_care: whether label 0 means don't-care.

        Raises:
            ValueError: if the step in PyTorch lacks something of `train`.
        """
        check_settings(train)
        settings = dataclasses.asdict(train)
        with self._written(image=image, label_map=label_map) as path:
            self._process.ask(
                "prepare_training",
                path=path,
                sizes=self._sizes,
                has_dont_care=has_dont_care,
                settings={name: settings[name] for name in _SETTINGS},
            )

    def train_step(self, batch, draws):
        """Takes one step with given draws.

        Args:
            batch: {"image": `[B, H, W, 3]` uint8 or, in [-1, 1], float32;
                "label_map": `[B, H, W]` integer}.
            draws: {"generator_z", "discriminator_z": `[B, Z]`, float32;
                "class_bits": `[S]`, integer}.

        Returns:
            {name: float}: the losses.
        """
        given = {name: batch[name] for name in ("image", "label_map")}
        with self._written(**given, **draws) as path:
            return self._process.ask("train_step", path=path)

    def train_steps(self, num_steps, is_measured=False):
        """Takes steps on the prepared batch; returns the seconds.

        `is_measured` is as in `draw`.
        """
        return self._process.ask(
            "train_steps", num_steps=num_steps, is_measured=is_measured
        )

    def peak_memory(self):
        """Returns the `Peak` of the last work that was measured."""
        told = self._process.ask("peak")
        return Peak(told["num_bytes"], told["increase"])

    def libraries_memory(self):
        """Returns the bytes that the process had before any work."""
        return self._process.ask("peak")["libraries"]

    def close(self):
        """Ends the process."""
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def num_processors():
    """Returns how many processors this process may run on."""
    return len(os.sched_getaffinity(0))


def check_settings(train):
    """Raises ValueError for a `TrainConfig` that PyTorch's step cannot do."""
    for name, value in _ABSENT.items():
        if getattr(train, name) != value:
            raise ValueError(
                f"`train.{name}` must be {value} for the step in PyTorch. "
                f"Received: {getattr(train, name)}."
            )


def _generator_sizes(generator):
    return {
        "semantic_channels": generator.semantic_channels,
        "noise_channels": generator.noise_channels,
        "channels": generator.channels,
        "spade_channels": generator.spade_channels,
    }


def _environment(progress):
    """Returns the folder of the environment, made where it is not there."""
    folder = cache_folder("pytorch_benchmark")
    with locked(folder):
        ready = folder / _READY
        wanted = _REQUIREMENTS.read_text()
        if not ready.is_file() or ready.read_text() != wanted:
            progress(
                f"Making PyTorch's environment in {folder}, once: some "
                "minutes, some GB."
            )
            shutil.rmtree(folder, ignore_errors=True)  # Half done, or old.
            run(
                [sys.executable, "-m", "venv", folder],
                "Python must make an environment",
            )
            run(
                [
                    *(folder / "bin/python", "-m", "pip", "install"),
                    *("--quiet", "--disable-pip-version-check"),
                    *("--requirement", _REQUIREMENTS),
                ],
                "PyTorch must be installed once, for which pip needs its "
                "package index; --torch_python=PATH takes an interpreter "
                "that has it",
            )
            ready.write_text(wanted)
    return folder
