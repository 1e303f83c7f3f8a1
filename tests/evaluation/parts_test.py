"""Work in parts that survives being stopped."""

import numpy as np
import pytest

from oasis_tf.evaluation.parts import Parts
from oasis_tf.evaluation.parts import digest

SETTINGS = {"seed": 1, "size": (4, 8)}


def test_items_are_split_in_order(tmp_path):
    parts = Parts(tmp_path, SETTINGS, num_items=7, size=3)
    assert parts.count == 3
    assert [list(parts.items(n)) for n in range(3)] == [
        [0, 1, 2],
        [3, 4, 5],
        [6],
    ]


def test_what_is_done_is_not_missing_and_is_read_in_order(tmp_path):
    parts = Parts(tmp_path, SETTINGS, 7, 3)
    for number in (2, 0):
        parts.write(number, {"a/b": np.full([2], number)})
    again = Parts(tmp_path, SETTINGS, 7, 3)
    assert again.missing() == [1]
    again.write(1, {"a/b": np.full([2], 1)})
    assert again.missing() == []
    assert [found["a/b"].tolist() for found in again.read()] == [
        [0, 0],
        [1, 1],
        [2, 2],
    ]


def test_a_truncated_part_is_missing(tmp_path):
    parts = Parts(tmp_path, SETTINGS, 2, 1)
    for number in range(2):
        parts.write(number, {"a": np.zeros([100])})
    path = tmp_path / "part_00001.npz"
    path.write_bytes(path.read_bytes()[:200])
    assert parts.missing() == [1]


def test_other_settings_are_refused_and_leave_what_is_there(tmp_path):
    Parts(tmp_path, SETTINGS, 2, 1).write(0, {"a": np.ones([1])})
    with pytest.raises(ValueError, match=r"other settings.*\n  seed: was 1, "):
        Parts(tmp_path, SETTINGS | {"seed": 2}, 2, 1)
    with pytest.raises(ValueError, match="num_items: was 2, now 3"):
        Parts(tmp_path, SETTINGS, 3, 1)
    assert Parts(tmp_path, SETTINGS, 2, 1).missing() == [1]


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ValueError, match="settings.json must be there"):
        Parts(tmp_path, SETTINGS, 2, 1)


def test_digest_tells_contents_and_names_apart(tmp_path):
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(text)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")
    (tmp_path / "b/file").rename(tmp_path / "b/other")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")
    file = tmp_path / "a/file"
    assert digest(file) == digest(tmp_path / "a/file")
    assert digest(file, tmp_path / "c/file") != digest(file)
