"""Mean intersection over union of a segmentation."""

import numpy as np
import tensorflow as tf


def segment(logits, has_dont_care):
    """Returns the likeliest label of each pixel, "fake" left aside.

    Args:
        logits: `[B, H, W, S + 1]`. The discriminator's; channel 0 is "fake".
        has_dont_care: whether label 0 is don't-care, which is never chosen.

    Returns:
        Label map `[B, H, W]`, int32.

    Source: OASIS (arXiv:2012.04781), Section 3.2: the discriminator is a
        segmentation network.
    """
    first = 1 if has_dont_care else 0
    labels = tf.argmax(logits[..., 1 + first :], axis=-1, output_type=tf.int32)
    return labels + first


def without_missing(logits, info):
    """Rules out the labels that have no id in the data set's own files.

    Args:
        logits: `[B, H, W, S + 1]`. The discriminator's; channel 0 is "fake".
        info: `DatasetInfo`.

    Returns:
        `[B, H, W, S + 1]`: the smallest number where there is no id.
    """
    ids = [info.native_id(s) for s in range(info.semantic_channels)]
    is_choice = [True, *(i is not None and i >= 0 for i in ids)]
    return tf.where(is_choice, logits, logits.dtype.min)


def confusion_matrix(true_map, predicted_map, semantic_channels):
    """Counts pixels by true and predicted label.

    Args:
        true_map, predicted_map: integer arrays of one shape; labels, 0..S-1.
        semantic_channels: S.

    Returns:
        `[S, S]`, int64: rows by the truth, columns by the prediction.
    """
    true_map = np.asarray(true_map, np.int64).ravel()
    predicted_map = np.asarray(predicted_map, np.int64).ravel()
    counts = np.bincount(
        true_map * semantic_channels + predicted_map,
        minlength=semantic_channels**2,
    )
    return counts.reshape(semantic_channels, semantic_channels)


def class_iou(confusion, scored):
    """Returns the intersection over union of each class.

        IoU_s = TP_s / (TP_s + FP_s + FN_s)

    Args:
        confusion: `[S, S]`. See `confusion_matrix`.
        scored: labels that are scored, as `DatasetInfo.scored` names them;
            pixels of others do not count.

    Returns:
        `[S]`, float64; NaN for labels that are not scored, and for classes that
        are neither there nor predicted.
    """
    confusion = _of_scored(confusion, scored)
    hits = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    iou = np.full(len(hits), np.nan)
    is_scored = np.isin(np.arange(len(hits)), scored)
    np.divide(hits, union, out=iou, where=is_scored & (union > 0))
    return iou


def mean_iou(confusion, scored):
    """Returns the mean IoU of the scored classes that occur in the truth.

    Args:
        confusion, scored: as for `class_iou`.

    Returns:
        float, 0..1; NaN if no class occurs.
    """
    iou = class_iou(confusion, scored)
    present = _of_scored(confusion, scored).sum(axis=1) > 0
    return float(iou[present].mean()) if present.any() else float("nan")


def pixel_accuracy(confusion, scored):
    """Returns the share of pixels of scored classes whose class was found.

    Args:
        confusion, scored: as for `class_iou`.

    Returns:
        float, 0..1; NaN if there are no such pixels.
    """
    confusion = _of_scored(confusion, scored)
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def _of_scored(confusion, scored):
    """Returns the counts, float64, without pixels that are not scored."""
    rows = np.zeros_like(confusion, np.float64)
    rows[list(scored)] = np.asarray(confusion)[list(scored)]
    return rows
