"""TFDS builder of ADE20K, as in the scene parsing challenge of 2016."""

import functools
import pathlib

import tensorflow_datasets as tfds

from oasis_tf.data import builder
from oasis_tf.data import colors
from oasis_tf.data import dataset
from oasis_tf.data import pairs

URL = "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"

_NUM_CLASSES = 150
_CLASS_NAMES = (
    pathlib.Path(__file__)
    .with_name("class_names.txt")
    .read_text(encoding="utf-8")
    .splitlines()
)


class Builder(builder.SegmentationBuilder):
    """ADE20K (2016): 20,210 training and 2,000 validation images.

    150 classes, ids 1..150; 0 is unlabelled. Label = id. Names are the first
    ones in the data set's `objectInfo150.txt`.

    Reads the folder `ADEChallengeData2016` or the one that holds it:

        images/{training,validation}/*.jpg
        annotations/{training,validation}/*.png
    """

    name = "ade20k"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Extract {URL}"
    HOMEPAGE = "http://sceneparsing.csail.mit.edu"
    CITATION = """@inproceedings{zhou2017scene,
  title={Scene Parsing through {ADE20K} Dataset},
  author={Zhou, Bolei and Zhao, Hang and Puig, Xavier and Fidler, Sanja and
    Barriuso, Adela and Torralba, Antonio},
  booktitle={CVPR},
  year={2017}
}"""
    INFO = dataset.DatasetInfo(
        name="ade20k",
        class_names=("unlabeled", *_CLASS_NAMES),
        colors=((0, 0, 0), *colors.distinct_colors(_NUM_CLASSES)),
        label_of_id={i: i for i in range(_NUM_CLASSES + 1)},
        has_dont_care=True,
    )

    def list_pairs(self, raw_dirs):
        find = functools.partial(pairs.find_folder, raw_dirs)
        listings = {}
        for split, folder in (
            ("train", "training"),
            ("validation", "validation"),
        ):
            images, labels = f"images/{folder}", f"annotations/{folder}"
            listings[split] = pairs.pair_folders(
                find(
                    [images, f"ADEChallengeData2016/{images}"],
                    f"{folder} images",
                ),
                find(
                    [labels, f"ADEChallengeData2016/{labels}"],
                    f"{folder} label maps",
                ),
            )
        return listings

    def download(self, dl_manager):
        return [dl_manager.download_and_extract(URL)]
