"""Commands that run others."""

import signal
import subprocess

import pytest

from oasis_tf import processes


class Process:
    """Stands for one that ends at once."""

    def __init__(self, code):
        self.code = code

    def wait(self):
        return self.code


def test_what_fails_is_named_and_its_exit_code_passed_on(capfd):
    with pytest.raises(SystemExit) as exit_:
        processes.run("no_such_command", "--flag=1")
    assert exit_.value.code == 1
    error = capfd.readouterr().err
    assert "`-m oasis_tf.no_such_command --flag=1` failed." in error


@pytest.mark.parametrize("code", [-signal.SIGTERM, -signal.SIGINT, 130])
def test_one_that_was_told_to_stop_stops_this_one(code, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda _: Process(code))
    with pytest.raises(KeyboardInterrupt):
        processes.run("train")


def test_one_that_was_killed_has_failed(capsys, monkeypatch):
    """By the system, as it was short of memory: it would be again."""
    code = -signal.SIGKILL
    monkeypatch.setattr(subprocess, "Popen", lambda _: Process(code))
    with pytest.raises(SystemExit) as exit_:
        processes.run("train")
    assert exit_.value.code == 137
    assert "was killed by signal 9" in capsys.readouterr().err
