"""What a network says, looked at from outside: an activation as a curve, the plane as a classifier
divides it, and a table of which class was taken for which."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import as_numbers, check_count, check_number, show
from ..layer import Layer
from ..layers.containers import last_computing
from ..layers.probabilities import LogSigmoid
from ..metrics.confusion import count_pairs
from ..model import Model
from ..numerics import sigmoid, softmax

if TYPE_CHECKING:
    from .._types import Array


class Activation(NamedTuple):
    """A function of one number and its derivative, as a curve."""

    z: Array  # (n,)
    y: Array  # (n,) g(z)
    dy: Array  # (n,) g'(z)
    name: str


class Regions(NamedTuple):
    """The plane as a classifier sees it."""

    x1: Array  # (m,) first feature
    x2: Array  # (m,) second feature
    p: Array  # (m, m, K) probabilities; rows follow x2, columns x1; K = 1 for one yes-or-no output


def activation(layer: Layer, low: float = -5.0, high: float = 5.0, points: int = 401) -> Activation:
    """An activation y = g(z) and its derivative g'(z), by the layer's own two formulas.

    Parameters
    ----------
    layer : Layer
        Any layer that takes one number to one number.
    low, high : float
        First and last z.
    points : int
        How many z, at equal distances.

    Returns
    -------
    Activation
        ``z, y, dy`` of shape (points,), and the layer's name.

    Raises
    ------
    TypeError, ValueError
        For what is no such layer, and for an empty interval.

    Examples
    --------
    >>> from chainrule import Sigmoid, inspection
    >>> z, y, dy, name = inspection.activation(Sigmoid(), points=3)
    >>> z.tolist(), float(y[1]), float(dy[1])
    ([-5.0, 0.0, 5.0], 0.5, 0.25)
    """
    if not isinstance(layer, Layer):
        hint = f"; write {layer.__name__}()" if isinstance(layer, type) else ""
        raise TypeError(f"inspection.activation: layer must be a layer, got {layer!r}{hint}.")
    low = check_number("inspection.activation", "low", low)
    high = check_number("inspection.activation", "high", high, low=low, open_low=True)
    points = check_count("inspection.activation", "points", points, low=2)
    z = np.linspace(low, high, points)
    y, cache = layer.forward(z[:, None])
    if np.shape(y) != (points, 1):
        raise ValueError(
            f"inspection.activation: {layer!r} takes inputs of shape {show((points, 1))} to "
            f"{show(np.shape(y))}; expected a function of one number."
        )
    dx, _ = layer.backward(np.ones_like(y), cache)
    return Activation(z, y[:, 0], dx[:, 0], repr(layer))


def decision_regions(
    model: Model | Callable[[Array], Array], x: Any, points: int = 201, margin: float = 0.1
) -> Regions:
    """Probabilities of the classes over the plane around some points.

    Parameters
    ----------
    model : Model, or function (n, 2) -> (n,) or (n, K)
        Of a model the predictions are logits and go through the sigmoid (one output) or the softmax
        (several), unless it ends with such a layer; so do those of a model that ends with another
        activation, such as Tanh. A function returns probabilities.
    x : array (N, 2)
        The points that must be seen.
    points : int
        Grid points on each side.
    margin : float
        What is added on each side, as a share of the points' extent.

    Returns
    -------
    Regions
        ``x1, x2`` of shape (points,), ``p`` of shape (points, points, K).

    Raises
    ------
    TypeError, ValueError
        For points that are not in a plane, and for predictions that are no probabilities.

    Examples
    --------
    >>> from chainrule import Dense, Model, datasets, inspection
    >>> x, y = datasets.xor()
    >>> regions = inspection.decision_regions(Model(Dense(2, 1), seed=0), x, points=50)
    >>> regions.p.shape
    (50, 50, 1)
    """
    owner = "inspection.decision_regions"
    points = check_count(owner, "points", points, low=2, high=10_000)  # more than a screen shows
    margin = check_number(owner, "margin", margin, low=0)
    x = as_numbers(f"{owner}: x", x)
    if x.ndim != 2 or x.shape[1] != 2 or len(x) == 0:
        raise ValueError(f"{owner}: x must be points of shape (N, 2), got {show(x.shape)}.")
    if not callable(model):
        raise TypeError(f"{owner}: model must be a Model or a function, got {model!r}.")
    low, high = x.min(axis=0).astype(float), x.max(axis=0).astype(float)
    if not np.isfinite(high - low).all():
        raise ValueError(f"{owner}: x holds values that are not finite.")
    extent = np.where(high > low, high - low, 1.0)
    sides = np.linspace(low - margin * extent, high + margin * extent, points)  # (points, 2)
    grid = np.stack(np.meshgrid(*sides.T), axis=-1).reshape(-1, 2)
    with np.errstate(all="ignore"):  # what overflows is refused below
        p = probabilities(model, grid) if isinstance(model, Model) else np.asarray(model(grid))
    if p.ndim == 1:
        p = p[:, None]
    if p.ndim != 2 or len(p) != len(grid):
        raise ValueError(
            f"{owner}: expected one row of probabilities for each of {len(grid)} points, got "
            f"shape {show(p.shape)}."
        )
    if np.isnan(p).any():
        raise ValueError(f"{owner}: some predictions are not numbers.")
    if not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(
            f"{owner}: the function must return probabilities from 0 to 1, got {p.min():g} to "
            f"{p.max():g}; for logits apply chainrule.sigmoid or chainrule.softmax."
        )
    return Regions(sides[:, 0], sides[:, 1], p.reshape(points, points, -1))


def probabilities(model: Model, x: Array) -> Array:
    """Predictions as probabilities, whatever the model ends with."""
    y = model.predict(x)
    if model.probability_layer is not None:
        return y
    if isinstance(last_computing(model.layers), LogSigmoid):
        return np.exp(y)
    one = y.ndim == 1 or y.shape[-1] == 1
    return sigmoid(y) if one else softmax(y)  # softmax undoes LogSoftmax too


def confusion_matrix(prediction: Any, target: Any, classes: int | None = None) -> Array:
    """How often each class was taken for each: C[i, j] rows of class i were predicted as j.

    Parameters
    ----------
    prediction : array (N, C) or (N,)
        Logits or probabilities, of which the largest counts; or class indices.
    target : array (N,) or (N, C)
        Class indices, or one-hot.
    classes : int, optional
        The number of classes C. If not given it is the width of what has two axes, or else one more
        than the largest index.

    Returns
    -------
    array (C, C) of int64

    Raises
    ------
    TypeError, ValueError
        For shapes that do not fit each other, indices outside 0 to C - 1, scores that are NaN,
        and more than 10,000 classes.

    Examples
    --------
    >>> from chainrule import inspection
    >>> inspection.confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2]).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    owner = "inspection.confusion_matrix"
    guess, width = _class_indices(owner, "prediction", prediction)
    truth, other_width = _class_indices(owner, "target", target)
    if len(guess) != len(truth):
        raise ValueError(f"{owner}: {len(guess)} predictions, but {len(truth)} targets.")
    if classes is not None:
        count = check_count(owner, "classes", classes)
    else:
        count = width or other_width or 1 + max(int(i.max(initial=0)) for i in (guess, truth))
    for name, indices in (("prediction", guess), ("target", truth)):
        if indices.size and not 0 <= indices.min() <= indices.max() < count:
            raise ValueError(
                f"{owner}: classes in {name} must be from 0 to {count - 1}, got {indices.min()} "
                f"to {indices.max()}."
            )
    return count_pairs(owner, guess, truth, count)


def _class_indices(owner: str, name: str, values: Any) -> tuple[Array, int]:
    """Class indices (N,), and the number of classes where it can be seen, or else 0."""
    array = as_numbers(f"{owner}: {name}", values)
    if array.ndim == 2 and array.shape[1] > 1:
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ValueError(f"{owner}: {name} holds NaN, which is of no class.")
        one_hot = ((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()
        if name == "target" and not one_hot:
            raise ValueError(
                f"{owner}: target must be class indices (N,) or one-hot (N, C), got other numbers. "
                "The prediction comes first."
            )
        return array.argmax(axis=1), array.shape[1]
    if array.ndim != 1:
        raise ValueError(
            f"{owner}: {name} must have shape (N,) or (N, C) with C > 1, got {show(array.shape)}; "
            "of one yes-or-no output pass the classes, as in (prediction[:, 0] > 0)."
        )
    if array.dtype.kind not in "iub":
        raise TypeError(f"{owner}: class indices in {name} must be integers, got {array.dtype}.")
    if array.size and int(array.max()) >= 2**62:
        raise ValueError(f"{owner}: {array.max()} in {name} cannot be a class.")
    return array.astype(np.int64), 0
