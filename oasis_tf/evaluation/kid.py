"""Kernel distance of two sets of features, which few images suffice for."""

import numpy as np


def kernel_distance(real, fake, num_subsets=100, subset_size=1000, seed=0):
    """Returns the squared MMD of two sets, on random subsets: the KID.

    Of each set m features are drawn without replacement:

        KID = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j)
              - 2 mean_{i, j} k(x_i, y_j)
        k(x, y) = (x.y / D + 1)^3

    It is unbiased, so that it does not depend on m on average, and may be
    below 0. m is `subset_size`, or the size of the smaller set if that is
    less; where m is a whole set's size, its subsets are all the same.

    Args:
        real, fake: `[N, D]`, `[M, D]`, two or more each, finite.
        num_subsets: how many pairs of subsets.
        subset_size: m at most, 2 or more.
        seed: of the subsets. They follow from it in every version of NumPy.

    Returns:
        (mean, standard deviation) over the subsets, floats.

    Raises:
        ValueError: if the arguments are not of that kind.

    Source: Binkowski et al. (arXiv:1801.01401), "Kernel Inception
        Distance".
    """
    real, fake = np.asarray(real), np.asarray(fake)
    check_features(real, fake, at_least=2)
    if num_subsets < 1 or subset_size < 2:
        raise ValueError(
            "`num_subsets` must be 1 or more and `subset_size` 2 or more. "
            f"Received: num_subsets={num_subsets}, subset_size={subset_size}."
        )
    size = min(subset_size, len(real), len(fake))
    random = np.random.RandomState(seed)
    if size == len(real) == len(fake):
        num_subsets = 1  # All of them are the same.
    distances = []
    for _ in range(num_subsets):
        x = real[random.choice(len(real), size, replace=False)]
        y = fake[random.choice(len(fake), size, replace=False)]
        distances.append(squared_mmd(x, y))
    return float(np.mean(distances)), float(np.std(distances))


def squared_mmd(x, y):
    """Returns the unbiased estimate of the two sets' squared MMD.

    Args:
        x, y: `[m, D]`, `[n, D]`.

    Returns:
        float; see `kernel_distance`.
    """
    x, y = np.float64(x), np.float64(y)
    return (
        _mean_of_pairs(_kernel(x, x))
        + _mean_of_pairs(_kernel(y, y))
        - 2 * np.mean(_kernel(x, y))
    )


def check_features(real, fake, at_least):
    """Raises a ValueError unless these are two sets of features.

    Args:
        real, fake: arrays, to be `[N, D]` and `[M, D]`, finite.
        at_least: the least N and M.
    """
    is_pair = real.ndim == fake.ndim == 2 and real.shape[1] == fake.shape[1]
    if not is_pair or min(len(real), len(fake)) < at_least:
        raise ValueError(
            f"`real` and `fake` must be [N, D], of one D and N >= {at_least}. "
            f"Received: shapes {real.shape} and {fake.shape}."
        )
    for name, features in (("real", real), ("fake", fake)):
        if not np.isfinite(features).all():
            raise ValueError(
                f"`{name}` must be finite. Received: NaN or infinity."
            )


def _kernel(x, y):
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # Many times faster than a power.


def _mean_of_pairs(kernel):
    """Returns the mean beside the diagonal."""
    num = len(kernel)
    return (kernel.sum() - np.trace(kernel)) / (num * (num - 1))
