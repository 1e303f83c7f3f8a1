"""Memory and time of comparing two large sets of features.

    python -m benchmarks.evaluation
    python -m benchmarks.evaluation --images=10000 --features=64

The parts of an evaluation are made, of random features, and put together and
compared as `oasis_tf.evaluate` does. Told are each stage's seconds, and the
most memory that the process had in it, which at the start is the libraries'.
Network and images come before this and take as much for many images as for few.
"""

import pathlib
import sys
import tempfile
import time

import numpy as np
from absl import flags

from benchmarks import peak_memory
from oasis_tf import command_line
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.evaluation.fid import frechet_distance
from oasis_tf.evaluation.kid import kernel_distance
from oasis_tf.evaluation.parts import Parts
from oasis_tf.evaluation.precision_recall import precision_recall
from oasis_tf.evaluation.protocol import PART_SIZE
from oasis_tf.evaluation.protocol import Measured
from oasis_tf.evaluation.statistics import Histograms

_IMAGES = flags.DEFINE_integer(
    "images", 50_000, "Of each set.", lower_bound=PART_SIZE
)
_FEATURES = flags.DEFINE_integer(
    "features", 2048, "Of each image: D.", lower_bound=1
)

_NUM_DIRECTIONS = 64  # That carry half of the features' variance.


def main():
    print("| Stage | Seconds | Peak |")
    print("| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        _run(pathlib.Path(folder))


def _run(folder):
    def stage(name, work):
        start = time.perf_counter()
        with peak_memory.measure() as peak:
            result = work()
        seconds = time.perf_counter() - start
        print(f"| {name} | {seconds:.1f} | {peak.num_bytes / 1e9:.2f} GB |")
        sys.stdout.flush()  # The next one may take long.
        return result

    real = stage("make real", lambda: _make(folder / "real", seed=0))
    fake = stage("make fake", lambda: _make(folder / "fake", seed=1))
    real, fake = (
        stage(name, lambda parts=parts: Measured(parts.read(), Builder.INFO))
        for name, parts in (("read real", real), ("read fake", fake))
    )
    stage("FID", lambda: frechet_distance(real.moments, fake.moments))
    stage("KID", lambda: kernel_distance(real.features, fake.features))
    precision, recall = stage(
        "precision, recall",
        lambda: precision_recall(real.features, fake.features),
    )
    print(f"\nPrecision {precision:.4f}, recall {recall:.4f}.")


def _make(folder, seed):
    """Writes the parts of a set of images; returns them."""
    parts = Parts(folder, {}, _IMAGES.value, PART_SIZE)
    counts = Histograms(Builder.INFO.semantic_channels).to_arrays()
    shape = [_NUM_DIRECTIONS, _FEATURES.value]
    directions = np.random.default_rng(0).normal(size=shape)
    rng = np.random.default_rng([1, seed])
    for number in range(parts.count):
        num = len(parts.items(number))
        features = rng.normal(size=[num, _NUM_DIRECTIONS]) @ directions / 8
        features += rng.normal(size=[num, _FEATURES.value])
        arrays = {f"histograms/{name}": array for name, array in counts.items()}
        arrays["each/features"] = np.float32(np.maximum(0, features))
        parts.write(number, arrays)
    return parts


if __name__ == "__main__":
    command_line.run(main, stopped="Stopped.")
