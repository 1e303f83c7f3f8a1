"""Processes that work by command."""

import pathlib
import subprocess
import sys

import pytest

from benchmarks.processes import Process
from benchmarks.processes import ProcessError

MODULE = """
import os, subprocess, sys
from benchmarks import processes

def double(number):
    print("not a reply")
    subprocess.run(["echo", "nor this"])
    return 2 * number

def fail(why):
    raise ValueError(f"it must not be {why}")

def read(name):
    return os.environ.get(name)

processes.answer({"double": double, "fail": fail, "read": read})
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Function that starts a process which doubles, fails and reads."""
    (tmp_path / "doubling.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda **arguments: Process("doubling", **arguments)


def test_commands_are_done_one_after_the_other(make):
    with make() as process:
        assert process.ask("double", number=3) == 6
        assert process.ask("double", number=[1, "a"]) == [1, "a", 1, "a"]


def test_a_process_ends_with_its_context(make):
    with make() as process:
        process.ask("double", number=1)
        alive = subprocess.run(["kill", "-0", str(process.pid)])
        assert alive.returncode == 0
    gone = subprocess.run(
        ["kill", "-0", str(process.pid)], stderr=subprocess.DEVNULL
    )
    assert gone.returncode != 0


def test_variables_are_added_to_the_environment(make, monkeypatch):
    monkeypatch.setenv("FIRST", "1")
    with make(environment={"SECOND": "2"}) as process:
        assert process.ask("read", name="FIRST") == "1"
        assert process.ask("read", name="SECOND") == "2"


def test_a_failure_is_told_with_its_reason(make):
    with make() as process:
        with pytest.raises(ProcessError, match="(?s)do 'fail'.*not be late"):
            process.ask("fail", why="late")
        # It stays ended.
        with pytest.raises(ProcessError, match="(?s)do 'double'.*not be late"):
            process.ask("double", number=1)


def test_an_interpreter_s_path_is_from_where_one_is(monkeypatch):
    python = pathlib.Path(sys.executable)
    monkeypatch.chdir(python.parent.parent)
    relative = f"{python.parent.name}/{python.name}"
    with Process("benchmarks.nowhere", python=relative) as process:
        with pytest.raises(ProcessError, match="No module named"):
            process.ask("double", number=1)


def test_an_interpreter_that_is_not_there_is_told():
    with pytest.raises(ProcessError, match="interpreter.*nowhere/python"):
        Process("doubling", python="nowhere/python")


def test_a_module_that_is_not_there_is_told():
    with Process("benchmarks.nowhere", python=sys.executable) as process:
        with pytest.raises(ProcessError, match="No module named"):
            process.ask("double", number=1)
