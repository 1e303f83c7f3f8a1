"""Commands that have others do their work, in processes of their own."""

import signal
import subprocess
import sys

from oasis_tf import command_line
from oasis_tf import model_files

# Exit codes of commands that were told to stop.
_STOPPED = (-signal.SIGTERM, -signal.SIGINT, command_line.INTERRUPTED)


def run(name, *arguments):
    """Runs another command of ours, in a process of its own.

    Its memory is gone before the next one's. A signal to stop is passed on and
    waited for: a training writes a checkpoint first.

    Args:
        name: after `oasis_tf.`.
        *arguments: its flags.

    Raises:
        KeyboardInterrupt: if a signal stopped this process or, but for a
            training, that one.
        SystemExit: if it failed, with its exit code.
    """
    command = [sys.executable, "-m", f"oasis_tf.{name}", *arguments]
    process = None
    is_stopped = False

    def stop(number, frame):
        nonlocal is_stopped
        del number, frame
        is_stopped = True
        if process:
            process.send_signal(signal.SIGTERM)

    previous = {
        number: signal.signal(number, stop)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        process = subprocess.Popen(command)
        if is_stopped:  # Before there was a process to tell.
            process.send_signal(signal.SIGTERM)
        code = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if is_stopped or code in _STOPPED:
        raise KeyboardInterrupt
    if code:
        reason = "failed" if code > 0 else f"was killed by signal {-code}"
        print(f"`{' '.join(command[1:])}` {reason}.", file=sys.stderr)
        # As a shell counts what a signal ended.
        sys.exit(code if code > 0 else 128 - code)


def run_training(workdir, *arguments):
    """Runs `oasis_tf.train` to its end; see `run`.

    Args:
        workdir: path.
        *arguments: further flags.

    Raises:
        KeyboardInterrupt: if a signal stopped this process or that one.
        SystemExit: if it failed, with its exit code.
    """
    run("train", f"--workdir={workdir}", *arguments)
    # Stopped by a signal it leaves no export, and no exit code tells of it.
    try:
        model_files.find_export(workdir)
    except ValueError:
        raise KeyboardInterrupt from None
