"""A user's own folder: its layout, classes, don't-care and colours."""

import numpy as np
import pytest
from PIL import Image

from oasis_tf.config import DataConfig
from oasis_tf.data import folder
from oasis_tf.data import folder_layout
from oasis_tf.data import pairs
from oasis_tf.data.label_map import ranges
from tests import shared_data
from tests.data import raw_files


def make_builder(raw_dir, **settings):
    return folder.Builder.from_settings(
        DataConfig(**settings), (4, 4), raw_dir, data_dir=raw_dir / "unused"
    )


def write_pairs(raw_dir, images, labels, names="ab", ids=(0, 1, 2)):
    for name in names:
        raw_files.write_image(raw_dir / images / f"{name}.jpg")
        raw_files.write_label(raw_dir / labels / f"{name}.png", ids)


def names_of(raw_dir, **settings):
    listings = make_builder(raw_dir, **settings).list_pairs([])
    assert not any(listing.problems for listing in listings.values())
    return {
        split: "".join(pair.name for pair in listing.pairs)
        for split, listing in listings.items()
    }


@pytest.mark.parametrize(
    "ids, settings, is_told",
    [
        ((0, 1, 77), {}, True),
        ((0, 1, 77), {"ignore_id": (0,)}, True),
        ((0, 1, 2), {}, False),
        ((0, 1, 3), {"ignore_id": (2,)}, False),
        ((0, 1, 255), {"ignore_id": (255,)}, False),
        ((0, 1, 77), {"num_classes": 2}, False),
    ],
)
def test_tells_that_a_stray_id_is_taken_for_a_class(
    tmp_path, monkeypatch, ids, settings, is_told
):
    told = []
    monkeypatch.setattr(
        folder.logging, "warning", lambda text, *values: told.append(values)
    )
    write_pairs(tmp_path, "images", "labels", ids=ids)
    info = make_builder(tmp_path, **settings).INFO
    labels = ranges(sorted(set(ids) - set(settings.get("ignore_id", ()))))
    assert told == ([(labels,)] if is_told else [])
    assert ("class 77" in info.class_names) == (77 in ids and is_told)


@pytest.mark.parametrize(
    "train_images, train_labels, validation_images, validation_labels",
    [
        ("train", "trainannot", "val", "valannot"),
        ("images/train", "labels/train", "images/val", "labels/val"),
        (
            "images/training",
            "annotations/training",
            "images/validation",
            "annotations/validation",
        ),
        ("train/images", "train/labels", "val/images", "val/labels"),
        ("train/images", "train/masks", "valid/images", "valid/masks"),
        ("train_img", "train_label", "val_img", "val_label"),
        ("train_images", "train_labels", "val_images", "val_labels"),
    ],
)
def test_finds_usual_layouts(
    tmp_path, train_images, train_labels, validation_images, validation_labels
):
    write_pairs(tmp_path, train_images, train_labels, "ab")
    write_pairs(tmp_path, validation_images, validation_labels, "cd")
    assert names_of(tmp_path) == {"train": "ab", "validation": "cd"}


def test_holds_out_validation_pairs_where_there_are_none(tmp_path):
    write_pairs(tmp_path, "images", "labels", "abcdefghij")
    held = names_of(tmp_path, validation_share=0.2)
    assert len(held["validation"]) == 2
    assert sorted(held["train"] + held["validation"]) == list("abcdefghij")
    assert held == names_of(tmp_path, validation_share=0.2)
    assert len(names_of(tmp_path)["validation"]) == 1
    assert names_of(tmp_path, validation_share=0.0) == {"train": "abcdefghij"}


def test_new_files_move_few_pairs_between_the_splits():
    def held_out(count):
        listing = pairs.Listing(
            [pairs.Pair(f"{k}", f"{k}.jpg", f"{k}.png") for k in range(count)],
            [],
        )
        settings = DataConfig(validation_share=0.1)
        split = folder_layout.hold_out(listing, settings)["validation"]
        return {pair.name for pair in split.pairs}

    assert len(held_out(100) & held_out(105)) >= 8


def test_takes_the_names_that_are_set(tmp_path):
    write_pairs(tmp_path, "photos", "maps", "ab")
    write_pairs(tmp_path, "photos2", "maps2", "c")
    names = {"train_images": "photos", "train_labels": "maps"}
    assert len(names_of(tmp_path, **names)["train"]) == 1
    names |= {"validation_images": "photos2", "validation_labels": "maps2"}
    assert names_of(tmp_path, **names) == {"train": "ab", "validation": "c"}


def test_takes_suffixes(tmp_path):
    raw_files.write_image(tmp_path / "images/a_rgb.png")
    raw_files.write_image(tmp_path / "images/a_depth.png")
    raw_files.write_label(tmp_path / "labels/a_ids.png", [0])
    settings = {"image_suffix": "_rgb", "label_suffix": "_ids"}
    assert names_of(tmp_path, **settings) == {"train": "a"}


def test_names_what_it_tried_and_what_is_there(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(pairs.DataError) as error:
        make_builder(tmp_path).list_pairs([])
    assert "train_images" in str(error.value)
    assert "images/train + labels/train" in str(error.value)
    assert f"Received: {tmp_path}, which holds photos/." in str(error.value)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"train_images": "images"}, "must be set both, or none"),
        (
            {"train_images": "images", "train_labels": "nowhere"},
            "`data.train_labels` must be a folder .* 'nowhere'",
        ),
        ({"class_names": "no.txt"}, "`data.class_names` must be a file"),
        ({"num_classes": 2, "class_names": "c.txt"}, "2, and 3 names"),
        ({"remap": "5:9"}, "Received: 5:9"),
    ],
)
def test_refuses_settings_that_do_not_fit(tmp_path, settings, message):
    write_pairs(tmp_path, "images", "labels")
    (tmp_path / "c.txt").write_text("sky\nroad\ntree\n")
    with pytest.raises(ValueError, match=message):
        builder = make_builder(tmp_path, **settings)
        builder.list_pairs([])
        _ = builder.INFO


def test_hints_at_suffixes_where_no_names_agree(tmp_path):
    raw_files.write_image(tmp_path / "images/a_rgb.png")
    raw_files.write_label(tmp_path / "labels/a_ids.png", [0])
    with pytest.raises(pairs.DataError, match="data.image_suffix"):
        make_builder(tmp_path).list_pairs([])


def test_refuses_validation_images_without_labels(tmp_path):
    write_pairs(tmp_path, "train_img", "train_label")
    (tmp_path / "val_img").mkdir()
    with pytest.raises(pairs.DataError, match="val_label must hold the"):
        make_builder(tmp_path).list_pairs([])


def test_counts_classes_without_names(tmp_path):
    write_pairs(tmp_path, "images", "labels", ids=(0, 4, 9))  # And 1.
    info = make_builder(tmp_path).INFO
    assert info.class_names == ("class 0", "class 1", "class 4", "class 9")
    assert dict(info.label_of_id) == {0: 0, 1: 1, 4: 2, 9: 3}
    assert not info.has_dont_care
    assert len(set(info.colors)) == 4


def test_ignored_ids_become_label_0(tmp_path):
    write_pairs(tmp_path, "images", "labels", ids=(0, 4, 255))
    info = make_builder(tmp_path, ignore_id=(255, 4)).INFO
    assert info.class_names == ("don't care", "class 0", "class 1")
    assert dict(info.label_of_id) == {4: 0, 255: 0, 0: 1, 1: 2}


def test_number_of_classes_leaves_out_ignored_ids(tmp_path):
    write_pairs(tmp_path, "images", "labels")
    info = make_builder(tmp_path, ignore_id=(0,), num_classes=3).INFO
    assert dict(info.label_of_id) == {0: 0, 1: 1, 2: 2, 3: 3}


def test_replaced_ids_get_the_label_of_their_target(tmp_path):
    write_pairs(tmp_path, "images", "labels", ids=(0, 2, 3, 7))
    settings = {"remap": "3:1,7:255", "ignore_id": (255,)}
    expected = {255: 0, 7: 0, 0: 1, 1: 2, 3: 2, 2: 3}
    info = make_builder(tmp_path, **settings).INFO
    assert dict(info.label_of_id) == expected
    (tmp_path / "remap.txt").write_text("3:1\n7:255\n")
    info = make_builder(tmp_path, **settings | {"remap": "remap.txt"}).INFO
    assert dict(info.label_of_id) == expected


def test_reads_names_from_classes_txt(tmp_path):
    write_pairs(tmp_path, "images", "labels")
    (tmp_path / "classes.txt").write_text("0\tsky\t1\t2\t3\n1\troad\n2\tx\n")
    info = make_builder(tmp_path, ignore_id=(2,)).INFO
    assert info.class_names == ("x", "sky", "road")
    assert info.colors[:2] == ((0, 0, 0), (1, 2, 3))


@pytest.mark.parametrize("text", ["0 sky\n1 road\n2 Void\n", None])
def test_asks_about_ids_that_look_like_dont_care(tmp_path, text):
    write_pairs(tmp_path, "images", "labels", ids=(0, 2, 255))
    suspect = 255
    if text:
        (tmp_path / "classes.txt").write_text(text)
        suspect = 2
    with pytest.raises(pairs.DataError, match=f"data.ignore_id={suspect}`"):
        _ = make_builder(tmp_path).INFO
    info = make_builder(tmp_path, ignore_id=(-1,)).INFO
    assert suspect in info.label_of_id
    assert not info.has_dont_care


def test_reads_labels_by_their_colours(tmp_path):
    raw_files.write_image(tmp_path / "images/a.png", 1, 3)
    (tmp_path / "labels").mkdir()
    colors = np.array([[[9, 9, 9], [0, 0, 0], [1, 2, 3]]], np.uint8)
    Image.fromarray(colors).save(tmp_path / "labels/a.png")
    (tmp_path / "colors.txt").write_text("0 void 0 0 0\n4 sky 1 2 3\n5 x 9 9 9")
    builder = make_builder(tmp_path, palette="colors.txt", ignore_id=(0,))
    (pair,) = builder.list_pairs([])["train"].pairs
    assert builder.read(pair).label_map.tolist() == [[2, 0, 1]]
    assert builder.INFO.class_names == ("void", "sky", "x")
    assert builder.INFO.colors == ((0, 0, 0), (1, 2, 3), (9, 9, 9))


def test_hints_fit_the_problems(tmp_path):
    builder = make_builder(tmp_path)
    problems = {
        "data.ignore_id": pairs.Problem("a", "ids among 0", "id 255"),
        "data.palette": pairs.Problem("a", "a single channel of ids", "3"),
        "data.label_suffix": pairs.Problem("a", "an image", "none"),
    }
    for setting, problem in problems.items():
        assert setting in builder.hint([problem])
    assert builder.hint([pairs.Problem("a", "an image", "a text")]) == ""


def test_prepared_name_depends_on_what_matters_alone(tmp_path):
    def name(**settings):
        return make_builder(tmp_path, **settings).builder_config.name

    assert name() == name(flip=False, prepared_dir="x", load_size=(9, 9))
    assert name() != name(ignore_id=(1,))


def test_camvid_as_it_is():
    builder = make_builder(shared_data.folder("camvid"), ignore_id=(11,))
    assert builder.INFO.semantic_channels == 12
    assert builder.INFO.class_names[:3] == ("Void", "Sky", "Building")
    assert builder.INFO.label_of_id[11] == 0
    listings = builder.list_pairs([])
    assert len(listings["train"].pairs) == 316
    assert len(listings["validation"].pairs) == 51
    label_map = builder.read(listings["train"].pairs[0]).label_map
    assert label_map.shape == (360, 480)
    assert set(np.unique(label_map)) <= set(range(12))


def test_camvid_without_settings_hints_at_the_ignore_id():
    builder = make_builder(shared_data.folder("camvid"))
    with pytest.raises(pairs.DataError, match="11 is called 'Void'"):
        _ = builder.INFO
