"""What is inside a network, layer by layer: first-layer weights as images, how activations and
gradients are spread, and units with their connections."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import backprop
from ..border import check_data, formula_of
from ..errors import check_count, show
from ..layers.dense import Dense
from ..model import Model
from .landscapes import check_model

if TYPE_CHECKING:
    from .._types import Array


class Histograms(NamedTuple):
    """A histogram for each layer, all with the same bins."""

    names: tuple[str, ...]
    edges: Array  # (bins + 1,)
    counts: Array  # (layers, bins)
    std: Array  # (layers,) standard deviation
    of: str  # "activations" or "gradients"


class Network(NamedTuple):
    """The units of a chain of dense layers, and the weights between them."""

    sizes: tuple[int, ...]  # units of the input and of each layer
    weights: tuple[Array, ...]  # (in, out) each
    biases: tuple[Array, ...]  # (out,) each; zeros for a layer without
    labels: tuple[str, ...]  # what each column of units is


def weight_images(model: Model, shape: tuple[int, ...], layer: int = 0) -> Array:
    """The weights that each unit of a dense layer gives to the pixels of an image.

    Parameters
    ----------
    model : Model
    shape : (height, width) or (height, width, channels)
        Of the images that the layer sees, flattened.
    layer : int
        The layer's position in ``model.layers``.

    Returns
    -------
    array (units, height, width[, channels])
        A copy.

    Raises
    ------
    TypeError, ValueError
        For a position without a `Dense`, and a shape of another number of pixels.

    Examples
    --------
    >>> from chainrule import Dense, Model, inspection
    >>> inspection.weight_images(Model(Dense(64, 20), seed=0), (8, 8)).shape
    (20, 8, 8)
    """
    owner = "inspection.weight_images"
    check_model(owner, model)
    position = check_count(owner, "layer", layer, low=0)
    if not isinstance(shape, (tuple, list)) or len(shape) not in (2, 3):
        raise ValueError(f"{owner}: shape must be (height, width), as in (8, 8), got {shape!r}.")
    shape = tuple(check_count(owner, "each size of shape", size) for size in shape)
    if position >= len(model.layers):
        raise ValueError(f"{owner}: the model has {len(model.layers)} layers, got layer={layer}.")
    dense = model.layers[position]
    if not isinstance(dense, Dense):
        raise TypeError(f"{owner}: layer {layer} must be a Dense, got {dense!r}.")
    if math.prod(shape) != dense.in_features:
        raise ValueError(
            f"{owner}: {dense!r} sees {dense.in_features} pixels, but shape {show(shape)} has "
            f"{math.prod(shape)}."
        )
    return dense.W.T.reshape(dense.out_features, *shape).copy()


def histograms(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    loss: Any = None,
    of: str = "activations",
    bins: int = 61,
) -> Histograms:
    """How the outputs of each layer are spread, or the gradients dL/dy that come back to it.

    Signals that die out or grow from layer to layer are seen here at a glance.

    Parameters
    ----------
    model : Model
        Looked at in evaluation mode; it is the same afterwards.
    x : array (N, ...)
    y : array (N, ...), for gradients
    loss : Loss, or a function as `Model.fit` takes it, for gradients
    of : "activations" or "gradients"
    bins : int
        Number of bins. They span the central 99 % of the values of each layer, for single far
        values would leave all others in one bin; what lies beyond is not counted.

    Returns
    -------
    Histograms
        ``names``, ``edges`` (bins + 1,), ``counts`` (layers, bins), ``std`` (layers,), ``of``. An
        embedding's input, being indices, has no gradient.

    Raises
    ------
    TypeError, ValueError
        For data that do not fit, and for values that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Dense, Model, Tanh, inspection
    >>> model = Model(Dense(4, 8), Tanh(), Dense(8, 1), seed=0)
    >>> x = np.random.default_rng(0).normal(size=(100, 4))
    >>> h = inspection.histograms(model, x, bins=10)
    >>> h.names, h.counts.shape
    (('0 Dense', '1 Tanh', '2 Dense'), (3, 10))

    References
    ----------
    X. Glorot, Y. Bengio, *Understanding the difficulty of training deep feedforward neural
    networks*, AISTATS 2010, figures 6 and 7.
    """
    owner = "inspection.histograms"
    check_model(owner, model)
    bins = check_count(owner, "bins", bins)
    if of == "activations":
        with np.errstate(all="ignore"):
            values = model.activations(x)
        first = 0
    elif of == "gradients":
        if y is None or loss is None:
            raise ValueError(f"{owner}: gradients need targets and a loss: (model, x, y, loss=...)")
        values = _output_gradients(owner, model, x, y, loss)
        first = len(model.layers) - len(values)
    else:
        raise ValueError(f'{owner}: of must be "activations" or "gradients", got {of!r}.')
    flat = [np.asarray(value, np.float64).ravel() for value in values]
    names = tuple(
        f"{i} {type(layer).__name__}" for i, layer in enumerate(model.layers) if i >= first
    )
    if flat[0].size == 0:
        raise ValueError(f"{owner}: x is empty; expected rows of data.")
    for name, value in zip(names, flat, strict=True):
        if not np.isfinite(value).all():
            raise ValueError(f"{owner}: the {of} of layer {name} are not all finite.")
    low = min(np.quantile(value, 0.005) for value in flat)
    high = max(np.quantile(value, 0.995) for value in flat)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # all but constant
        low, high = low - 0.5 * max(abs(low), 1.0), high + 0.5 * max(abs(high), 1.0)
    edges = np.linspace(low, high, bins + 1)
    counts = np.array([np.histogram(value, edges)[0] for value in flat])
    return Histograms(names, edges, counts, np.array([value.std() for value in flat]), of)


def _output_gradients(owner: str, model: Model, x: Any, y: Any, loss: Any) -> list[Array]:
    """dL/dy at the output of every layer that the gradient reaches."""
    x, y, _ = check_data(owner, model, loss, x, y)
    with np.errstate(all="ignore"):
        prediction, caches = backprop.forward(model.layers, model.convert(x))
        _, dy = formula_of(loss)(prediction, y, None)
        gradients: list[Array] = []
        for layer, cache in zip(reversed(model.layers), reversed(caches), strict=True):
            gradients.append(dy.copy())
            dy, _ = backprop.backward_one(layer, dy, cache, None, need_dx=True)
            if dy is None:
                break
    return gradients[::-1]


def network(model: Model) -> Network:
    r"""Units and weights of a chain of dense layers with activations between them.

    Parameters
    ----------
    model : Model

    Returns
    -------
    Network
        ``sizes`` of the columns of units, the ``weights`` (in, out) and ``biases`` (out,) between
        them as copies, and a label for each column.

    Raises
    ------
    TypeError, ValueError
        For a model without a `Dense`, or with other layers that have parameters.

    Examples
    --------
    >>> from chainrule import Dense, Model, Sigmoid, inspection
    >>> drawn = inspection.network(Model(Dense(2, 3), Sigmoid(), Dense(3, 1), seed=0))
    >>> drawn.sizes, drawn.labels
    ((2, 3, 1), ('input', 'Dense\nSigmoid', 'Dense'))
    """
    owner = "inspection.network"
    check_model(owner, model)
    sizes: list[int] = []
    weights, biases, labels = [], [], ["input"]
    for layer in model.layers:
        if isinstance(layer, Dense):
            sizes += [layer.out_features] if sizes else [layer.in_features, layer.out_features]
            weights.append(layer.W.copy())
            biases.append(layer.b.copy() if layer.bias else np.zeros_like(layer.W[0]))
            labels.append(type(layer).__name__)
        elif layer.children or layer.parameter_shapes:
            raise ValueError(f"{owner}: expected Dense layers and activations, got {layer!r}.")
        elif sizes:
            labels[-1] += f"\n{type(layer).__name__}"
    if not sizes:
        raise ValueError(f"{owner}: the model has no Dense layer to draw.")
    return Network(tuple(sizes), tuple(weights), tuple(biases), tuple(labels))
