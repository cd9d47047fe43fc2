"""A first model needs data at hand, so small sets come with the package or are drawn on the spot.

Each function returns plain arrays, x as float32 with one row per example and y as int64 labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .errors import check_count, check_number
from .numerics import sigmoid

if TYPE_CHECKING:
    import os

    from ._types import Array

__all__ = ["blobs", "digits", "mnist", "moons", "spirals", "will_i_pass", "xor"]


def digits() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return 1797 handwritten digits of 8 x 8 pixels, split into a train and a test part.

    The split is fixed: with the rows laid out class by class, each class in file order, every
    fifth row, from the first on, goes to the test part, so each class gives a fifth of its rows.
    Both parts keep the order of the file, in which the classes are mixed. The same 13 writers
    occur on both sides, so the test part says nothing about writers never seen.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of tuples of ndarray
        x is float32 in [0, 1] with shape (1437, 64) and (360, 64), an image row by row;
        y is int64 in 0..9 with shape (1437,) and (360,).

    Examples
    --------
    >>> from chainrule import datasets
    >>> (x_train, y_train), (x_test, y_test) = datasets.digits()
    >>> x_train.shape, x_test.shape
    ((1437, 64), (360, 64))

    References
    ----------
    E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits (its test set).
    UCI Machine Learning Repository. https://doi.org/10.24432/C50P49. Licence CC BY 4.0.
    """
    import gzip
    from importlib.resources import files

    packed = (files("chainrule") / "data_files" / "digits.csv.gz").read_bytes()
    rows = gzip.decompress(packed).decode("ascii").splitlines()
    table = np.loadtxt(rows, dtype=np.int64, delimiter=",")
    x, y = (table[:, :64] / 16).astype(np.float32), table[:, 64]
    test = np.zeros(len(y), dtype=bool)
    test[np.argsort(y, kind="stable")[::5]] = True
    return (x[~test], y[~test]), (x[test], y[test])


def mnist(
    path: str | os.PathLike[str] | None = None,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    r"""Return MNIST, 70000 handwritten digits of 28 x 28 pixels, split as published.

    The data come from `path`; else from the place that the environment variable
    ``CHAINRULE_DATA`` names; else from the cache folder (``$XDG_CACHE_HOME/chainrule`` or
    ``~/.cache/chainrule``, on Windows ``%LOCALAPPDATA%\chainrule``); else they are downloaded
    into the cache folder, 11 MB over https, and checked against their sha256.

    Parameters
    ----------
    path : str or path, optional
        An ``.npz`` file with the uint8 arrays x_train, y_train, x_test and y_test, or a folder
        that holds such a file as ``mnist.npz`` or else the four IDX files
        (``train-images-idx3-ubyte`` or ``train-images.idx3-ubyte``, and so on), gzipped or not.
        Smaller sets of the same layout are welcome.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of tuples of ndarray
        x is float32 in [0, 1] with shape (60000, 784) and (10000, 784), an image row by row;
        y is int64 in 0..9 with shape (60000,) and (10000,).

    Raises
    ------
    FileNotFoundError
        If `path` or ``CHAINRULE_DATA`` names a place without MNIST.
    ValueError
        If a file is damaged or has another format.
    ConnectionError
        If a download is needed and fails.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from chainrule import datasets
    >>> images, labels = np.zeros((2, 28, 28), np.uint8), np.array([7, 2], np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "mnist.npz")
    ...     np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    ...     (x_train, y_train), (x_test, y_test) = datasets.mnist(path)
    >>> x_train.shape, y_train.tolist()
    ((2, 784), [7, 2])

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998). Gradient-based learning applied to
    document recognition. Proceedings of the IEEE 86(11), 2278-2324.
    """
    from . import _mnist

    return _mnist.load(path)


def will_i_pass(n: int | None = None, seed: int = 0) -> tuple[Array, Array]:
    """Return students by effort, labelled with whether they passed the class.

    Without `n`, the ten students of the lecture slide. With `n`, a random sample round the same
    rule, x1 and x2 uniform on [0, 8] and

        P(y = 1 | x) = 1 / (1 + exp(-4 (x1 + x2 - 5.3))),

    where 5.3 is halfway between the slide's worst pass (sum 7.0) and best fail (sum 3.6).

    Parameters
    ----------
    n : int, optional
        Number of students to draw.
    seed : int
        Seed of the sample; without effect on the ten students.

    Returns
    -------
    x : ndarray of float32, shape (10, 2) or (n, 2)
        Lectures attended and hours spent on the final project.
    y : ndarray of int64, shape (10,) or (n,)
        1 for pass and 0 for fail.

    Raises
    ------
    TypeError, ValueError
        If `n` is not a positive integer or `seed` not a non-negative one.

    Examples
    --------
    >>> from chainrule import datasets
    >>> x, y = datasets.will_i_pass()
    >>> x.shape, y.tolist()
    ((10, 2), [1, 1, 1, 1, 1, 1, 1, 0, 0, 0])

    References
    ----------
    MIT 6.S191 Introduction to Deep Learning, lecture 1 (2024).
    """
    rng = _generator("will_i_pass", seed)
    if n is None:
        passed = [
            (6.7, 1.9),
            (5.0, 6.2),
            (2.8, 4.7),
            (6.3, 5.3),
            (2.2, 6.7),
            (5.0, 2.0),
            (7.4, 3.4),
        ]
        failed = [(1.0, 1.2), (2.0, 1.6), (0.8, 2.6)]
        return np.array(passed + failed, dtype=np.float32), np.array([1] * 7 + [0] * 3, np.int64)
    check_count("datasets.will_i_pass", "n", n)
    x = rng.uniform(0, 8, (n, 2))
    chance = sigmoid(4 * (x.sum(axis=1) - 5.3))
    return x.astype(np.float32), (rng.random(n) < chance).astype(np.int64)


def xor(n: int | None = None, noise: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """Return the exclusive or, the smallest problem that no straight line can solve.

    Without `n`, the four corners of the unit square with y = x1 XOR x2. With `n`, corners
    scattered by Gaussian noise, x = corner + noise * e with e ~ N(0, I).

    Parameters
    ----------
    n : int, optional
        Number of points to draw.
    noise : float
        Standard deviation of the scatter; without effect on the four corners.
    seed : int
        Seed of the sample; without effect on the four corners.

    Returns
    -------
    x : ndarray of float32, shape (4, 2) or (n, 2)
        Points.
    y : ndarray of int64, shape (4,) or (n,)
        0 where the two coordinates of the corner agree, else 1.

    Raises
    ------
    TypeError, ValueError
        If `n` is not a positive integer, `noise` not a finite number >= 0, or `seed` not a
        non-negative integer.

    Examples
    --------
    >>> from chainrule import datasets
    >>> x, y = datasets.xor()
    >>> x.tolist(), y.tolist()
    ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0])

    References
    ----------
    M. Minsky and S. Papert (1969). Perceptrons. MIT Press.
    """
    noise = check_number("datasets.xor", "noise", noise, low=0)
    rng = _generator("xor", seed)
    corners = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], dtype=np.float32)
    labels = np.array([0, 1, 1, 0], dtype=np.int64)
    if n is None:
        return corners, labels
    check_count("datasets.xor", "n", n)
    corner = rng.permutation(n) % 4
    x = corners[corner] + noise * rng.standard_normal((n, 2))
    return x.astype(np.float32), labels[corner]


def spirals(
    n: int = 300, classes: int = 3, noise: float = 0.1, seed: int = 0
) -> tuple[Array, Array]:
    """Return spiral arms that start at the origin, one for each class.

    Arm k of K is x = t (cos a, sin a) with a = 2 pi k / K + 4 t + noise * e, where t is uniform
    on [0, 1] and e ~ N(0, 1).

    Parameters
    ----------
    n : int
        Number of points.
    classes : int
        Number of arms, at least 2.
    noise : float
        Standard deviation of the angle, in radians.
    seed : int
        Seed of the sample.

    Returns
    -------
    x : ndarray of float32, shape (n, 2)
        Points, in random order.
    y : ndarray of int64, shape (n,)
        Number of the arm; the classes' sizes differ by one at most.

    Raises
    ------
    TypeError, ValueError
        If `n` is not a positive integer, `classes` not an integer >= 2, `noise` not a finite
        number >= 0, or `seed` not a non-negative integer.

    Examples
    --------
    >>> from chainrule import datasets
    >>> x, y = datasets.spirals(n=300, classes=3)
    >>> x.shape, [(y == k).sum().item() for k in range(3)]
    ((300, 2), [100, 100, 100])

    References
    ----------
    Stanford CS231n, Neural Networks Case Study, https://cs231n.github.io/neural-networks-case-study/
    """
    check_count("datasets.spirals", "n", n)
    check_count("datasets.spirals", "classes", classes, low=2)
    noise = check_number("datasets.spirals", "noise", noise, low=0)
    rng = _generator("spirals", seed)
    y = rng.permutation(n) % classes
    t = rng.uniform(0, 1, n)
    angle = 2 * np.pi * y / classes + 4 * t + noise * rng.standard_normal(n)
    x = np.column_stack([t * np.cos(angle), t * np.sin(angle)])
    return x.astype(np.float32), y.astype(np.int64)


def moons(n: int = 200, noise: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """Return two half circles that reach into each other.

    With t uniform on [0, pi] and e ~ N(0, I), class 0 is x = (cos t, sin t) + noise * e and
    class 1 is x = (1 - cos t, 1/2 - sin t) + noise * e.

    Parameters
    ----------
    n : int
        Number of points.
    noise : float
        Standard deviation of the scatter.
    seed : int
        Seed of the sample.

    Returns
    -------
    x : ndarray of float32, shape (n, 2)
        Points, in random order.
    y : ndarray of int64, shape (n,)
        0 for the upper moon and 1 for the lower; the classes' sizes differ by one at most.

    Raises
    ------
    TypeError, ValueError
        If `n` is not a positive integer, `noise` not a finite number >= 0, or `seed` not a
        non-negative integer.

    Examples
    --------
    >>> from chainrule import datasets
    >>> x, y = datasets.moons(n=200)
    >>> x.shape, y.sum().item()
    ((200, 2), 100)

    References
    ----------
    The shape is that of ``sklearn.datasets.make_moons``.
    """
    check_count("datasets.moons", "n", n)
    noise = check_number("datasets.moons", "noise", noise, low=0)
    rng = _generator("moons", seed)
    y = rng.permutation(n) % 2
    t = rng.uniform(0, np.pi, n)
    upper = np.column_stack([np.cos(t), np.sin(t)])
    lower = np.column_stack([1 - np.cos(t), 0.5 - np.sin(t)])
    x = np.where(y[:, None] == 0, upper, lower) + noise * rng.standard_normal((n, 2))
    return x.astype(np.float32), y.astype(np.int64)


def blobs(
    n: int = 300, classes: int = 3, features: int = 2, spread: float = 1.0, seed: int = 0
) -> tuple[Array, Array]:
    """Return round clouds of points, one for each class.

    Class k is x = c_k + spread * e, with e ~ N(0, I) and the centre c_k uniform on [-10, 10] in
    every feature. The centres change with the seed, so draw train and test rows in one call.

    Parameters
    ----------
    n : int
        Number of points.
    classes : int
        Number of clouds, at least 2.
    features : int
        Number of columns of x.
    spread : float
        Standard deviation of each cloud.
    seed : int
        Seed of the sample.

    Returns
    -------
    x : ndarray of float32, shape (n, features)
        Points, in random order.
    y : ndarray of int64, shape (n,)
        Number of the cloud; the classes' sizes differ by one at most.

    Raises
    ------
    TypeError, ValueError
        If `n` or `features` is not a positive integer, `classes` not an integer >= 2, `spread`
        not a finite number >= 0, or `seed` not a non-negative integer.

    Examples
    --------
    >>> from chainrule import datasets
    >>> x, y = datasets.blobs(n=9, classes=3, features=5)
    >>> x.shape, sorted(y.tolist())
    ((9, 5), [0, 0, 0, 1, 1, 1, 2, 2, 2])
    """
    check_count("datasets.blobs", "n", n)
    check_count("datasets.blobs", "classes", classes, low=2)
    check_count("datasets.blobs", "features", features)
    spread = check_number("datasets.blobs", "spread", spread, low=0)
    rng = _generator("blobs", seed)
    centres = rng.uniform(-10, 10, (classes, features))
    y = rng.permutation(n) % classes
    x = centres[y] + spread * rng.standard_normal((n, features))
    return x.astype(np.float32), y.astype(np.int64)


def _generator(where: str, seed: int) -> np.random.Generator:
    return np.random.default_rng(check_count(f"datasets.{where}", "seed", seed, low=0, high=None))
