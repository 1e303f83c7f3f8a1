"""What becomes of errors."""

import logging as pylogging
import sys

import numpy as np
import pytest
from absl import logging

from benchmarks import label_maps
from oasis_tf import command_line
from oasis_tf.data import reading
from oasis_tf.inference import change


def error_of(function):
    with pytest.raises(ValueError) as caught:
        function()
    return caught.value


def test_what_the_package_raises_is_told_in_a_line(tmp_path):
    error = error_of(lambda: reading.read_image(tmp_path / "none.png"))
    assert command_line._is_ours(error)


def test_what_a_benchmark_raises_is_told_in_a_line(tmp_path):
    error = error_of(lambda: label_maps.read(tmp_path, 1, 8, 5))
    assert command_line._is_ours(error)


def test_what_a_library_raises_keeps_its_traceback():
    # The second in compiled code that the package calls.
    for error in (
        error_of(lambda: bool(np.zeros(2))),
        error_of(lambda: change.pixel_change(np.ones([2, 3]), np.ones([4, 3]))),
    ):
        assert not command_line._is_ours(error)


def test_fail_names_the_command_and_returns_the_code(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/a/oasis_tf/segment.py", "--x"])
    assert command_line.fail("Wrong.", 1) == 1
    assert capsys.readouterr().err == "oasis_tf.segment: Wrong.\n"


def test_progress_is_shown_without_what_libraries_tell(monkeypatch):
    verbosity = logging.get_verbosity()
    logger = logging.get_absl_logger()
    shown = []
    monkeypatch.setattr(logger, "callHandlers", shown.append)
    try:
        command_line.show_progress()
        for path in (change.__file__, np.__file__):
            for level in (pylogging.INFO, pylogging.WARNING):
                logger.handle(
                    pylogging.LogRecord("", level, path, 1, "a", (), None)
                )
    finally:
        logging.set_verbosity(verbosity)
        logger.removeFilter(command_line._is_for_users)
    assert [(r.pathname, r.levelno) for r in shown] == [
        (change.__file__, pylogging.INFO),
        (change.__file__, pylogging.WARNING),
        (np.__file__, pylogging.WARNING),
    ]
