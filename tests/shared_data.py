"""Where the samples of real data sets lie, outside of the checkout."""

import pathlib

import pytest

_SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared/data"


def folder(name):
    """Returns the path of a sample; skips the test where it is not there.

    Args:
        name: "camvid", "coco_stuff" or "ade20k".
    """
    path = _SHARED_DATA / name
    if not path.is_dir():
        pytest.skip(f"needs {path}")
    return path
