"""Images a second and memory of the training step, PyTorch's beside ours.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --dataset=coco_stuff --num_classes=183 \
        --set=train.global_batch_size=1 --turns=3 --steps=1
    python -m benchmarks.train_step --variant=train.precision=float32 \
        --variant=train.precision=mixed_bfloat16 --variant=replicas=2

Each variant is the experiment with some settings changed (several with
spaces in between); "replicas=2" spreads the batch over two logical CPU devices,
"pytorch" is the step of the same networks in plain PyTorch on the CPU, and
"pytorch=channels_last" has its images channels last. A word whose name is in
capitals is a variable of the process's environment: "TF_ENABLE_ONEDNN_OPTS=0"
is without oneDNN, which training asks for.

Every variant has a process of its own. All are started and warmed up first and
then take turns, so that a machine whose speed drifts treats them alike; the
ratio is the median of the turns', against the first variant. Memory is the most
that the whole process had resident during a step before the turns, and that
without what the framework takes before any work. Writes the table to stdout,
and a plot to `--plot`.
"""

import contextlib
import dataclasses
import pathlib
import statistics
import tempfile

import numpy as np
from absl import flags
from matplotlib import figure

from benchmarks import label_maps
from benchmarks.processes import Process
from benchmarks.pytorch_process import PyTorchProcess
from benchmarks.pytorch_process import num_processors
from benchmarks.variant import Variant
from oasis_tf import command_line
from oasis_tf import config as config_lib

_DATASET = flags.DEFINE_string(
    "dataset", "toy_scenes", "Experiment in configs/."
)
_SET = flags.DEFINE_multi_string("set", [], "Setting of all variants.")
_VARIANT = flags.DEFINE_multi_string(
    "variant",
    ["pytorch", "train.precision=float32"],
    "Settings of one variant.",
)
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 12, "S of the label maps.")
_REGIONS = flags.DEFINE_integer(
    "regions", 20, "In a drawn label map; 0 for as many as pixels."
)
_LABEL_MAPS = flags.DEFINE_string(
    "label_maps", "", "Folder of label files to take instead."
)
_TURNS = flags.DEFINE_integer("turns", 5, "Turns that each variant takes.")
_STEPS = flags.DEFINE_integer("steps", 5, "Steps in one turn.")
_THREADS = flags.DEFINE_integer(
    "threads", 0, "That each computes with; 0: a thread per processor."
)
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python",
    "",
    "Interpreter with PyTorch; empty: an environment made once, in the cache.",
)
_PLOT = flags.DEFINE_string("plot", "", "PNG file to write.")


@dataclasses.dataclass
class _Row:
    """What was found of a variant.

    Args:
        name: of the variant.
        rates: images a second, a number per turn.
        peak: bytes, the most that the process had.
        libraries: bytes that it had before any work.
    """

    name: str
    rates: list
    peak: int
    libraries: int

    def ratio(self, first):
        """Returns by how much it is faster than the first variant."""
        pairs = zip(self.rates, first.rates)
        return statistics.median(a / b for a, b in pairs)


def main():
    base = config_lib.override(config_lib.load(_DATASET.value), _SET.value)
    variants = [Variant.parse(base, name) for name in _VARIANT.value]
    rows = _measure(variants)
    print("| Variant | Images/s | From, to | Ratio | Peak | Less libraries |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row.name} | {statistics.median(row.rates):.3g} | "
            f"{min(row.rates):.3g} to {max(row.rates):.3g} | "
            f"{row.ratio(rows[0]):.2f} | {row.peak / 1e9:.2f} GB | "
            f"{(row.peak - row.libraries) / 1e9:.2f} GB |"
        )
    if _PLOT.value:
        _plot(rows)


def _measure(variants):
    """Returns a `_Row` for each variant."""
    with contextlib.ExitStack() as stack:
        # PyTorch's step is on the CPU: then ours is, too.
        has_pytorch = any(v.memory_format for v in variants)
        sides = [
            stack.enter_context(
                _PyTorchSide(variant)
                if variant.memory_format
                else _TensorFlowSide(variant, is_on_cpu=has_pytorch)
            )
            for variant in variants
        ]
        rows = [
            _Row(variant.name, [], *side.measure_memory())
            for variant, side in zip(variants, sides)
        ]
        for _ in range(_TURNS.value):
            for variant, side, row in zip(variants, sides, rows):
                images = _STEPS.value * variant.config.train.global_batch_size
                row.rates.append(images / side.train_steps(_STEPS.value))
        return rows


class _TensorFlowSide:
    """Our step, in a process of its own."""

    def __init__(self, variant, is_on_cpu):
        environment = {"TF_CPP_MIN_LOG_LEVEL": "2"}
        if is_on_cpu or variant.replicas:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        environment |= variant.environment
        with contextlib.ExitStack() as stack:
            self._process = stack.enter_context(
                Process("benchmarks.tensorflow_worker", environment=environment)
            )
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = pathlib.Path(folder, "batch.npz")
            np.savez(path, **_make_batch(variant.config))
            self._process.ask(
                "prepare",
                config=config_lib.to_json(variant.config),
                path=str(path),
                semantic_channels=_NUM_CLASSES.value,
                threads=_THREADS.value or num_processors(),
                replicas=variant.replicas,
            )
            self._stack = stack.pop_all()

    def measure_memory(self):
        """Returns bytes: a step's peak, and what the libraries take."""
        self._ask_steps(1, is_measured=True)
        peak = self._process.ask("peak")
        return peak["num_bytes"], peak["libraries"]

    def train_steps(self, num_steps):
        """Returns the seconds."""
        return self._ask_steps(num_steps, is_measured=False)

    def _ask_steps(self, num_steps, is_measured):
        return self._process.ask(
            "train_steps", num_steps=num_steps, is_measured=is_measured
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()


class _PyTorchSide:
    """The step in plain PyTorch."""

    def __init__(self, variant):
        config = variant.config
        with contextlib.ExitStack() as stack:
            self._process = stack.enter_context(
                PyTorchProcess(
                    _THREADS.value,
                    _TORCH_PYTHON.value,
                    variant.memory_format,
                    environment=variant.environment,
                )
            )
            self._process.make_networks(config, _NUM_CLASSES.value)
            batch = _make_batch(config)
            self._process.prepare_training(
                batch["image"], batch["label_map"], config.train
            )
            self._process.train_steps(1)  # The first one is slower.
            self._stack = stack.pop_all()

    def measure_memory(self):
        """Returns bytes: a step's peak, and what the libraries take."""
        self._process.train_steps(1, is_measured=True)
        peak = self._process.peak_memory().num_bytes
        return peak, self._process.libraries_memory()

    def train_steps(self, num_steps):
        """Returns the seconds."""
        return self._process.train_steps(num_steps)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()


def _make_batch(config):
    """Returns {"image": noise, "label_map"}, the same for all of its size."""
    rng = np.random.default_rng(0)
    num_images, size = config.train.global_batch_size, config.image_size
    channels = _NUM_CLASSES.value
    if _LABEL_MAPS.value:
        maps = label_maps.read(_LABEL_MAPS.value, num_images, size, channels)
        maps = np.resize(maps, [num_images, *size])  # From the first again.
    else:
        maps = np.stack(
            [
                label_maps.draw(_REGIONS.value, size, channels, rng)
                for _ in range(num_images)
            ]
        )
    image = rng.integers(0, 256, [num_images, *size, 3], np.uint8)
    return {"image": image, "label_map": maps}


def _plot(rows):
    """Draws images a second and memory, a bar for each variant."""
    fig = figure.Figure(
        figsize=(8, 1.5 + 0.4 * len(rows)), layout="constrained"
    )
    speed, memory = fig.subplots(1, 2, sharey=True)
    names = [row.name for row in rows]
    speed.barh(names, [statistics.median(row.rates) for row in rows])
    speed.set_xlabel("Images / s")
    memory.barh(names, [row.libraries / 1e9 for row in rows], label="libraries")
    memory.barh(
        names,
        [(row.peak - row.libraries) / 1e9 for row in rows],
        left=[row.libraries / 1e9 for row in rows],
        label="step",
    )
    memory.set_xlabel("Peak memory / GB")
    memory.legend()
    speed.invert_yaxis()  # The first one above; the axes share it.
    fig.savefig(_PLOT.value, dpi=120)


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
