"""Where the images and label maps of a user's folder are."""

import hashlib
import itertools

from oasis_tf.data import pairs

_IMAGE_WORDS = ("images", "image", "imgs", "img")
_LABEL_WORDS = (
    "labels label annotations annotation masks mask segmentations gt"
).split()
_TRAIN_WORDS = ("train", "training")
_VALIDATION_WORDS = ("val", "validation", "valid")
_SPLIT_PATTERNS = ("{word}/{split}", "{split}/{word}", "{split}_{word}")


def find_folders(raw_dir, settings):
    """Returns the folders of images and of label maps.

    Args:
        raw_dir: path.
        settings: `DataConfig`. Its names count; empty ones are looked for.

    Returns:
        dict of split -> (images, label maps). Without "validation" where
        there are no such folders.

    Raises:
        DataError: if there are no folders for training, or only one of two.
    """
    if not raw_dir.is_dir():
        raise pairs.DataError(
            "`--data_dir` must be a folder. Received: "
            f"{pairs.describe_folder(raw_dir)}."
        )
    named = {
        "train": (settings.train_images, settings.train_labels),
        "validation": (settings.validation_images, settings.validation_labels),
    }
    folders = {}
    for split, names in named.items():
        if any(names):
            folders[split] = _named_folders(raw_dir, split, names)
    if "train" in folders:
        return folders
    for train, *validations in _layouts():
        if all((raw_dir / name).is_dir() for name in train):
            found = {"train": _in(raw_dir, train)}
            for validation in validations:
                if (raw_dir / validation[0]).is_dir():
                    found["validation"] = _in(raw_dir, validation)
                    break
            return found | folders
    raise pairs.DataError(
        "`--data_dir` must hold folders of images and of label maps with usual "
        "names, or be told theirs by `--set=data.train_images=...` and "
        "`--set=data.train_labels=...`. Tried: train + trainannot; images and "
        f"labels (also {', '.join(_IMAGE_WORDS[1:])}; "
        f"{', '.join(_LABEL_WORDS[1:])}) as images/train + labels/train, "
        "train/images + train/labels, train_images + train_labels and images + "
        "labels; also `training` for train; JPEGImages + SegmentationClass. "
        f"Received: {pairs.describe_folder(raw_dir)}."
    )


def _named_folders(raw_dir, split, names):
    fields = (f"data.{split}_images", f"data.{split}_labels")
    if not all(names):
        raise ValueError(
            f"`{fields[0]}` and `{fields[1]}` must be set both, or none. "
            f"Received: {names[0]!r} and {names[1]!r}."
        )
    for field, name in zip(fields, names):
        if not (raw_dir / name).is_dir():
            raise pairs.DataError(
                f"`{field}` must be a folder in `--data_dir`. Received: "
                f"{name!r}; {pairs.describe_folder(raw_dir)}."
            )
    return tuple(raw_dir / name for name in names)


def _in(raw_dir, names):
    """Returns the folders of images and of label maps with these names."""
    images_dir, labels_dir = (raw_dir / name for name in names)
    if not labels_dir.is_dir():
        raise pairs.DataError(
            f"{labels_dir} must hold the label maps of {images_dir}. "
            f"Received: {pairs.describe_folder(labels_dir)}."
        )
    return images_dir, labels_dir


def _layouts():
    """Yields the usual layouts.

    Each is a list of names (images, labels): those of the training folders,
    then all that the validation folders might have.
    """
    yield [("train", "trainannot"), ("val", "valannot")]
    for pattern, image_word, label_word, train in itertools.product(
        _SPLIT_PATTERNS, _IMAGE_WORDS, _LABEL_WORDS, _TRAIN_WORDS
    ):
        yield [
            (
                pattern.format(word=image_word, split=split),
                pattern.format(word=label_word, split=split),
            )
            for split in (train, *_VALIDATION_WORDS)
        ]
    for names in itertools.product(_IMAGE_WORDS, _LABEL_WORDS):
        yield [names]
    yield [("JPEGImages", "SegmentationClass")]


def hold_out(listing, settings):
    """Takes the validation pairs from the training pairs.

    Which ones depends on their names alone, so few change their side when
    files are added.

    Args:
        listing: `pairs.Listing`.
        settings: `DataConfig`, with `validation_share`.

    Returns:
        dict of split -> `pairs.Listing`; only "train" where the share is 0.
    """
    share = settings.validation_share
    if share == 0 or len(listing.pairs) < 2:
        return {"train": listing}
    count = max(1, round(share * len(listing.pairs)))
    count = min(count, len(listing.pairs) - 1)
    by_hash = sorted(
        listing.pairs,
        key=lambda pair: hashlib.sha256(pair.name.encode()).digest(),
    )
    held_out = {pair.name for pair in by_hash[:count]}
    kept = [pair for pair in listing.pairs if pair.name not in held_out]
    taken = [pair for pair in listing.pairs if pair.name in held_out]
    return {
        "train": pairs.Listing(kept, listing.problems),
        "validation": pairs.Listing(taken, []),
    }
