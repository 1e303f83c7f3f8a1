"""What an evaluation found, written down: numbers, a table, pictures."""

import json
import math

import numpy as np
from PIL import Image

from oasis_tf import model_files
from oasis_tf import sheets
from oasis_tf.data.label_map import colorize
from oasis_tf.evaluation import charts
from oasis_tf.evaluation import protocol as protocol_lib
from oasis_tf.evaluation.ms_ssim import WEIGHTS
from oasis_tf.evaluation.ms_ssim import num_scales_for

_NUM_EXTREMES = 4  # Best and worst label maps that are drawn.
_NOT_COMPARABLE = "not comparable to published numbers"


def write(evaluation, name, facts):
    """Writes `metrics.json`, `table.md` and the pictures of an evaluation.

    Args:
        evaluation: `Evaluation` that has run.
        name: of the model, for the table.
        facts: dict for `metrics.json`, beside scores, protocol and versions.

    Returns:
        `(metrics, real, fake)`: what `metrics.json` holds; `Measured` twice.
    """
    scores, real, fake = evaluation.results()
    metrics = facts | {
        "model": name,
        "num_images": evaluation.num_images,
        "scores": scores,
        "notes": notes(evaluation.judges, evaluation.protocol),
        "protocol": vars(evaluation.protocol)
        | {"ms_ssim_scales": num_scales_for(*evaluation.protocol.image_size)},
        "judges": evaluation.judges.files,
        "versions": protocol_lib.versions(),
    }
    metrics = json.loads(json.dumps(_plain(metrics)))
    folder = evaluation.folder
    model_files.write(folder / "table.md", table([metrics]))
    draw_charts(folder, real, {name: (metrics, fake)}, evaluation.info)
    if fake.accuracy is not None:
        _draw_extremes(evaluation, fake.accuracy)
    # Last: who finds it finds the rest.
    model_files.write(folder / "metrics.json", json.dumps(metrics, indent=1))
    return metrics, real, fake


def notes(judges, protocol):
    """Returns {measure: what has to be known of it}."""
    found = {}
    if protocol.features == "segmenter":
        found["fid"] = f"of the segmenter's features: {_NOT_COMPARABLE}"
    if protocol.features == "inception":
        of_fid = []
        if judges.inception.is_published is None:
            of_fid.append(
                "by weights in Keras's form, which cannot be checked to be the "
                "published ones"
            )
        elif not judges.inception.is_published:
            of_fid.append(
                f"by an Inception of other weights: {_NOT_COMPARABLE}"
            )
        if judges.inception.protocol != "pytorch_fid":
            of_fid.append(
                "of images resized as TensorFlow 1 did, as torch-fidelity's "
                "are: not comparable to pytorch-fid's, which papers of image "
                "synthesis give"
            )
        if of_fid:
            found["fid"] = "; ".join(of_fid)
    is_measured = judges.lpips and protocol.diversity_maps
    if is_measured and not judges.lpips.is_comparable:
        found["lpips"] = f"by a random network: {_NOT_COMPARABLE}"
    if judges.segmenter and judges.segmenter.is_ours:
        found["miou"] = f"by a U-Net of oasis_tf's own: {_NOT_COMPARABLE}"
    if protocol.diversity_maps:
        num_scales = num_scales_for(*protocol.image_size)
        if num_scales < len(WEIGHTS):
            found["ms_ssim"] = (
                f"of {num_scales} scales, not {len(WEIGHTS)}, as pictures are "
                f"small: {_NOT_COMPARABLE}"
            )
    return found


def note_lines(all_metrics):
    """Returns the notes of one or more models, a line each.

    Args:
        all_metrics: what `metrics.json` holds, for each of them.
    """
    told = {}
    for metrics in all_metrics:
        told |= metrics["notes"]
    names = {
        "fid": "FID, KID, precision and recall",
        "miou": "mIoU and accuracy",
        "ms_ssim": "MS-SSIM",
        "lpips": "LPIPS",
    }
    return [f"{names[measure]}: {note}." for measure, note in told.items()]


def table(all_metrics):
    """Returns a Markdown table with a row for each model.

    Args:
        all_metrics: what `metrics.json` holds, for each of them.
    """
    columns = _columns(all_metrics)
    lines = [
        "| Model | " + " | ".join(columns) + " |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for metrics in all_metrics:
        cells = [find(metrics["scores"]) for find in columns.values()]
        lines.append(f"| {metrics['model']} | " + " | ".join(cells) + " |")
    lines.append("")
    for metrics in all_metrics:
        lines.append(
            f"{metrics['model']}: {metrics['num_images']} images of the split "
            f"`{metrics['protocol']['split']}`, "
            f"{' x '.join(map(str, metrics['protocol']['image_size']))} pixels."
        )
    lines += note_lines(all_metrics)
    return "\n".join(lines) + "\n"


def _columns(all_metrics):
    """Returns {heading: function of scores that returns the cell}."""

    def at(*path, digits=3, factor=1.0):
        def find(scores):
            for name in path:
                scores = (scores or {}).get(name)
            if scores is None or not math.isfinite(scores):
                return "-"
            if digits is None:
                # A segmenter's FID is small, Inception's is given so.
                return f"{scores:.{'1f' if scores >= 10 else '3g'}}"
            return f"{factor * scores:.{digits}f}"

        return find

    noises = {
        kind
        for metrics in all_metrics
        for kind in metrics["scores"].get("diversity", {})
    }
    columns = {
        "FID ↓": at("features", "fid", digits=None),
        "KID x 1000 ↓": at("features", "kid", digits=2, factor=1000),
        "Precision ↑": at("features", "precision"),
        "Recall ↑": at("features", "recall"),
        "mIoU ↑": at("segmenter", "fake", "miou"),
        "of real": at("segmenter", "real", "miou"),
        "Accuracy ↑": at("segmenter", "fake", "accuracy"),
        "Colour distance ↓": at("statistics", "overall", "color_emd", digits=2),
        "Texture distance ↓": at(
            "statistics", "overall", "texture_chi2", digits=4
        ),
        "D's mIoU, real": at("discriminator", "real", "miou"),
    }
    for kind in ("image", "pixel", "class", "region", "none"):
        if kind in noises:
            for name, heading in (
                ("ms_ssim", f"MS-SSIM, {kind} noise ↓"),
                ("lpips", f"LPIPS, {kind} noise ↑"),
            ):
                columns[heading] = at("diversity", kind, "mean", name)
    return {
        heading: find
        for heading, find in columns.items()
        if any(find(metrics["scores"]) != "-" for metrics in all_metrics)
    }


def draw_charts(folder, real, models, info):
    """Draws the classes' scores and the histograms of one or more models.

    Args:
        folder: path to write `class_iou.png` and `histograms.png` to.
        real: `Measured` of the real images.
        models: {name: (metrics, `Measured` of the fakes)}.
        info: `DatasetInfo`.
    """
    first = next(iter(models.values()))[0]
    if "segmenter" in first["scores"]:
        values = {"real images": first["scores"]["segmenter"]["real"]}
        values |= {
            name: metrics["scores"]["segmenter"]["fake"]
            for name, (metrics, _) in models.items()
        }
        charts.class_bars(
            folder / "class_iou.png",
            info.class_names,
            {
                name: np.array(
                    [
                        np.nan if v is None else v
                        for v in scores["class_iou"].values()
                    ]
                )
                for name, scores in values.items()
            },
            "IoU",
            "Are the label maps found in the pictures?",
        )
    charts.histogram_figure(
        folder / "histograms.png",
        real.histograms,
        {name: fake.histograms for name, (_, fake) in models.items()},
        info.class_names,
        has_dont_care=info.has_dont_care,
    )


def _draw_extremes(evaluation, accuracy):
    """Draws the pictures in which most and fewest pixels are found again."""
    order = np.argsort(-accuracy, kind="stable")
    order = order[np.isfinite(accuracy[order])]  # Not of don't-care alone.
    num = min(_NUM_EXTREMES, len(order) // 2)
    for name, chosen in (("best", order[:num]), ("worst", order[::-1][:num])):
        rows = []
        for n in chosen:
            image, label_map, fake, found = evaluation.look_at(int(n))
            rows.append(
                [
                    colorize(label_map, evaluation.info),
                    fake,
                    colorize(found, evaluation.info),
                    image,
                ]
            )
        if rows:
            sheet = sheets.draw_sheet(
                rows, ["label map", "fake", "found in it", "real"]
            )
            path = evaluation.folder / f"{name}.png"
            with model_files.replacing(path) as temporary:
                Image.fromarray(sheet).save(temporary, format="PNG")


def _plain(value):
    """Returns the same for JSON: no NumPy, no NaN, which JSON has not."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
