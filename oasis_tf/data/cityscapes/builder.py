"""TFDS builder of Cityscapes."""

import functools

import tensorflow_datasets as tfds

from oasis_tf.data import builder
from oasis_tf.data import dataset
from oasis_tf.data import pairs
from oasis_tf.data.cityscapes import classes

_LARGEST_ID = 33


# Not registered, for TFDS registers a data set of its own by this name, and two
# of one name are an error. `oasis_tf.data` makes this one known to `tfds.load`.
class Builder(builder.SegmentationBuilder, skip_registration=True):
    """Cityscapes, finely annotated: 2,975 training, 500 validation images.

    The ids 0..33 of the `_labelIds` files are the labels; 0 is unlabelled.
    There are 35 semantic channels, as in the published networks: the last,
    the licence plate, has the id -1 and occurs in no file.

    TFDS has a data set `cityscapes` of its own. Once `oasis_tf.data` has been
    imported, `tfds.load("cityscapes")` means this one; the other stays at
    `tensorflow_datasets.datasets.cityscapes`.

    Reads:

        leftImg8bit/{train,val}/<city>/*_leftImg8bit.png
        gtFine/{train,val}/<city>/*_gtFine_labelIds.png
    """

    name = "cityscapes"
    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.0.0": "First release.",
        "1.1.0": "Says which classes the benchmark scores.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Register at https://www.cityscapes-dataset.com, download "
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, and extract "
        "both into one folder, which then holds leftImg8bit and gtFine."
    )
    HOMEPAGE = "https://www.cityscapes-dataset.com"
    CITATION = """@inproceedings{cordts2016cityscapes,
  title={The {Cityscapes} Dataset for Semantic Urban Scene Understanding},
  author={Cordts, Marius and Omran, Mohamed and Ramos, Sebastian and Rehfeld,
    Timo and Enzweiler, Markus and Benenson, Rodrigo and Franke, Uwe and Roth,
    Stefan and Schiele, Bernt},
  booktitle={CVPR},
  year={2016}
}"""
    INFO = dataset.DatasetInfo(
        name="cityscapes",
        class_names=[name for name, _ in classes.CLASSES],
        colors=[color for _, color in classes.CLASSES],
        label_of_id={i: i for i in range(_LARGEST_ID + 1)},
        has_dont_care=True,
        scored_labels=classes.SCORED,
    )

    def list_pairs(self, raw_dirs):
        find = functools.partial(pairs.find_folder, raw_dirs)
        listings = {}
        for split, folder in (("train", "train"), ("validation", "val")):
            images, labels = f"leftImg8bit/{folder}", f"gtFine/{folder}"
            listings[split] = pairs.pair_folders(
                find(
                    [images, f"leftImg8bit_trainvaltest/{images}"],
                    f"{split} images",
                ),
                find(
                    [labels, f"gtFine_trainvaltest/{labels}"],
                    f"{split} label maps",
                ),
                image_suffix="_leftImg8bit",
                label_suffix="_gtFine_labelIds",
            )
        return listings
