"""What this machine's processor can do, and what of it TensorFlow uses."""

import os
import pathlib
import sys

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def features():
    """Returns the names of its extensions, like "avx2", as Linux has them.

    The set is empty elsewhere than on Linux.
    """
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return {
        name
        for line in lines
        if line.startswith(("flags", "Features"))
        for name in line.partition(":")[2].split()
    }


def use_onednn():
    """Has TensorFlow compute by oneDNN, with which a CPU trains faster.

    So it was measured with AVX2; by itself TensorFlow does so on newer
    processors alone. To be called before TensorFlow is imported, which looks
    then: later there is no effect. A variable that the user has set stays.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault(_ONEDNN, "1")


def leave_gpus():
    """Leaves the GPUs to other processes: this one has others train.

    To be called before TensorFlow computes anything.
    """
    # Late: what does not compute shall answer at once.
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


def is_onednn_slow_in_copying():
    """Returns whether it is asked for on a processor with no more than AVX2.

    There it copies pixels for convolutions: see `models.convolution`.
    """
    is_asked_for = os.environ.get(_ONEDNN, "").lower() in ("1", "true")
    found = features()
    return is_asked_for and "avx2" in found and "avx512f" not in found
