"""Files of a trained model."""

from oasis_tf import model_files


def test_write_replaces_the_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    model_files.write(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
