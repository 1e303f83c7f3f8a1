"""`python -m oasis_tf.evaluate`, on a tiny run and a tiny segmenter."""

import dataclasses
import json
import shutil
import types

import numpy as np
import pytest
from PIL import Image

from oasis_tf import config as config_lib
from oasis_tf.evaluation import miou
from oasis_tf.evaluation import protocol
from oasis_tf.inference.generator import load_generator
from oasis_tf.inference.segmenter import load_segmenter
from tests import tiny
from tests import trained

CONFIG = tiny.config(data={"num_train_scenes": 8, "num_validation_scenes": 10})
FLAGS = (
    "--segmenter=segmenter/export",
    "--features=segmenter",
    "--diversity_maps=2",
    "--looks=3",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    config = dataclasses.replace(
        CONFIG,
        data=dataclasses.replace(
            CONFIG.data, prepared_dir=str(folder / "data")
        ),
    )
    trained.make_workdir(folder / "run", config)
    tiny.segmenter(folder / "segmenter")
    return folder


def evaluate(place, *flags):
    return trained.run("evaluate", *FLAGS, *flags, cwd=place)


@pytest.fixture(scope="module")
def metrics(place):
    done = evaluate(place, "--model=run", "--out=a")
    assert done.returncode == 0, done.stderr
    assert "16 x 16 pixels" in done.stdout
    return json.loads((place / "a/metrics.json").read_text())


def test_scores_follow_from_the_pictures_that_others_can_draw(place, metrics):
    """The discriminator's numbers, worked out without the command."""
    generator = load_generator(place / "run")
    segmenter = load_segmenter(place / "run")
    dataset = tiny.dataset(place / "data", CONFIG)
    counts = {"real": 0, "fake": 0}
    for n, serialized in enumerate(dataset.read("validation", range(10))):
        example = dataset.decode(serialized)
        label_map = np.int32(example["label_map"][..., 0])
        fake = generator.generate(np.uint8(label_map), seed=n)
        for name, image in (
            ("real", example["image"].numpy()),
            ("fake", fake),
        ):
            found = segmenter.segment(image)
            counts[name] += miou.confusion_matrix(label_map, found, 11)
    for name, confusion in counts.items():
        assert metrics["scores"]["discriminator"][name]["miou"] == (
            pytest.approx(
                miou.mean_iou(confusion, range(len(confusion))), abs=1e-6
            )
        )


def test_says_what_was_measured_and_with_what(place, metrics):
    assert metrics["num_images"] == 10
    assert metrics["protocol"]["features"] == "segmenter"
    assert metrics["protocol"]["ms_ssim_scales"] == 1
    assert set(metrics["judges"]) == {"segmenter", "lpips"}
    assert metrics["versions"]["tensorflow"] == "2.21.0"
    assert "not comparable" in metrics["notes"]["fid"]
    looks = metrics["scores"]["diversity"]
    assert set(looks) == {"image", "class", "region"}
    assert looks["image"]["num_maps"] == 2
    assert looks["image"]["pairs_per_map"] == 3
    table = (place / "a/table.md").read_text()
    assert "| run |" in table
    assert "not comparable to published numbers" in table


def test_draws_pictures(place, metrics):
    for name in ("class_iou", "histograms", "best", "worst"):
        with Image.open(place / f"a/{name}.png") as picture:
            assert min(picture.size) > 100, name


def test_again_measures_nothing_and_says_the_same(place, metrics, monkeypatch):
    def fail(*_):
        raise AssertionError("It was there already.")

    monkeypatch.setattr(protocol.Judges, "measure", fail)
    done = evaluate(place, "--model=run", "--out=a")
    assert done.returncode == 0, done.stderr
    assert json.loads((place / "a/metrics.json").read_text()) == metrics


def test_goes_on_where_it_was_stopped(place, metrics, monkeypatch):
    monkeypatch.setattr(protocol, "PART_SIZE", 4)
    measure = protocol.Judges.measure
    sizes = []

    def count(*arguments):
        if len(sizes) == stop_at:
            raise KeyboardInterrupt
        sizes.append(len(arguments[2]))
        return measure(*arguments)

    monkeypatch.setattr(protocol.Judges, "measure", count)
    flags = ("--model=run", "--out=b", "--diversity_maps=0", "--features=none")
    stop_at = 2
    assert evaluate(place, *flags).returncode == 130
    assert sizes == [4, 4]  # Two parts of the real images.
    stop_at = 5
    assert evaluate(place, *flags).returncode == 130
    assert sizes[2:] == [2, 4, 4]  # Their last, and two of the fakes.
    stop_at = None
    done = evaluate(place, *flags)
    assert done.returncode == 0, done.stderr
    assert sizes[5:] == [2]
    again = json.loads((place / "b/metrics.json").read_text())
    for name in ("segmenter", "discriminator", "statistics"):
        assert again["scores"][name] == metrics["scores"][name]
    # More is measured into the same folder, and nothing else again.
    done = evaluate(place, *flags, "--diversity_maps=1")
    assert done.returncode == 0, done.stderr
    assert sizes[6:] == []
    again = json.loads((place / "b/metrics.json").read_text())
    assert again["scores"]["diversity"]["image"]["num_maps"] == 1


def test_models_side_by_side(place, metrics):
    config = tiny.config(
        data={"num_train_scenes": 8, "num_validation_scenes": 10},
        generator={"noise": "none"},
    )
    settings = dataclasses.replace(
        config.data, prepared_dir=str(place / "data")
    )
    trained.make_workdir(
        place / "other", dataclasses.replace(config, data=settings)
    )
    done = evaluate(place, "--compare=run,other", "--out=c")
    assert done.returncode == 0, done.stderr
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:-1]
        for line in (place / "c/table.md").read_text().splitlines()
        if line.startswith(("| Model", "| run ", "| other "))
    }
    cells = {
        name: dict(zip(map(str.strip, rows["Model"]), map(str.strip, row)))
        for name, row in rows.items()
    }
    alone = metrics["scores"]["segmenter"]["fake"]["miou"]
    assert cells["run"]["mIoU ↑"] == f"{alone:.3f}"
    # The same for both: real images, by the same judge.
    assert cells["run"]["of real"] == cells["other"]["of real"]
    assert cells["run"]["mIoU ↑"] != cells["other"]["mIoU ↑"]
    # Each has the noises that it has.
    assert cells["run"]["MS-SSIM, none noise ↓"] == "-"
    assert cells["other"]["MS-SSIM, image noise ↓"] == "-"
    assert cells["other"]["MS-SSIM, none noise ↓"] == "1.000"
    with Image.open(place / "c/histograms.png") as picture:
        assert picture.size[0] > 500


def change_config(place, name, **changes):
    """Copies the run under another name; its export says other things."""
    shutil.copytree(place / "run", place / name)
    (path,) = (place / name).glob("export/*/*/assets.extra/config.json")
    config = config_lib.from_json(path.read_text())
    path.write_text(config_lib.to_json(dataclasses.replace(config, **changes)))


def test_models_that_cannot_be_compared_are_refused(place):
    change_config(place, "larger", image_size=(32, 32))
    done = evaluate(place, "--compare=run,larger", "--out=d")
    assert done.returncode == 2
    assert "larger: (32, 32) of 'toy_scenes'" in done.stderr
    scenes = dataclasses.replace(CONFIG.data, scene_seed=5)
    change_config(place, "scenes", data=scenes)
    done = evaluate(place, "--compare=run,scenes", "--out=d")
    assert done.returncode == 2
    assert "Received: data.scene_seed: 0, 5." in done.stderr
    (place / "elsewhere/b").mkdir(parents=True)
    shutil.copytree(place / "scenes", place / "elsewhere/b/scenes")
    (place / "b").mkdir(exist_ok=True)
    shutil.copytree(place / "larger", place / "b/scenes")
    done = evaluate(place, "--compare=b/scenes,elsewhere/b/scenes", "--out=d")
    assert f"{place.name}-b-scenes: (32, 32) of" in done.stderr
    assert "elsewhere-b-scenes: (16, 16) of" in done.stderr
    done = evaluate(place, "--compare=run,larger,run", "--out=d")
    assert done.returncode == 2
    assert "must be different models" in done.stderr
    assert not (place / "d").exists()


def test_a_discriminator_of_another_step_is_left_out(place):
    shutil.copytree(place / "run", place / "later")
    for path in (place / "later/checkpoints").iterdir():
        path.rename(path.with_name(path.name.replace("step-6", "step-9")))
    flags = ("--model=later", "--diversity_maps=0", "--num_images=4")
    done = evaluate(place, *flags, "--out=e")
    assert done.returncode == 0, done.stderr
    assert "has made 9 steps, the exported generator 6" in done.stdout
    scores = json.loads((place / "e/metrics.json").read_text())["scores"]
    assert "segmenter" in scores
    assert "discriminator" not in scores


@pytest.mark.parametrize(
    ("trained_with", "kinds"),
    [
        ("image", ("image", "class", "region")),
        ("pixel", ("pixel", "image", "class", "region")),
        ("none", ("none",)),
    ],
)
def test_diversity_is_first_by_the_noise_that_is_trained_with(
    trained_with, kinds
):
    config = tiny.config(generator={"noise": trained_with})
    evaluation = types.SimpleNamespace(
        _generator=types.SimpleNamespace(config=config)
    )
    assert protocol.Evaluation.noises.fget(evaluation) == kinds


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "Received: neither"),
        (["--model=run", "--compare=run"], "Received: both"),
        (["--model=nowhere"], "which does not exist"),
        (["--model=run", "--segmenter=run"], "must be a SavedModel"),
        (["--model=run", "--features=inception"], "--inception_weights"),
        (["--model=run", "--inception_resize=tensorflow_1"], "Received: none"),
        (["--model=run", "--lpips_linear=a.pth"], "together"),
        (["--model=run", "--out=a", "--seed=5"], "seed: was 0, now 5"),
        (["--model=run", "--dataset=no_such"], "no_such"),
    ],
)
def test_mistakes_are_told_in_a_line(place, metrics, flags, message):
    done = evaluate(place, *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
