"""Our side of `benchmarks.train_step`: works by command, in its own process."""

import contextlib
import time

import numpy as np

from benchmarks import peak_memory
from benchmarks import processes
from oasis_tf import config as config_lib
from oasis_tf import processor

processor.use_onednn()  # As `oasis_tf.train` does, before TensorFlow.

import tensorflow as tf

from oasis_tf.data.colors import distinct_colors
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.training.train_step import compile_step
from oasis_tf.training.train_step import create_state


class _Worker:
    def __init__(self):
        self._libraries = peak_memory.resident()
        self._peak = peak_memory.Peak()
        self._step = None

    def prepare(self, config, path, semantic_channels, threads, replicas):
        """Makes the step and takes it once, which compiles it.

        Args:
            config: `Config`, as `to_json` writes it.
            path: of a file with a batch's "image" and "label_map".
            semantic_channels: S.
            threads: that TensorFlow computes with.
            replicas: logical CPU devices to spread the batch over; 0 for the
                devices that there are.
        """
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        devices = None
        if replicas:
            tf.config.set_logical_device_configuration(
                tf.config.list_physical_devices("CPU")[0],
                [tf.config.LogicalDeviceConfiguration()] * replicas,
            )
            devices = [f"/cpu:{i}" for i in range(replicas)]
        config = config_lib.from_json(config)
        info = DatasetInfo(
            "made",
            [f"class {i}" for i in range(semantic_channels)],
            distinct_colors(semantic_channels),
            {i: i for i in range(semantic_channels)},
            has_dont_care=False,
        )
        strategy = tf.distribute.MirroredStrategy(devices)
        with strategy.scope():
            state = create_state(config, semantic_channels)
        step = compile_step(state, config, info, strategy)
        with np.load(path) as arrays:
            examples = dict(arrays)
        examples["sample_number"] = np.arange(len(examples["image"]))
        dataset = tf.data.Dataset.from_tensors(examples).repeat()
        batch = next(iter(strategy.experimental_distribute_dataset(dataset)))
        self._step = lambda: step(batch)
        self._step()

    def train_steps(self, num_steps, is_measured):
        """Takes steps; returns the seconds. Measures their memory, or not."""
        measured = peak_memory.measure() if is_measured else None
        with measured or contextlib.nullcontext() as peak:
            start = time.perf_counter()
            for _ in range(num_steps):
                losses = self._step()
            float(losses["generator/adversarial"])  # Waits for the device.
            seconds = time.perf_counter() - start
        self._peak = peak or self._peak
        return seconds

    def peak(self):
        """Returns the last measured peak, and what the libraries take."""
        return {
            "num_bytes": self._peak.num_bytes,
            "increase": self._peak.increase,
            "libraries": self._libraries,
        }


def main():
    worker = _Worker()
    names = ("prepare", "train_steps", "peak")
    processes.answer({name: getattr(worker, name) for name in names})


if __name__ == "__main__":
    main()
