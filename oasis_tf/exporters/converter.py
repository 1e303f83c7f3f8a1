"""TensorFlow.js's converter, in an environment of its own.

It wants older packages than the rest: TensorFlow 2.19 and what goes with it.
"""

import pathlib
import shutil
import sys

from oasis_tf.exporters.installed import InstallationError
from oasis_tf.exporters.installed import cache_folder
from oasis_tf.exporters.installed import locked
from oasis_tf.exporters.installed import run

_REQUIREMENTS = pathlib.Path(__file__).with_name("tfjs_requirements.txt")
_VERSIONS = ((3, 11), (3, 13))  # Of Python, for what it pins; not the last.
_READY = ".ready"  # Holds the requirements that are installed.


def convert(saved_model, signature, folder, arguments=(), progress=print):
    """Converts a signature of a SavedModel to a graph model of TF.js.

    The first call makes the environment, in the user's cache.

    Args:
        saved_model: path.
        signature: its name.
        folder: to write model.json and the weights to.
        arguments: more of the converter's arguments.
        progress: function of a line of text.

    Raises:
        InstallationError: if there is no environment, or no conversion.
    """
    python = _environment(progress) / "bin/python"
    progress("Converting for TF.js...")
    run(
        [
            *(python, "-m", "tensorflowjs.converters.converter"),
            "--input_format=tf_saved_model",
            f"--signature_name={signature}",
            *arguments,
            saved_model,
            folder,
        ],
        "TensorFlow.js's converter must take the model",
    )


def _environment(progress):
    """Returns the folder of the environment, made where it is not there."""
    folder = cache_folder("tfjs_converter")
    with locked(folder):
        ready = folder / _READY
        wanted = _REQUIREMENTS.read_text()
        if not ready.is_file() or ready.read_text() != wanted:
            python = _find_python()
            progress(
                f"Making the converter's environment in {folder}, once: "
                "some minutes, 3 GB."
            )
            shutil.rmtree(folder, ignore_errors=True)  # Half done, or old.
            run(
                [python, "-m", "venv", folder],
                "Python must make an environment",
            )
            run(
                [
                    *(folder / "bin/python", "-m", "pip", "install"),
                    *("--quiet", "--disable-pip-version-check"),
                    *("--requirement", _REQUIREMENTS),
                ],
                "TensorFlow.js's converter must be installed once, for which "
                "pip needs its package index; afterwards this works offline",
            )
            ready.write_text(wanted)
    return folder


def _find_python():
    least, beyond = _VERSIONS
    if least <= sys.version_info[:2] < beyond:
        return sys.executable
    names = [f"python3.{n}" for n in reversed(range(least[1], beyond[1]))]
    for name in names:
        if shutil.which(name):
            return name
    raise InstallationError(
        "TensorFlow.js's converter needs one of "
        f"{', '.join(names)} on the PATH. Received: Python "
        f"{sys.version_info[0]}.{sys.version_info[1]} alone."
    )
