"""TFDS builder of COCO-Stuff."""

import functools
import pathlib

import tensorflow_datasets as tfds

from oasis_tf.data import builder
from oasis_tf.data import colors
from oasis_tf.data import dataset
from oasis_tf.data import pairs

URLS = {
    "train_images": "http://images.cocodataset.org/zips/train2017.zip",
    "validation_images": "http://images.cocodataset.org/zips/val2017.zip",
    "label_maps": (
        "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/"
        "stuffthingmaps_trainval2017.zip"
    ),
}

_NUM_CLASSES = 182
_UNLABELED_ID = 255
_CLASS_NAMES = (
    pathlib.Path(__file__)
    .with_name("class_names.txt")
    .read_text(encoding="utf-8")
    .splitlines()
)


class Builder(builder.SegmentationBuilder):
    """COCO-Stuff 2017: 118,287 training and 5,000 validation images.

    182 classes: 91 things (11 of them never annotated) and 91 stuff. The
    pixel maps hold the published label number minus 1, and 255 for
    unlabelled, which becomes label 0; label = id + 1.

    Reads two layouts, whichever is there:

        train2017/*.jpg  val2017/*.jpg        official; also below `images/`;
        stuffthingmaps_trainval2017/          the maps may also lie among the
            {train,val}2017/*.png             images or in `stuffthingmaps/`
        {train,val}_img/*.jpg                 as in the SPADE repository
        {train,val}_label/*.png
    """

    name = "coco_stuff"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Extract these three files into one folder, the last one into a "
        "folder stuffthingmaps_trainval2017 there: " + ", ".join(URLS.values())
    )
    HOMEPAGE = "https://github.com/nightrome/cocostuff"
    CITATION = """@inproceedings{caesar2018coco,
  title={{COCO-Stuff}: Thing and stuff classes in context},
  author={Caesar, Holger and Uijlings, Jasper and Ferrari, Vittorio},
  booktitle={CVPR},
  year={2018}
}"""
    INFO = dataset.DatasetInfo(
        name="coco_stuff",
        class_names=("unlabeled", *_CLASS_NAMES),
        colors=((0, 0, 0), *colors.distinct_colors(_NUM_CLASSES)),
        label_of_id={i: i + 1 for i in range(_NUM_CLASSES)}
        | {_UNLABELED_ID: 0},
        has_dont_care=True,
    )

    def list_pairs(self, raw_dirs):
        find = functools.partial(_find_files, raw_dirs)
        listings = {}
        for split, short in (("train", "train"), ("validation", "val")):
            year = f"{short}2017"
            images_dir, images = find(
                [f"{short}_img", f"images/{year}", year],
                ".jpg",
                f"{split} images",
            )
            labels_dir, labels = find(
                [
                    f"{short}_label",
                    f"stuffthingmaps_trainval2017/{year}",
                    f"stuffthingmaps/{year}",
                    year,
                ],
                ".png",
                f"{split} label maps",
            )
            listings[split] = pairs.match(
                images, labels, images_dir, labels_dir
            )
        return listings

    def download(self, dl_manager):
        return list(dl_manager.download_and_extract(URLS).values())


def _find_files(raw_dirs, names, ending, what):
    """Returns a folder with files of an ending, and those files by name.

    The ending tells images from maps: the archives of both hold a folder
    `train2017`.

    Args:
        raw_dirs: list of paths to look in.
        names: relative names of folders; the first with such files is taken.
        ending: ".jpg" or ".png".
        what: what the files are, for the message.

    Raises:
        DataError: if no folder holds such files.
    """
    for name in names:
        for raw_dir in raw_dirs:
            folder = raw_dir / name
            files = {p.stem: p for p in folder.glob(f"*{ending}")}
            if files:
                return folder, files
    wanted = ", ".join(f"{name}/*{ending}" for name in names)
    received = "; ".join(pairs.describe_folder(d) for d in raw_dirs)
    raise pairs.DataError(
        f"The {what} of coco_stuff must be one of {wanted}. "
        f"Received: {received}."
    )
