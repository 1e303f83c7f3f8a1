"""What is asked of the processor, with files and modules in its place."""

import os
import pathlib
import sys

import pytest

from oasis_tf import processor

X86 = """\
processor\t: 0
model name\t: avx512f in the name alone
flags\t\t: fpu avx2 fma

processor\t: 1
flags\t\t: fpu avx2 fma
"""
ARM = "Features\t: fp asimd\n"


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    """Function that sets what Linux tells of the processor."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(pathlib, "Path", lambda _: path)
    return path.write_text


class TestFeatures:
    def test_are_those_of_x86(self, cpuinfo):
        cpuinfo(X86)
        assert processor.features() == {"fpu", "avx2", "fma"}

    def test_are_those_of_arm(self, cpuinfo):
        cpuinfo(ARM)
        assert processor.features() == {"fp", "asimd"}

    @pytest.mark.usefixtures("cpuinfo")
    def test_are_none_where_there_is_no_such_file(self):
        assert processor.features() == set()


class TestUseOneDNN:
    @pytest.fixture(autouse=True)
    def clean(self, monkeypatch):
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
        monkeypatch.delitem(sys.modules, "tensorflow", raising=False)

    def use(self):
        processor.use_onednn()
        return os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)

    def test_sets_the_variable(self):
        assert self.use() == "1"

    def test_keeps_what_the_user_has_set(self, monkeypatch):
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        assert self.use() == "0"

    def test_does_nothing_where_it_is_too_late(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorflow", object())
        assert self.use() is None


@pytest.mark.parametrize(
    "variable, flags, expected",
    [
        ("1", "avx2", True),
        ("true", "avx2", True),
        ("0", "avx2", False),
        ("", "avx2", False),
        ("1", "avx2 avx512f", False),
        ("1", "asimd", False),
    ],
)
def test_onednn_is_slow_in_copying_with_avx2_alone(
    variable, flags, expected, cpuinfo, monkeypatch
):
    cpuinfo(f"flags : fpu {flags}\n")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", variable)
    assert processor.is_onednn_slow_in_copying() is expected
