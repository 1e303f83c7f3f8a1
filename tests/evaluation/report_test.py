"""What an evaluation's files say beside its numbers."""

import types

import pytest

from oasis_tf.evaluation import report
from oasis_tf.evaluation.protocol import Judges
from oasis_tf.evaluation.protocol import Protocol

INCEPTION = Protocol((256, 256), features="inception")


def judge(**attributes):
    return types.SimpleNamespace(**attributes)


@pytest.mark.parametrize(
    ("is_published", "resize", "expected"),
    [
        (True, "pytorch_fid", None),
        (True, "tensorflow_1", "not comparable to pytorch-fid's"),
        (False, "pytorch_fid", "other weights: not comparable"),
        (None, "pytorch_fid", "cannot be checked"),
        (None, "tensorflow_1", "published ones; of images resized as Tens"),
    ],
)
def test_says_whether_inception_is_the_published_one(
    is_published, resize, expected
):
    judges = Judges(inception=judge(is_published=is_published, protocol=resize))
    found = report.notes(judges, INCEPTION)
    if expected is None:
        assert found == {}
    else:
        assert expected in found["fid"]


def test_says_which_judges_are_of_ones_own():
    judges = Judges(
        segmenter=judge(is_ours=True), lpips=judge(is_comparable=False)
    )
    found = report.notes(judges, Protocol((64, 64), features="segmenter"))
    assert set(found) == {"fid", "lpips", "miou", "ms_ssim"}
    assert "of 3 scales, not 5" in found["ms_ssim"]
    assert all("not comparable" in note for note in found.values())
    without = Protocol((8, 8), features="segmenter", diversity_maps=0)
    assert set(report.notes(judges, without)) == {"fid", "miou"}
    theirs = Judges(
        segmenter=judge(is_ours=False), lpips=judge(is_comparable=True)
    )
    assert report.notes(theirs, Protocol((176, 256))) == {}


def test_table_has_the_columns_that_any_model_has():
    all_metrics = [
        {
            "model": name,
            "num_images": 5,
            "protocol": {"split": "validation", "image_size": [8, 16]},
            "notes": {"fid": "of few images"},
            "scores": scores,
        }
        for name, scores in (
            ("a", {"features": {"fid": 12.34, "kid": None}}),
            ("b", {"segmenter": {"fake": {"miou": 0.5}}}),
            ("c", {"features": {"fid": 0.25442}}),
        )
    ]
    lines = report.table(all_metrics).splitlines()
    assert lines[0] == "| Model | FID ↓ | mIoU ↑ |"
    assert lines[2:5] == [
        "| a | 12.3 | - |",
        "| b | - | 0.500 |",
        "| c | 0.254 | - |",
    ]
    assert "a: 5 images of the split `validation`, 8 x 16 pixels." in lines
    assert lines[-1] == "FID, KID, precision and recall: of few images."
