"""Frechet distance of two sets of features, which may be large."""

import numpy as np
from scipy import linalg


class Moments:
    """Number, mean and covariance of features that come batch by batch.

    Kept are D numbers and D x D, in float64, however many features there are;
    the deviations are summed around the mean, not around 0, so that a large
    mean costs no digits.

    Args:
        num_features: D.

    Attributes:
        num: how many features there were.

    Source: Chan, Golub and LeVeque, "Algorithms for computing the sample
        variance", The American Statistician 37 (1983), the pairwise update.
    """

    def __init__(self, num_features=2048):
        self.num = 0
        self._mean = np.zeros([num_features])
        self._scatter = np.zeros([num_features, num_features])

    @property
    def num_features(self):
        """D."""
        return len(self._mean)

    @property
    def mean(self):
        """`[D]`, float64; a ValueError without features."""
        self._need(1, "mean")
        return self._mean.copy()

    @property
    def covariance(self):
        """`[D, D]`, float64: sum of deviations' products over `num - 1`.

        A ValueError where there are fewer than two features.
        """
        self._need(2, "covariance")
        return self._scatter / (self.num - 1)

    def update(self, features):
        """Adds a batch.

        Args:
            features: `[B, D]`, finite.

        Raises:
            ValueError: if these are not.
        """
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or features.shape[1] != self.num_features:
            raise ValueError(
                f"`features` must be [B, {self.num_features}]. Received: "
                f"shape {features.shape}."
            )
        if not np.isfinite(features).all():
            raise ValueError(
                "`features` must be finite. Received: NaN or infinity."
            )
        if not len(features):
            return
        mean = features.mean(axis=0)
        deviations = features - mean
        shift = mean - self._mean
        total = self.num + len(features)
        share = len(features) / total
        between = np.outer(shift, shift) * (self.num * share)
        self._scatter += deviations.T @ deviations + between
        self._mean += shift * share
        self.num = total

    def _need(self, num, what):
        if self.num < num:
            raise ValueError(
                f"The {what} takes {num} or more features. Received: "
                f"{self.num}."
            )


def frechet_distance(real, fake):
    """Returns the Frechet distance of the two sets' Gaussians: the FID.

        d = |m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^(1/2))

    With C = R R^T, the trace of the root is the sum of the singular values of
    R_r^T R_f. Unlike a square root of the product, as PyTorch-FID takes it,
    these are real and finite for singular covariances (fewer features than D),
    too. For equal sets the result may lie a little below 0.

    Args:
        real, fake: `Moments`, of two or more features each. The FID falls as
            `num` rises: only those of the same `num` compare; 10,000 and more
            are usual.

    Returns:
        float.

    Raises:
        ValueError: if D differs, or there are fewer than two features.

    Source: Heusel et al. (arXiv:1706.08500).
    """
    _check_same(real, fake)
    covariances = (real.covariance, fake.covariance)
    shift = real.mean - fake.mean
    factors = [_factor(covariance) for covariance in covariances]
    root = linalg.svdvals(factors[0].T @ factors[1]).sum()
    traces = sum(np.trace(covariance) for covariance in covariances)
    return float(shift @ shift + traces - 2 * root)


def _factor(covariance):
    """Returns R, `[D, rank]`, of a covariance R R^T."""
    values, vectors = linalg.eigh(covariance)
    # What is less is 0 but for rounding, whose root would not be small.
    rounding = len(values) * np.finfo(np.float64).eps * values[-1]
    kept = values > rounding
    return vectors[:, kept] * np.sqrt(values[kept])


def _check_same(one, other):
    if one.num_features != other.num_features:
        raise ValueError(
            "Both sets must have as many numbers in a feature. Received: "
            f"{one.num_features} and {other.num_features}."
        )
