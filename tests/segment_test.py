"""`python -m oasis_tf.segment`, with networks that nobody trained."""

import numpy as np
import pytest
from PIL import Image

import oasis_tf
from oasis_tf.evaluation import miou
from tests import trained


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segment")
    trained.make_workdir(folder / "run")
    trained.save_scene(folder, 5)
    trained.save_scene(folder, 6, (20, 18))
    return folder


def segment(place, *flags):
    return trained.run("segment", "--model=run", *flags, cwd=place)


def test_writes_ids_colours_and_overlay_and_scores_them(place):
    done = trained.run_process(
        "segment",
        *("--model=run", "--image=photo5.png", "--label_map=map5.png"),
        "--out=a",
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (place / "a").iterdir())
    assert names == [
        f"photo5_{kind}.png" for kind in ("colors", "ids", "overlay", "sheet")
    ]
    ids = np.asarray(Image.open(place / "a/photo5_ids.png"))
    segmenter = oasis_tf.load_segmenter(place / "run")
    expected = segmenter.segment(place / "photo5.png")
    assert (ids == expected).all()
    truth = np.asarray(Image.open(place / "map5.png"))
    confusion = miou.confusion_matrix(truth, ids, 11)
    assert (
        f"mIoU {miou.mean_iou(confusion, range(len(confusion))):.3f}"
        in done.stdout
    )


def test_without_the_truth_tells_the_shares(place):
    done = segment(place, "--image=photo6.png", "--size=16,16")
    assert done.returncode == 0, done.stderr
    assert " %  " in done.stdout
    ids = Image.open(place / "runs/segment/photo6/photo6_ids.png")
    assert ids.size == (18, 20)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image=no.png"], "no.png: expected an image"),
        (["--image=photo6.png"], "(20, 16) would do"),
        (["--image=photo5.png", "--label_map=map6.png"], "(16, 16)"),
        (["--image=photo5.png", "--model=run/export"], "without config.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(place, flags, message):
    done = segment(place, *flags, "--out=bad")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (place / "bad").exists()
