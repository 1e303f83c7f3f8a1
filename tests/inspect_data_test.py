"""The command `inspect_data`."""

import pytest
from PIL import Image

from tests import shared_data
from tests import trained
from tests.data import raw_files


def inspect_data(out, *arguments, run=trained.run):
    return run("inspect_data", f"--out={out}", *arguments, cwd=out.parent)


@pytest.fixture
def raw_dir(tmp_path):
    raw_dir = tmp_path / "raw"
    for name in "abc":
        raw_files.write_image(raw_dir / f"images/{name}.jpg")
        raw_files.write_label(raw_dir / f"labels/{name}.png", [0, 255])
    return raw_dir


def test_reports_good_data(tmp_path, raw_dir):
    result = inspect_data(
        tmp_path / "out",
        "--dataset=folder",
        f"--data_dir={raw_dir}",
        "--set=data.ignore_id=255",
        run=trained.run_process,
    )
    assert result.returncode == 0, result.stderr
    assert "3 semantic channels (2 classes and don't-care)" in result.stdout
    assert "No problems." in result.stdout
    assert (tmp_path / "out/report.txt").read_text() in result.stdout
    with Image.open(tmp_path / "out/train.png") as sheet:
        assert sheet.width > 900
    assert not (tmp_path / "out/problems.txt").exists()


def test_lists_problems_and_exits_with_1(tmp_path, raw_dir):
    for k in range(25):
        raw_files.write_image(raw_dir / f"images/alone{k:02}.jpg")
    result = inspect_data(
        tmp_path / "out",
        "--dataset=folder",
        f"--data_dir={raw_dir}",
        "--set=data.num_classes=2",
        "--set=data.validation_share=0",
    )
    assert result.returncode == 1, result.stderr
    assert "28 problems:" in result.stdout
    assert "alone19.jpg: expected a label map 'alone19'" in result.stdout
    assert "alone20.jpg" not in result.stdout
    assert "... and 8 more" in result.stdout
    assert "data.ignore_id" in result.stdout
    assert "Traceback" not in result.stderr
    problems = (tmp_path / "out/problems.txt").read_text().splitlines()
    assert len(problems) == 28
    assert "expected ids among 0..1, found id 255" in problems[-1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dataset=fodler"], "Did you mean 'folder'?"),
        (["--dataset=folder"], "`--data_dir` must name the folder"),
        (["--dataset=folder", "--data_dir=nowhere"], "does not exist"),
        (["--dataset=folder", "--set=data.x=1"], "data.x"),
        (["--dataset=folder", "--data_dri=x"], "data_dri"),
        ([], "--dataset"),
    ],
)
def test_wrong_usage_exits_with_2(tmp_path, arguments, message):
    result = inspect_data(tmp_path / "out", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("dataset", ["coco_stuff", "ade20k", "camvid"])
def test_shared_samples_are_good(tmp_path, dataset):
    data_dir = shared_data.folder(dataset)
    arguments = [f"--dataset={dataset}"]
    if dataset == "camvid":
        arguments = ["--dataset=folder", "--set=data.ignore_id=11"]
    result = inspect_data(
        tmp_path / "out", f"--data_dir={data_dir}", *arguments
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_inspects_generated_data(tmp_path):
    result = inspect_data(
        tmp_path / "out",
        "--dataset=toy_scenes",
        "--set=data.num_train_scenes=8",
        "--set=data.num_validation_scenes=2",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "out/validation.png").exists()
