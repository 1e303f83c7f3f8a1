"""Pictures of what an evaluation found: scores by class and step, histograms.

Every function draws one PNG file.
"""

import math

import matplotlib.figure
import matplotlib.lines
import matplotlib.offsetbox
import matplotlib.patches
import numpy as np
from matplotlib import ticker

from oasis_tf import model_files
from oasis_tf.evaluation import statistics

REAL = "real images"
"""What is real has this name and is grey; models have the other colours."""

_DPI = 100
_REAL_COLOR = "#b0b0b0"
# Okabe and Ito's, which do not need the difference of red and green.
_COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#000000",
)
_MOST_BARS = 40  # Classes in a chart of bars: half of them the highest.
_LONGEST_NAME = 32  # Characters of a class name in a chart of bars.
_NUM_CLASSES = 4  # Most frequent classes with histograms of their own.
_AXIS_LABELS = {
    "L": "L: lightness (CIELAB units)",
    "a": "a: green to red (CIELAB units)",
    "b": "b: blue to yellow (CIELAB units)",
    statistics.TEXTURE: "neighbours not darker; 9: mixed",
}


def save(figure, path):
    """Writes a figure as a PNG file, whole or not at all.

    Args:
        figure: `matplotlib.figure.Figure`.
        path: `pathlib.Path`.
    """
    with model_files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format="png")


def class_bars(path, class_names, values, label, title):
    """Draws a score of each class as bars, the highest on top.

    Of more than 40 classes, the 20 highest and the 20 lowest are drawn. The
    order is that of the mean over the models. Classes without a score of any
    model are left out; a dashed line is the mean over those with one.

    Args:
        path: of the PNG file to write.
        class_names: S names.
        values: `[S]`, floats, NaN where there is none; or {model name: such},
            several of which are side by side.
        label: what the score is, with its unit.
        title: of the chart.

    Raises:
        ValueError: if there is not one value for each name.
    """
    if not isinstance(values, dict):
        values = {"": values}
    values = {m: np.asarray(v, np.float64) for m, v in values.items()}
    for model, scores in values.items():
        if scores.shape != (len(class_names),):
            raise ValueError(
                "`values` must have one score for each of the "
                f"{len(class_names)} class names. Received: shape "
                f"{scores.shape}{model and f' for {model!r}'}."
            )
    table = np.stack(list(values.values()), axis=1)  # [S, models]
    with_score = np.flatnonzero(~np.isnan(table).all(axis=1))
    means = [float(np.nanmean(row)) for row in table[with_score]]
    order = with_score[np.argsort(np.negative(means), kind="stable")]
    half = _MOST_BARS // 2
    num_hidden = max(len(order) - _MOST_BARS, 0)
    gap = 1 if num_hidden else 0  # A row in between for the note.
    shown = order if not gap else np.concatenate([order[:half], order[-half:]])
    rows = np.arange(len(shown)) + gap * (np.arange(len(shown)) >= half)

    thickness = 0.8 / len(values)
    row_inches = max(0.22, 0.1 + 0.09 * len(values))
    figure = matplotlib.figure.Figure(
        figsize=(8, 1.6 + row_inches * (len(shown) + gap)),
        layout="constrained",
    )
    panel = figure.subplots()
    for m, (model, color) in enumerate(_colors(values).items()):
        offset = (m + 0.5) * thickness - 0.4
        scores = values[model]
        mean = np.nan
        if not np.isnan(scores).all():
            mean = np.nanmean(scores)
            # On white, to be seen on bars of the same colour; with dashes at
            # different places, for means that are nearly the same.
            panel.axvline(mean, color="white", linewidth=3.5, zorder=3)
            panel.axvline(
                mean,
                color=color,
                linestyle=(4 * m, (4, 4)),
                linewidth=1.5,
                zorder=4,
            )
        text = f"mean (dashed) {_number(mean, 3)}"
        panel.barh(
            rows + offset,
            scores[shown],
            thickness,
            color=color,
            label=f"{model}: {text}" if model else text,
            zorder=2,
        )
    ticks = rows.tolist()
    names = [_shorten(class_names[s]) for s in shown]
    if gap:
        ticks.insert(half, half)
        names.insert(half, f"... {num_hidden} more classes ...")
    panel.set_yticks(ticks, names)
    panel.set_ylim(len(shown) + gap - 0.4, -0.6)
    panel.set_xlabel(label)
    panel.grid(axis="x", alpha=0.3)
    num_missing = len(class_names) - len(with_score)
    note = f"\n(labels without a score: {num_missing})" if num_missing else ""
    panel.set_title(title + note)
    figure.legend(loc="outside lower center", ncols=2)
    save(figure, path)


def histogram_figure(
    path, real, fakes, class_names, labels=None, has_dont_care=False
):
    """Draws histograms of colours and textures, of real images and models.

    A row each for all pixels together and for some classes; columns L, a, b
    and local binary patterns. Above each panel are the models' distances from
    the real images, in the order of the legend.

    Args:
        path: of the PNG file to write.
        real: `Histograms` of the real images.
        fakes: {model name: `Histograms`}.
        class_names: S names.
        labels: labels of the classes that have a row; None for the four most
            frequent ones in real images.
        has_dont_care: whether label 0 is don't-care, which does not count.

    Source: as OASIS (arXiv:2012.04781) compares colours and textures.
    """
    if labels is None:
        frequent = np.argsort(-real.num_pixels, kind="stable")
        labels = [
            int(s)
            for s in frequent
            if real.num_pixels[s] and not (has_dont_care and s == 0)
        ][:_NUM_CLASSES]
    num_pixels = real.overall(has_dont_care)["L"].sum()
    images = [real, *fakes.values()]
    rows = [("all classes", [one.overall(has_dont_care) for one in images])]
    for s in labels:
        share = real.num_pixels[s] / num_pixels if num_pixels else 0
        counts = [
            {name: one.counts[name][s] for name in statistics.EDGES}
            for one in images
        ]
        rows.append((f"{class_names[s]}\n{share:.1%} of all", counts))
    figure = matplotlib.figure.Figure(
        figsize=(13, 1.1 + 2.2 * len(rows)), layout="constrained"
    )
    panels = figure.subplots(
        len(rows), len(statistics.EDGES), sharex="col", squeeze=False
    )
    colors = _colors(fakes).values()
    for line, (heading, counts) in zip(panels, rows):
        line[0].set_ylabel(f"{heading}\n\n% of these pixels")
        for panel, name in zip(line, statistics.EDGES):
            _draw_histogram(panel, name, counts[0], counts[1:], colors)
    for column, name in enumerate(statistics.EDGES):
        panels[-1, column].set_xlabel(_AXIS_LABELS[name])
        panels[-1, column].set_xlim(*_limits(name, rows))
        if name == statistics.TEXTURE:
            panels[-1, column].set_xticks(range(10))
    handles = [matplotlib.patches.Patch(color=_REAL_COLOR)]
    handles += [matplotlib.lines.Line2D([], [], color=c) for c in colors]
    figure.legend(handles, [REAL, *fakes], loc="outside upper center", ncols=4)
    save(figure, path)


def _draw_histogram(panel, name, real, fakes, colors):
    """Draws one panel of `histogram_figure`.

    Args:
        panel: of Matplotlib.
        name: of the histogram.
        real: {name: `[K]`}, counts.
        fakes: list of the same, one for each model.
        colors: of the models.
    """
    edges = statistics.EDGES[name]
    if real[name].sum():
        panel.stairs(_percent(real[name]), edges, fill=True, color=_REAL_COLOR)
    is_texture = name == statistics.TEXTURE
    parts = [("LBP chi²" if is_texture else "EMD", "black")]
    for fake, color in zip(fakes, colors):
        if fake[name].sum():
            panel.stairs(_percent(fake[name]), edges, color=color, linewidth=1)
        distance = float(statistics.axis_distance(name, real, fake))
        parts.append((_number(distance, 4 if is_texture else 2), color))
    # A title in several colours.
    size = min(10, 50 / len(parts))
    texts = [
        matplotlib.offsetbox.TextArea(
            text, textprops={"color": color, "size": size}
        )
        for text, color in parts
    ]
    panel.add_artist(
        matplotlib.offsetbox.AnchoredOffsetbox(
            loc="lower center",
            child=matplotlib.offsetbox.HPacker(children=texts, pad=0, sep=7),
            bbox_to_anchor=(0.5, 1),
            bbox_transform=panel.transAxes,
            frameon=False,
            pad=0.2,
            borderpad=0,
        )
    )
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)


def _limits(name, rows):
    """Returns the part of a histogram's axis that has pixels in some row."""
    edges = statistics.EDGES[name]
    if name == statistics.TEXTURE:
        return edges[0], edges[-1]
    largest = np.zeros(len(edges) - 1)
    for _, row in rows:
        for counts in row:
            if counts[name].sum():
                largest = np.maximum(largest, _percent(counts[name]))
    used = np.flatnonzero(largest > 0.1)
    if not len(used):
        return edges[0], edges[-1]
    return edges[max(used[0] - 1, 0)], edges[min(used[-1] + 2, len(edges) - 1)]


# Of scores that training takes.
_TITLES = {
    "miou_real": "mIoU of the discriminator, real images",
    "miou_fake": "mIoU of the discriminator, fakes",
    "segmenter_miou": "mIoU of the segmenter, fakes",
    "segmenter_accuracy": "accuracy of the segmenter, fakes",
    "segmenter_fid": "FID of the segmenter's features",
    "segmenter_kid": "KID of the segmenter's features",
    "segmenter_precision": "precision of the segmenter's features",
    "segmenter_recall": "recall of the segmenter's features",
    "fid": "FID",
    "kid": "KID",
    "color_emd": "colour distance",
    "texture_chi2": "texture distance",
    "ms_ssim": "MS-SSIM",
    "lpips": "LPIPS",
    "random_lpips": "LPIPS by a random network",
}


def scores_over_time(path, rows):
    """Draws scores taken in training, by step: a panel for each score.

    Args:
        path: of the PNG file to write.
        rows: {"step": finished steps, name: score} each, where a score may be
            missing, None or NaN. Names "score/line" share a panel.

    Raises:
        ValueError: if there is no score.
    """
    rows = sorted(rows, key=lambda row: row["step"])
    lines = {}  # {score: {line: [(step, value)]}}
    for row in rows:
        for name, value in row.items():
            if name == "step" or value is None or not math.isfinite(value):
                continue
            score, _, line = name.partition("/")
            points = lines.setdefault(score, {}).setdefault(line, [])
            points.append((row["step"], value))
    if not lines:
        raise ValueError(
            "`rows` must have a score at a step. Received: "
            f"{len(rows)} rows without."
        )
    num_columns = 1 if len(lines) == 1 else 2
    num_lines = -(-len(lines) // num_columns)
    figure = matplotlib.figure.Figure(
        figsize=(5 + 4 * (num_columns - 1), 0.6 + 2.6 * num_lines),
        layout="constrained",
    )
    panels = figure.subplots(
        num_lines, num_columns, sharex=True, squeeze=False
    ).ravel()
    for panel, (score, curves) in zip(panels, lines.items()):
        for (line, points), color in zip(
            curves.items(), _colors(curves).values()
        ):
            panel.plot(*zip(*points), color=color, marker="o", markersize=3)
            panel.lines[-1].set_label(line or score)
        panel.set_title(_TITLES.get(score, score))
        panel.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        panel.xaxis.set_major_formatter("{x:,.0f}")
        panel.grid(alpha=0.3)
        if len(curves) > 1 or "" not in curves:
            panel.legend()
    for panel in panels[len(lines) :]:
        panel.remove()
    for panel in panels[max(len(lines) - num_columns, 0) : len(lines)]:
        panel.set_xlabel("training step")
        panel.tick_params(labelbottom=True)
    figure.suptitle(
        "Scores rank this run's steps: not comparable to published numbers",
        fontsize="small",
    )
    save(figure, path)


def _colors(names):
    """Returns {name: colour}: grey for what is real."""
    models = [name for name in names if name != REAL]
    colors = {name: _COLORS[i % len(_COLORS)] for i, name in enumerate(models)}
    return {name: colors.get(name, _REAL_COLOR) for name in names}


def _percent(counts):
    return 100 * counts / counts.sum()


def _number(value, digits):
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def _shorten(name):
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 3].rstrip(' ,;')}..."
