"""What is in a data set's raw files: counts, class shares, problems."""

import collections
import dataclasses

import numpy as np
import tqdm

from oasis_tf.data import pairs
from oasis_tf.data.builder import map_in_order

_SIZES_SHOWN = 5


@dataclasses.dataclass
class SplitReport:
    """What is in one split.

    Args:
        num_images: good pairs.
        sizes: `collections.Counter` of (height, width).
        pixels: `[S]`, int64. Pixels of each label.
        images: `[S]`, int64. Images in which each label occurs.
        problems: list of `pairs.Problem`.
        samples: some `reading.Example`s, evenly spread over the split.
    """

    num_images: int
    sizes: collections.Counter
    pixels: np.ndarray
    images: np.ndarray
    problems: list
    samples: list


def inspect(builder, raw_dirs, num_samples=6):
    """Reads all pairs of a data set.

    Args:
        builder: `SegmentationBuilder`.
        raw_dirs: list of paths of the raw data.
        num_samples: samples to keep of each split.

    Returns:
        dict of split -> `SplitReport`.

    Raises:
        DataError: if the folders are not there.
    """
    semantic_channels = builder.INFO.semantic_channels
    return {
        split: _inspect_split(
            builder, split, listing, semantic_channels, num_samples
        )
        for split, listing in builder.list_pairs(raw_dirs).items()
    }


def _inspect_split(builder, split, listing, semantic_channels, num_samples):
    report = SplitReport(
        num_images=0,
        sizes=collections.Counter(),
        pixels=np.zeros(semantic_channels, np.int64),
        images=np.zeros(semantic_channels, np.int64),
        problems=list(listing.problems),
        samples=[],
    )

    def read(pair):
        try:
            return builder.read(pair)
        except pairs.DataError as error:
            return error

    results = tqdm.tqdm(
        map_in_order(read, listing.pairs, builder.NUM_THREADS),
        f"Reading {split}",
        total=len(listing.pairs),
        unit=" pairs",
    )
    for k, result in enumerate(results):
        if isinstance(result, pairs.DataError):
            report.problems.extend(result.problems)
            continue
        pixels = np.bincount(
            result.label_map.ravel(), minlength=semantic_channels
        )
        report.num_images += 1
        report.sizes[result.label_map.shape] += 1
        report.pixels += pixels
        report.images += pixels > 0
        next_sample = len(report.samples) * len(listing.pairs) // num_samples
        if len(report.samples) < num_samples and k >= next_sample:
            report.samples.append(result)
    return report


def describe(info, reports):
    """Returns the text of a report.

    Args:
        info: `DatasetInfo`.
        reports: dict of split -> `SplitReport`.
    """
    dont_care = " and don't-care" if info.has_dont_care else ""
    lines = [
        f"{info.name}: {info.semantic_channels} semantic channels "
        f"({info.num_classes} classes{dont_care})",
        "",
        f"{'split':12}{'images':>9}{'problems':>10}   "
        f"{'height: min, median, max':>26}   {'width: min, median, max':>26}",
    ]
    for split, report in reports.items():
        heights, widths = (
            _min_median_max(report.sizes, axis) for axis in range(2)
        )
        lines.append(
            f"{split:12}{report.num_images:9,}{len(report.problems):10,}   "
            f"{heights:>26}   {widths:>26}"
        )
    for split, report in reports.items():
        lines.append(f"Sizes in {split} (width x height): {_sizes(report)}")
    return "\n".join([*lines, "", *_class_table(info, reports)])


def _min_median_max(sizes, axis):
    if not sizes:
        return "-"
    values = np.repeat([size[axis] for size in sizes], list(sizes.values()))
    return f"{values.min()}, {np.median(values):.0f}, {values.max()}"


def _sizes(report):
    common = [
        f"{width} x {height}: {count:,}"
        for (height, width), count in report.sizes.most_common(_SIZES_SHOWN)
    ]
    more = len(report.sizes) - len(common)
    return ", ".join(common) + (f", and {more} more" if more > 0 else "")


def _class_table(info, reports):
    """Returns lines: the labels, those with most pixels first."""
    pixels = sum(report.pixels for report in reports.values())
    present = [s for s in np.argsort(-pixels, kind="stable") if pixels[s]]
    absent = [s for s in range(info.semantic_channels) if not pixels[s]]
    width = max([len(name) for name in info.class_names] + [5])
    yield f"{'label':>5} {'id':>5}  {'class':{width}}" + "".join(
        f"{split + ': % of pixels':>26}{'images':>9}" for split in reports
    )
    for s in present:
        yield f"{s:5} {info.native_id(s):5}  {info.class_names[s]:{width}}" + (
            "".join(
                f"{100 * report.pixels[s] / max(1, report.pixels.sum()):26.3f}"
                f"{report.images[s]:9,}"
                for report in reports.values()
            )
        )
    if absent:
        names = ", ".join(info.class_names[s] for s in absent)
        yield f"Not there: {len(absent)} of {info.semantic_channels}: {names}"
