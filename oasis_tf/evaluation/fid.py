"""Frechet distance of two sets of features, which may be large."""

import warnings

import numpy as np
from scipy import linalg

_OFFSET = 1e-6
_IMAGINARY = 1e-3


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
        if len(features):
            mean = features.mean(axis=0)
            deviations = features - mean
            self._add(len(features), mean, deviations.T @ deviations)

    def merge(self, other):
        """Adds the features of other `Moments`, which stay as they are.

        Raises:
            ValueError: if D is another.
        """
        _check_same(self, other)
        if other.num:
            self._add(other.num, other._mean, other._scatter)

    def to_arrays(self):
        """Returns {name: array}, as for `np.savez`."""
        return {
            "num": np.array(self.num, np.int64),
            "mean": self._mean.copy(),
            "scatter": self._scatter.copy(),
        }

    @classmethod
    def from_arrays(cls, arrays):
        """Returns the `Moments` that `to_arrays` was called on.

        Raises:
            ValueError: if the arrays are not of that kind.
        """
        found = {name: np.asarray(array) for name, array in arrays.items()}
        shapes = {name: array.shape for name, array in found.items()}
        size = shapes.get("mean", ())
        expected = {"num": (), "mean": size, "scatter": size * 2}
        if shapes != expected or len(size) != 1:
            raise ValueError(
                "Moments must have the arrays `num` [], `mean` [D] and "
                f"`scatter` [D, D]. Received: shapes {shapes}."
            )
        if found["num"].dtype.kind not in "iu" or found["num"] < 0:
            raise ValueError(
                "`num` must be an integer, 0 or more. Received: "
                f"num={found['num']}."
            )
        for name in ("mean", "scatter"):
            is_float = found[name].dtype == np.float64
            if not is_float or not np.isfinite(found[name]).all():
                raise ValueError(
                    f"`{name}` must be finite float64. Received: "
                    f"{found[name].dtype} with values that are "
                    f"{'not finite' if is_float else 'rounded'}."
                )
        moments = cls(size[0])
        moments.num = int(found["num"])
        moments._mean = found["mean"].copy()
        moments._scatter = found["scatter"].copy()
        return moments

    def _add(self, num, mean, scatter):
        total = self.num + num
        shift = mean - self._mean
        between = np.outer(shift, shift) * (self.num * (num / total))
        self._scatter = self._scatter + scatter + between
        self._mean = self._mean + shift * (num / total)
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

    The square root is SciPy's `sqrtm` of the product, as in PyTorch-FID. Where
    that is not finite, which singular covariances may cause (fewer features
    than D), 1e-6 is added to both diagonals; and its imaginary part, due to
    rounding, is left out. For equal sets the result may lie a little below 0.

    Args:
        real, fake: `Moments`, of two or more features each. The FID falls as
            `num` rises: only those of the same `num` compare; 10,000 and more
            are usual.

    Returns:
        float.

    Raises:
        ValueError: if D differs, there are fewer than two features, or the
            imaginary part is larger than rounding explains.

    Source: Heusel et al. (arXiv:1706.08500).
    """
    _check_same(real, fake)
    covariances = (real.covariance, fake.covariance)
    shift = real.mean - fake.mean
    root = _sqrt_of_product(*covariances)
    if not np.isfinite(root).all():
        offset = _OFFSET * np.eye(real.num_features)
        root = _sqrt_of_product(*(c + offset for c in covariances))
    imaginary = np.abs(np.diagonal(root).imag).max()
    # Not `> _IMAGINARY`: NaN is wrong too.
    if not imaginary <= _IMAGINARY:
        raise ValueError(
            "The square root of the covariances' product must be real, but "
            f"for rounding ({_IMAGINARY}). Received: an imaginary part of "
            f"{imaginary} on the diagonal, from {real.num} real and {fake.num} "
            "fake features."
        )
    traces = sum(np.trace(covariance) for covariance in covariances)
    return float(shift @ shift + traces - 2 * np.trace(root).real)


def _sqrt_of_product(a, b):
    with warnings.catch_warnings():
        # Of singular products, which `frechet_distance` is made for.
        warnings.simplefilter("ignore", linalg.LinAlgWarning)
        return linalg.sqrtm(a @ b)


def _check_same(one, other):
    if one.num_features != other.num_features:
        raise ValueError(
            "Both sets must have as many numbers in a feature. Received: "
            f"{one.num_features} and {other.num_features}."
        )
