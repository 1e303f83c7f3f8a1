"""Processes that work by command, one at a time, while the others wait.

What is compared runs in processes of its own: its memory can be told from the
others', and what is set once in a process, such as the number of devices, can
differ. A command and its reply are a line of JSON each.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

_ROOT = pathlib.Path(__file__).parents[1]
_LAST_LINES = 10  # Of what a process says when it fails.
_PATIENCE = 30  # Seconds that an idle process may take to end.


class ProcessError(Exception):
    """A process that ended instead of doing its work."""


class Process:
    """A module that runs `answer`, in a process of its own.

    Args:
        module: its name, "benchmarks.tensorflow_worker".
        python: path of the interpreter.
        environment: {name: value} of variables that are added, or None.

    Raises:
        ProcessError: if the interpreter is not there.
    """

    def __init__(self, module, python=sys.executable, environment=None):
        self._module = module
        self._said = tempfile.TemporaryFile("w+", errors="replace")
        variables = os.environ | (environment or {})
        if os.sep in str(python):
            python = os.path.abspath(python)  # It starts in another folder.
        if python != sys.executable:
            variables.pop("PYTHONPATH", None)  # Packages of another Python.
        try:
            self._process = subprocess.Popen(
                [str(python), "-m", module],
                cwd=_ROOT,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
            )
        except OSError as error:
            self._said.close()
            raise ProcessError(
                f"{module} needs an interpreter that starts. Received: "
                f"{python}: {error}."
            ) from error

    @property
    def pid(self):
        """The process's number."""
        return self._process.pid

    def ask(self, command, **arguments):
        """Has a command done; returns its result.

        Args:
            command: one of the names that the module gives `answer`.
            **arguments: its, as JSON takes them.

        Raises:
            ProcessError: if the process ends, with the last lines it said.
        """
        try:
            print(
                json.dumps([command, arguments]),
                file=self._process.stdin,
                flush=True,
            )
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            code = self._process.wait()
            self._said.seek(0)
            lines = [line for line in self._said if line.strip()]
            raise ProcessError(
                f"{self._module} must do {command!r}. Received exit code "
                f"{code}:\n" + "".join(lines[-_LAST_LINES:])
            )
        return json.loads(reply)

    def close(self):
        """Ends the process."""
        try:
            self._process.stdin.close()  # The end of its commands.
        except BrokenPipeError:
            pass  # It has ended, with a command unread.
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def answer(handlers):
    """Does commands from standard input until there are no more.

    Args:
        handlers: {command: function}, which takes the command's arguments and
            returns what JSON takes. What it raises ends the process.
    """
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as replies:
        # What libraries print is no reply.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for line in sys.stdin:
            command, arguments = json.loads(line)
            result = handlers[command](**arguments)
            print(json.dumps(result), file=replies, flush=True)
