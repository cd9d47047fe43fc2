"""The loss as a landscape: over two of a network's weights, or along two random directions in the
space of all of them, scaled so that the landscapes of different networks can be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import as_numbers, check_count, check_number, show
from ..model import Model
from ..sources import ArraySource
from ..training import evaluate_source

if TYPE_CHECKING:
    from .._types import Array


class Surface(NamedTuple):
    """A loss over a grid."""

    a: Array  # (A,)
    b: Array  # (B,)
    loss: Array  # (B, A), float64; rows follow b, columns a


def loss_surface(
    model: Model, x: Any, y: Any, *, loss: Any, weights: Sequence[int] = (0, 1), a: Any, b: Any
) -> Surface:
    """J(w_i, w_j) over a grid, all other weights as they are.

    Parameters
    ----------
    model : Model
        Looked at in evaluation mode; it is the same afterwards.
    x, y : array (N, ...)
    loss : Loss, or a function as `Model.fit` takes it
    weights : (int, int)
        Positions i and j in ``model.parameters``.
    a, b : array (A,), array (B,)
        The values of w_i and of w_j, ascending.

    Returns
    -------
    Surface
        ``a``, ``b``, and ``loss`` of shape (B, A); not finite where the loss overflows.

    Raises
    ------
    TypeError, ValueError
        For data and losses that `fit` refuses, and for positions that do not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Dense, MeanSquaredError, Model, inspection
    >>> model = Model(Dense(1, 1), seed=0)
    >>> x = np.array([[-1.0], [1.0]])
    >>> surface = inspection.loss_surface(model, x, 2 * x + 1, loss=MeanSquaredError(),
    ...                                   a=[0.0, 2.0], b=[1.0])  # y = a x + b
    >>> surface.loss.tolist()
    [[4.0, 0.0]]
    """
    owner = "inspection.loss_surface"
    check_model(owner, model)
    if not isinstance(weights, (tuple, list, np.ndarray)) or len(weights) != 2:
        raise ValueError(f"{owner}: weights must be two positions, as in (0, 1), got {weights!r}.")
    i, j = (check_count(owner, "each of weights", index, low=0) for index in weights)
    if i == j or max(i, j) >= model.num_parameters:
        raise ValueError(
            f"{owner}: weights must be two different positions below {model.num_parameters}, the "
            f"number of parameters; got {i} and {j}."
        )
    flat = model.parameters

    def move(value_a: float, value_b: float) -> None:
        flat[i], flat[j] = value_a, value_b

    return _over_grid(owner, model, x, y, loss, _axis(owner, "a", a), _axis(owner, "b", b), move)


def loss_landscape(
    model: Model, x: Any, y: Any, *, loss: Any, span: float = 1.0, points: int = 21, seed: int = 0
) -> Surface:
    r"""Loss around a trained network, J(w + a d + b e), along two filter-normalized directions.

    d and e are drawn from N(0, I); then the weights of each unit, a filter, get the length of the
    unit's own weights,

    .. math:: d_u \leftarrow \frac{d_u}{\|d_u\|} \|w_u\|,

    and biases and the parameters of norms do not move. Without this a network whose weights are
    large looks flat, for a ReLU network may be rescaled layer by layer without changing what it
    computes.

    Parameters
    ----------
    model : Model
        Looked at in evaluation mode; it is the same afterwards.
    x, y : array (N, ...)
    loss : Loss, or a function as `Model.fit` takes it
    span : float
        How far a and b go in each direction; 1 is a change as large as the weights themselves.
    points : int
        Grid points on each side; with an odd number the network itself is one.
    seed : int
        Of the directions.

    Returns
    -------
    Surface
        ``a`` and ``b`` of shape (points,), ``loss`` of shape (points, points).

    Raises
    ------
    TypeError, ValueError
        For data and losses that `fit` refuses, and for options outside their ranges.

    Examples
    --------
    >>> from chainrule import Dense, Model, ReLU, SoftmaxCrossEntropy, datasets, inspection
    >>> x, y = datasets.moons(50)
    >>> model = Model(Dense(2, 8), ReLU(), Dense(8, 2), seed=0)
    >>> surface = inspection.loss_landscape(model, x, y, loss=SoftmaxCrossEntropy(), points=5)
    >>> bool(surface.loss[2, 2] == model.evaluate(x, y, loss=SoftmaxCrossEntropy())["loss"])
    True

    References
    ----------
    H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, *Visualizing the Loss Landscape of Neural
    Nets*, NeurIPS 2018, section 4.
    """
    owner = "inspection.loss_landscape"
    check_model(owner, model)
    span = check_number(owner, "span", span, low=0, open_low=True)
    points = check_count(owner, "points", points, low=2)
    rng = np.random.default_rng(check_count(owner, "seed", seed, low=0, high=None))
    d, e = _direction(model, rng), _direction(model, rng)
    named = model.named_parameters()
    start = {name: named[name].copy() for name in d}

    def move(a: float, b: float) -> None:
        for name, w in start.items():
            named[name][...] = w + a * d[name] + b * e[name]

    # from -1 to 1 with an exact 0 in the middle
    side = span * np.arange(1 - points, points, 2) / (points - 1)
    return _over_grid(owner, model, x, y, loss, side, side.copy(), move)


def _direction(model: Model, rng: np.random.Generator) -> dict[str, Array]:
    """A filter-normalized random direction: an array for each matrix of weights."""
    direction = {}
    for name, weights, axis in model.weights():
        w = weights.astype(np.float64)
        d = rng.standard_normal(w.shape)
        length_d = np.sqrt((d**2).sum(axis=axis, keepdims=True))
        length_w = np.sqrt((w**2).sum(axis=axis, keepdims=True))
        direction[name] = d / length_d * length_w
    return direction


def _over_grid(
    owner: str,
    model: Model,
    x: Any,
    y: Any,
    loss: Any,
    a: Array,
    b: Array,
    move: Callable[[float, float], None],
) -> Surface:
    """The loss at each point of a grid; the parameters are put back whatever happens."""
    source = ArraySource(owner, model, loss, x, y, None)
    before = model.parameters.copy()
    values = np.empty((len(b), len(a)))
    try:
        with np.errstate(all="ignore"):
            for row, value_b in enumerate(b):
                for column, value_a in enumerate(a):
                    move(value_a, value_b)
                    result = evaluate_source(model, loss, [], source)
                    values[row, column] = result["loss"]
    finally:
        model.parameters[...] = before
    return Surface(a, b, values)


def _axis(owner: str, name: str, values: Any) -> Array:
    array = as_numbers(f"{owner}: {name}", values).astype(np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"{owner}: {name} must be finite values of shape (n,), as np.linspace gives them; got "
            f"shape {show(array.shape)}."
        )
    if not (np.diff(array) > 0).all():
        raise ValueError(f"{owner}: {name} must be ascending, as np.linspace gives them.")
    return array


def check_model(owner: str, model: Any) -> None:
    """Refuse anything but a model."""
    if not isinstance(model, Model):
        raise TypeError(f"{owner}: model must be a Model, got {model!r}.")
