"""What becomes of errors."""

import sys

import numpy as np
import pytest

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


def test_what_a_library_raises_keeps_its_traceback():
    # The second in compiled code that the package calls.
    for error in (
        error_of(lambda: bool(np.zeros(2))),
        error_of(lambda: change.pixel_change(np.ones([2, 3]), np.ones([4, 3]))),
    ):
        assert not command_line._is_ours(error)


def test_fail_names_the_command_and_returns_the_code(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/a/b/segment.py", "--x"])
    assert command_line.fail("Wrong.", 1) == 1
    assert capsys.readouterr().err == "oasis_tf.segment: Wrong.\n"
