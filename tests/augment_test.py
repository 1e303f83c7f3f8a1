"""`python -m oasis_tf.augment`: a data set of drawn images."""

import dataclasses

import numpy as np
import pytest

from oasis_tf import config as config_lib
from oasis_tf import data
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.inference.generator import load_generator
from tests import tiny
from tests import trained

CONFIG = tiny.config(data={"num_train_scenes": 5, "num_validation_scenes": 2})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("augment")
    settings = dataclasses.replace(
        CONFIG.data, prepared_dir=str(folder / "data")
    )
    config = dataclasses.replace(CONFIG, data=settings)
    trained.make_workdir(folder / "run", config)
    return folder


def augment(place, *flags):
    return trained.run(
        "augment", "--model=run", "--per_image=2", *flags, cwd=place
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_is_a_folder_that_can_be_trained_on(place):
    done = augment(place, "--num_images=3", "--out=a")
    assert done.returncode == 0, done.stderr
    assert "--dataset=folder --data_dir=" in done.stdout
    settings = config_lib.DataConfig(prepared_dir=str(place / "prepared"))
    dataset = data.load("folder", place / "a", settings, (16, 16))
    assert dataset.num_examples == {"train": 9, "validation": 2}
    assert dataset.info.class_names == Builder.INFO.class_names
    assert dataset.info.colors == Builder.INFO.colors
    original = tiny.dataset(place / "data", CONFIG)
    pairs = {
        example["name"].numpy().decode(): example
        for example in map(dataset.decode, dataset.read("train", range(9)))
    }
    generator = load_generator(place / "run")
    for n in range(3):
        (serialized,) = original.read("train", [n])
        real = original.decode(serialized)
        labels = real["label_map"][..., 0].numpy()
        expected = {"real": real["image"].numpy()}
        for look in range(2):
            expected[f"drawn{look}"] = generator.generate(
                np.uint8(labels), seed=2 * n + look
            )
        for kind, image in expected.items():
            (found,) = [
                pair
                for name, pair in pairs.items()
                if f"{n:06d}_{kind}" in name
            ]
            assert (found["label_map"][..., 0].numpy() == labels).all()
            assert (found["image"].numpy() == image).all()


def test_goes_on_where_it_was_stopped(place):
    flags = ("--num_images=2", "--nowith_real", "--out=b")
    assert augment(place, *flags).returncode == 0
    images = place / "b/images/train"
    before = {name: (images / name).read_bytes() for name in names(images)}
    assert len(before) == 4
    kept, *_, lost = sorted(before)
    (images / lost).unlink()
    time = (images / kept).stat().st_mtime_ns
    assert augment(place, *flags).returncode == 0
    assert (images / kept).stat().st_mtime_ns == time
    assert (images / lost).read_bytes() == before[lost]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out="], "`--out` is needed"),
        (["--out=a", "--num_images=2"], "num_images: was 3, now 2"),
        (["--out=c", "--dataset=cityscapes"], "data_dir"),
    ],
)
def test_mistakes_are_told_in_a_line(place, flags, message):
    done = augment(place, *flags)
    assert done.returncode == 2
    assert message in done.stderr
