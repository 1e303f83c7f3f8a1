"""What exporters install once, in the user's cache."""

import contextlib
import fcntl
import os
import pathlib
import subprocess

_LAST_LINES = 5  # Of what a program says when it fails.


class InstallationError(Exception):
    """A program that cannot be installed, or does not do its work."""


def cache_folder(name):
    """Returns the path of a folder in the user's cache; its parent is there."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(cache, "oasis_tf", name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(folder):
    """Lets one process at a time in; a killed one's lock is free again."""
    with folder.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command, must, cwd=None):
    """Runs a program, silently.

    Args:
        command: list of its name and arguments.
        must: what it is for, for the message.
        cwd: folder to run it in.

    Raises:
        InstallationError: if it fails, with the last lines of what it says.
    """
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)  # Packages of another Python.
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    )
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        raise InstallationError(
            f"{must}. Received exit code {done.returncode}:\n"
            + "\n".join(lines[-_LAST_LINES:])
        )
