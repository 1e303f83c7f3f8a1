"""Loading by name, and reuse of what was prepared before."""

import os
import shutil
import threading

import numpy as np
import pytest
import tensorflow_datasets as tfds

from oasis_tf import data
from oasis_tf.config import DataConfig
from oasis_tf.data import folder
from oasis_tf.data import pairs
from oasis_tf.data import prepare
from tests.data import raw_files


@pytest.fixture
def raw_dir(tmp_path):
    raw_dir = tmp_path / "raw"
    for split, names in (("train", "abc"), ("val", "d")):
        for name in names:
            raw_files.write_image(raw_dir / f"{split}_img/{name}.png")
            raw_files.write_label(
                raw_dir / f"{split}_label/{name}.png", [0, 2, 3]
            )
    return raw_dir


@pytest.fixture
def preparations(monkeypatch):
    """A list that grows by one with every preparation."""
    prepared = []

    def count(builder, *args):
        prepared.append(builder.name)
        return real_prepare(builder, *args)

    real_prepare = prepare._prepare
    monkeypatch.setattr(prepare, "_prepare", count)
    return prepared


def load(raw_dir, **settings):
    settings = {"prepared_dir": str(raw_dir.parent / "prepared")} | settings
    return data.load("folder", raw_dir, DataConfig(**settings), (4, 4))


def test_gives_any_example_by_its_number(raw_dir):
    dataset = load(raw_dir, ignore_id=(3,))
    assert dataset.num_examples == {"train": 3, "validation": 1}
    assert dataset.info.class_names[0] == "don't care"
    examples = [
        dataset.decode(serialized)
        for serialized in dataset.read("train", [2, 0])
    ]
    again = dataset.decode(dataset.read("train", [0])[0])
    assert examples[1]["name"] == again["name"] != examples[0]["name"]
    assert examples[0]["image"].shape == (6, 8, 3)
    label_map = np.asarray(examples[0]["label_map"])
    assert label_map[0, :4, 0].tolist() == [1, 3, 0, 2]


def test_reuses_what_is_prepared(raw_dir, preparations):
    first = load(raw_dir)
    assert preparations == ["folder"]
    second = load(raw_dir, flip=False, load_size=(5, 5))
    assert preparations == ["folder"]
    assert second.prepared_dir == first.prepared_dir
    assert second.info == first.info


def change_time(raw_dir):
    os.utime(raw_dir / "train_label/a.png", ns=(1, 1))


def add_pair(raw_dir):
    raw_files.write_image(raw_dir / "train_img/new.png")
    raw_files.write_label(raw_dir / "train_label/new.png", [0])


def remove_pair(raw_dir):
    (raw_dir / "train_img/a.png").unlink()
    (raw_dir / "train_label/a.png").unlink()


def name_classes(raw_dir):
    (raw_dir / "classes.txt").write_text("a\nb\nc\nd\n")


@pytest.mark.parametrize(
    "change", [change_time, add_pair, remove_pair, name_classes]
)
def test_prepares_anew_when_files_change(raw_dir, preparations, change):
    load(raw_dir)
    change(raw_dir)
    load(raw_dir)
    load(raw_dir)
    assert len(preparations) == 2


def test_other_files_in_the_folder_do_not_matter(raw_dir, preparations):
    load(raw_dir)
    (raw_dir / "runs").mkdir()
    (raw_dir / "runs/sheet.png").write_text("not part of the data")
    load(raw_dir)
    assert len(preparations) == 1


def test_prepares_anew_for_other_settings(raw_dir, preparations):
    load(raw_dir)
    load(raw_dir, ignore_id=(3,))
    assert len(preparations) == 2


def test_half_prepared_data_is_not_used(raw_dir, preparations):
    dataset = load(raw_dir)
    # As a killed process leaves it: TFDS's folder has not got its name yet.
    (tfds_dir,) = dataset.prepared_dir.glob("folder/*/1.0.0")
    shutil.move(tfds_dir, tfds_dir.with_name("incomplete.ABCDEF_1.0.0"))
    (dataset.prepared_dir / "dataset.json").unlink()
    assert load(raw_dir).num_examples["train"] == 3
    assert len(preparations) == 2
    assert not list(dataset.prepared_dir.glob("**/incomplete*"))


def test_data_without_its_last_file_is_not_used(raw_dir, preparations):
    dataset = load(raw_dir)
    (dataset.prepared_dir / "dataset.json").unlink()
    assert load(raw_dir).num_examples["train"] == 3
    assert len(preparations) == 2


def test_two_at_once_prepare_once(raw_dir, preparations):
    threads = [threading.Thread(target=load, args=(raw_dir,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert preparations == ["folder"]


def test_refuses_bad_files_and_tells_a_way_out(raw_dir):
    raw_files.write_label(raw_dir / "train_label/b.png", [9])
    with pytest.raises(pairs.DataError) as error:
        load(raw_dir, num_classes=4)
    assert "inspect_data --dataset=folder" in str(error.value)
    assert "data.on_problem=skip" in str(error.value)
    assert "data.ignore_id" in str(error.value)
    dataset = load(raw_dir, num_classes=4, on_problem="skip")
    assert dataset.num_examples == {"train": 2, "validation": 1}


def test_default_place_is_the_users_cache(raw_dir, monkeypatch):
    cache = raw_dir.parent / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    dataset = load(raw_dir, prepared_dir="")
    assert dataset.prepared_dir.parent == cache / "oasis_tf"
    assert dataset.prepared_dir.name.startswith("folder-")


def test_unknown_names_are_refused_with_near_ones(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'cityscapes'"):
        data.load("city_scape", tmp_path, DataConfig(), (4, 4))


@pytest.mark.parametrize(
    "dataset", [n for n in data.NAMES if n != "toy_scenes"]
)
def test_folders_that_are_not_there_are_named(tmp_path, dataset):
    settings = DataConfig(prepared_dir=str(tmp_path / "prepared"))
    with pytest.raises(pairs.DataError, match="which does not exist"):
        data.load(dataset, tmp_path / "nowhere", settings, (4, 4))
    (tmp_path / "empty").mkdir()
    with pytest.raises(pairs.DataError, match="which is empty"):
        data.load(dataset, tmp_path / "empty", settings, (4, 4))


@pytest.mark.parametrize("dataset", ["cityscapes", "folder"])
def test_data_that_has_to_be_brought_needs_a_folder(dataset):
    with pytest.raises(pairs.DataError, match="`--data_dir` must name"):
        data.load(dataset, "", DataConfig(), (4, 4))


def test_unknown_splits_are_refused(raw_dir):
    with pytest.raises(ValueError, match="Received: 'test'"):
        load(raw_dir).read("test", [0])


def test_tfds_knows_the_names():
    for name in data.NAMES:
        builder_class = tfds.builder_cls(name)
        assert builder_class.name == name
        assert builder_class.__module__.startswith("oasis_tf.data")


def test_tfds_loads_a_users_folder(raw_dir):
    splits = tfds.load(
        "folder",
        data_dir=raw_dir.parent / "tfds",
        builder_kwargs={"config": folder.FolderConfig(raw_dir=str(raw_dir))},
    )
    assert raw_files.sizes(splits) == {"train": 3, "validation": 1}
