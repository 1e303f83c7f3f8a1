"""Finding and matching image and label files."""

import pytest

from oasis_tf.data import pairs


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_pairs_files_of_one_name_whatever_their_ending(tmp_path):
    for name in ("b.JPG", "a.png", "deep/c.jpeg", ".hidden.jpg", "notes.txt"):
        touch(tmp_path / "images" / name)
    for name in ("a.png", "b.png", "deep/c.png"):
        touch(tmp_path / "labels" / name)
    listing = pairs.pair_folders(tmp_path / "images", tmp_path / "labels")
    assert [pair.name for pair in listing.pairs] == ["a", "b", "deep/c"]
    assert listing.pairs[1].image == tmp_path / "images/b.JPG"
    assert listing.problems == []


def test_suffixes_choose_files_among_their_siblings(tmp_path):
    for name in ("x_leftImg8bit.png", "x_disparity.png"):
        touch(tmp_path / "images" / name)
    for name in ("x_labelIds.png", "x_color.png", "x_instanceIds.png"):
        touch(tmp_path / "labels" / name)
    listing = pairs.pair_folders(
        tmp_path / "images", tmp_path / "labels", "_leftImg8bit", "_labelIds"
    )
    assert listing.problems == []
    assert [pair.label.name for pair in listing.pairs] == ["x_labelIds.png"]


def test_follows_links_to_folders_once(tmp_path):
    for kind in ("images", "labels"):
        touch(tmp_path / "elsewhere" / kind / "x.png")
        (tmp_path / kind).mkdir()
        link = tmp_path / kind / "drive"
        link.symlink_to(tmp_path / "elsewhere" / kind)
        (link / "again").symlink_to(link)  # Holds itself.
    listing = pairs.pair_folders(tmp_path / "images", tmp_path / "labels")
    assert listing.problems == []
    assert [pair.name for pair in listing.pairs] == ["drive/x"]


def test_missing_partners_and_double_names_are_problems(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpg"):
        touch(tmp_path / "images" / name)
    for name in ("a.png", "c.png"):
        touch(tmp_path / "labels" / name)
    listing = pairs.pair_folders(tmp_path / "images", tmp_path / "labels")
    assert [pair.name for pair in listing.pairs] == ["a"]
    images, labels = tmp_path / "images", tmp_path / "labels"
    assert [str(problem) for problem in listing.problems] == [
        f"{images}/a.png: expected one file of this name, found also "
        f"{images}/a.jpg",
        f"{images}/b.jpg: expected a label map 'b' in {labels}, found none",
        f"{labels}/c.png: expected an image 'c' in {images}, found none",
    ]


def test_find_folder_takes_the_first_that_exists(tmp_path):
    (tmp_path / "one/second").mkdir(parents=True)
    (tmp_path / "two/first").mkdir(parents=True)
    raw_dirs = [tmp_path / "one", tmp_path / "two"]
    found = pairs.find_folder(raw_dirs, ["first", "second"], "images")
    assert found == tmp_path / "two/first"


def test_find_folder_says_what_it_looked_for_and_what_is_there(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(pairs.DataError) as error:
        pairs.find_folder([tmp_path], ["train", "training"], "images")
    assert "folder of images must be one of train, training" in str(error.value)
    assert f"Received: {tmp_path}, which holds pictures/." in str(error.value)


def test_error_lists_the_first_ten_problems():
    problems = [pairs.Problem(f"{k}.png", "x", "y") for k in range(12)]
    text = str(pairs.DataError("Bad data.", problems))
    assert text.splitlines()[0] == "Bad data."
    assert "9.png: expected x, found y" in text
    assert "10.png" not in text
    assert text.endswith("... and 2 more")
