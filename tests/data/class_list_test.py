"""Files of class names, palettes and replaced ids."""

import pytest

from oasis_tf.data import class_list


def write(tmp_path, text):
    path = tmp_path / "classes.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "# id name\n0\tsky\t1\t2\t3\n5\tstop sign\n",
        "0\tsky\t1 2 3\n\n5\tstop sign\n",
        "0 sky 1 2 3\r\n5 stop sign\r\n",
        "\ufeff0: sky 1,2,3\n5: stop sign\n",
    ],
    ids=["tabs", "tab and spaces", "spaces", "colons"],
)
def test_reads_ids_names_and_colours(tmp_path, text):
    classes = class_list.read_classes(write(tmp_path, text))
    assert classes.names == {0: "sky", 5: "stop sign"}
    assert classes.colors == {0: (1, 2, 3)}


def test_plain_names_count_from_0(tmp_path):
    classes = class_list.read_classes(write(tmp_path, "sky\n# no\nroad lane\n"))
    assert classes.names == {0: "sky", 1: "road lane"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("0 sky\nroad\n", "line 2: all lines must start with an id, or none"),
        ("0 sky\n0 road\n", "line 2: an id must come once"),
        ("0 sky 1 2 300\n", "line 1: colours must be 0..255"),
        ("# nothing\n", "at least one class"),
        # As CamVid's own list is written, and a table with a heading.
        ("64 128 64\tAnimal\n", "line 1: a class must be `id name r g b`"),
        ("name,r,g,b\nsky,1,2,3\n", "line 1: a class must be `id name r g b`"),
    ],
)
def test_refuses_other_lines(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        class_list.read_classes(write(tmp_path, text))


def test_refuses_files_that_are_not_text(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="must be a text file"):
        class_list.read_classes(path)


def test_palette_gives_ids_of_colours(tmp_path):
    path = write(tmp_path, "0 sky 1 2 3\n4 road 5 6 7\n")
    classes, id_of_color = class_list.read_palette(path)
    assert classes.names == {0: "sky", 4: "road"}
    assert id_of_color == {(1, 2, 3): 0, (5, 6, 7): 4}


@pytest.mark.parametrize(
    "text, message",
    [
        ("0 sky 1 2 3\n1 road\n", "none for 1 'road'"),
        ("0 sky 1 2 3\n1 road 1 2 3\n", r"\(1, 2, 3\) for 0 and 1"),
    ],
)
def test_palette_needs_one_colour_per_class(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        class_list.read_palette(write(tmp_path, text))


def test_reads_replaced_ids(tmp_path):
    assert class_list.parse_remap("7:0, 8:1") == {7: 0, 8: 1}
    path = write(tmp_path, "# old:new\n7:0\n8:1\n")
    assert class_list.read_remap(path) == {7: 0, 8: 1}


@pytest.mark.parametrize("text", ["7", "7:a", "7:0,7:1", "-1:0"])
def test_refuses_other_texts_of_replaced_ids(text):
    with pytest.raises(ValueError, match="`data.remap` must be"):
        class_list.parse_remap(text)


def test_knows_names_of_dont_care():
    for name in ("Void", "unlabelled", "unlabeled", "ignore", "don't care"):
        assert class_list.is_dont_care_name(name)
    for name in ("sky", "avoid", "careful", "ignition"):
        assert not class_list.is_dont_care_name(name)
