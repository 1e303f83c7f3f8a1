"""What the commands do alike: flags, errors in one line, exit codes."""

import os
import pathlib
import sys
import traceback

from absl import app
from absl import flags
from absl import logging

# TensorFlow's warnings and errors, without what it says on starting. It looks
# when it is imported, which the commands do later than this.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_PACKAGE = pathlib.Path(__file__).parent
_OURS = (_PACKAGE, _PACKAGE.parent / "benchmarks")

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C stopped, as a shell counts: 128 and
SIGINT."""


def run(main, stopped="Stopped; the same command goes on."):
    """Runs a command; exits with what `main` returns.

    What the user got wrong, which is a ValueError everywhere in oasis_tf and
    its benchmarks, is one line and exit code 2; with `--verbosity=1` its
    traceback, too. One that a library raises is a mistake of ours, and keeps
    its traceback.

    Args:
        main: function without arguments, returning an exit code.
        stopped: what Ctrl-C is answered with.
    """

    def guarded(argv):
        if len(argv) > 1:
            return fail(f"Unknown arguments: {' '.join(argv[1:])}")
        if not flags.FLAGS["verbosity"].present:
            # Without what TensorFlow tells while it saves.
            logging.set_verbosity(logging.WARNING)
        try:
            return main()
        except KeyboardInterrupt:
            return fail(stopped, INTERRUPTED)
        except ValueError as error:
            if not _is_ours(error):
                raise
            logging.debug("Traceback:", exc_info=True)
            return fail(error)

    app.run(guarded, flags_parser=_parse_flags)


def show_progress():
    """Shows what oasis_tf logs as information, unless `--verbosity` is given.

    But not that of libraries: lists of hundreds of tensors, on saving.
    """
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
        logging.get_absl_logger().addFilter(_is_for_users)


def _is_for_users(record):
    is_of_ours = _PACKAGE in pathlib.Path(record.pathname).parents
    return is_of_ours or record.levelno > logging.converter.STANDARD_INFO


def fail(error, exit_code=2):
    """Prints an error after the command's name; returns the exit code.

    Args:
        error: what went wrong, as text or exception.
        exit_code: 2 for what the user got wrong, 1 for anything else.
    """
    path = pathlib.Path(sys.argv[0])
    parents = path.resolve().parents
    if _PACKAGE.parent in parents:  # As `python -m` takes it.
        path = path.resolve().relative_to(_PACKAGE.parent)
    else:
        path = pathlib.Path(path.parent.name, path.name)
    name = ".".join(path.with_suffix("").parts)
    print(f"{name}: {error}", file=sys.stderr)
    return exit_code


def integers(flag, form):
    """Returns the two whole numbers of a list flag.

    Args:
        flag: of absl's `DEFINE_list`.
        form: of its value, for the message: "height,width".

    Raises:
        ValueError: if it is something else.
    """
    try:
        first, second = map(int, flag.value)
    except ValueError:
        raise ValueError(
            f"`--{flag.name}` must be {form}, two whole numbers. Received: "
            f"{','.join(flag.value)!r}."
        ) from None
    return first, second


def check_given(*flags_):
    """Raises a ValueError for the first flag that has no value."""
    for flag in flags_:
        if not flag.value:
            raise ValueError(f"`--{flag.name}` is needed.")


def resize(resize_flag, size_flag):
    """Returns what `--resize` and `--size` say, as `inputs.target_size` takes.

    Raises:
        ValueError: if both are given, or `--size` is no size.
    """
    if resize_flag.value and size_flag.value:
        raise ValueError(
            "`--resize` and `--size` exclude each other. Received: both."
        )
    if size_flag.value:
        return integers(size_flag, "height,width")
    return resize_flag.value


def make_folder(flag, folder):
    """Makes a folder to write to.

    Args:
        flag: that names it, for the message.
        folder: path.

    Returns:
        `pathlib.Path`.

    Raises:
        ValueError: if that cannot be.
    """
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"`--{flag.name}` must be a folder to write to. Received: "
            f"{str(folder)!r} ({error.strerror})."
        ) from error
    return folder


def _parse_flags(argv):
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(fail(error))


def _is_ours(error):
    frame = traceback.extract_tb(error.__traceback__)[-1]
    # What compiled code raises has no frame of its own, but ours.
    is_raised = frame.line.startswith("raise")
    folders = pathlib.Path(frame.filename).parents
    return is_raised and any(ours in folders for ours in _OURS)
