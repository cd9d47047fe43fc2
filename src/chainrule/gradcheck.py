"""The gradient check: is a backward formula the derivative of its forward formula? Central
differences in float64 under a random cotangent decide, for a layer, a whole model or a loss."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import backprop
from .errors import GradientError, as_numbers, check_count, check_number, show
from .layer import Layer
from .parameters import FlatParameters, unique

if TYPE_CHECKING:
    from ._types import Array

DIRECTIONS = 8  # random directions along which a large array is checked


def numerical_gradient(f: Callable[[Array], float], x: Any, eps: float = 1e-6) -> Array:
    r"""Gradient of a scalar function by central differences, in float64.

    :math:`\partial f/\partial x_i \approx (f(x + h e_i) - f(x - h e_i)) / 2h` with
    :math:`h = \epsilon \max(1, |x_i|)`.

    Parameters
    ----------
    f : function of an array that returns a number
    x : array of any shape
        Left as it is.
    eps : float

    Returns
    -------
    array of x's shape

    Examples
    --------
    >>> from chainrule import numerical_gradient
    >>> numerical_gradient(lambda x: (x**2).sum(), [1.0, -3.0]).round(6).tolist()
    [2.0, -6.0]

    References
    ----------
    J. Nocedal, S. Wright, *Numerical Optimization*, Springer 2006, section 8.1.
    """
    eps = check_number("numerical_gradient", "eps", eps, low=0, open_low=True)
    x = as_numbers("numerical_gradient: x", x).astype(np.float64)
    gradient: Array = np.empty_like(x)
    for i in np.ndindex(x.shape):
        here, h = x[i], eps * max(1.0, abs(x[i]))
        x[i] = here + h
        above = _number(f(x))
        x[i] = here - h
        below = _number(f(x))
        x[i] = here
        gradient[i] = (above - below) / (2 * h)
    return gradient


def _number(value: Any) -> float:
    if np.ndim(value) != 0:
        raise TypeError(f"numerical_gradient: f must return a number, got shape {np.shape(value)}.")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"numerical_gradient: f must return a number, got {value!r}.") from None


def gradcheck(
    subject: Any,
    x: Any,
    target: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    training: bool = True,
    sample_weight: Any = None,
    max_elements: int = 500,
    seed: int = 0,
) -> float:
    r"""Compare the gradients of a layer, a model or a loss with central differences.

    With a random cotangent v, :math:`L = \sum v \cdot y`; every entry of dL/dx and dL/dp must lie
    within ``atol`` times the array's largest entry, plus ``rtol`` times itself, of
    :math:`(L(x + h) - L(x - h)) / 2h`. Where the slopes on the two sides differ, at a kink, any
    value between them is right.

    All is done on a copy in float64: parameters, buffers and generators stay as they are. Random
    layers draw the same numbers in each evaluation, so that a dropout mask stands still.

    Parameters
    ----------
    subject : Layer, Model or loss
    x : array, or tuple of arrays
        The input, or the prediction for a loss. Indices, where the layer takes them, are not
        differentiated.
    target : array
        For a loss.
    eps : float
        Step of the differences, relative to entries above 1.
    atol, rtol : float
        Tolerances relative to the array's largest entry, and to the entry.
    training : bool
        Mode of the forward pass.
    sample_weight : array, optional
        For a loss.
    max_elements : int
        Larger arrays are checked along random directions instead of entry by entry.
    seed : int
        Of the cotangent and the directions.

    Returns
    -------
    float
        The worst error found, relative to the largest entry of its array; 0 where the rounding of
        the outputs hides a whole array.

    Raises
    ------
    GradientError
        An `AssertionError` that names the array, its worst entry and both values; also for a
        missing gradient, a wrong shape, and a formula that changes its input.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Dense, SoftmaxCrossEntropy, gradcheck
    >>> gradcheck(Dense(3, 2), np.random.default_rng(0).normal(size=(4, 3))) < 1e-7
    True
    >>> gradcheck(SoftmaxCrossEntropy(), [[0.1, 0.2], [3.0, -1.0]], [1, 0]) < 1e-7
    True

    References
    ----------
    Random cotangents, and directions for large arrays, as in Chainer's ``gradient_check`` (S. Tokui
    et al., *Chainer*, KDD 2019).
    """
    eps = check_number("gradcheck", "eps", eps, low=0, open_low=True)
    atol = check_number("gradcheck", "atol", atol, low=0)
    rtol = check_number("gradcheck", "rtol", rtol, low=0)
    max_elements = check_count("gradcheck", "max_elements", max_elements, low=0)
    # A stream of its own: inputs are often drawn from default_rng(seed) too, and must not be v.
    rng = np.random.default_rng([check_count("gradcheck", "seed", seed, low=0, high=None), 0x9C0DE])
    layers = (subject,) if isinstance(subject, Layer) else getattr(subject, "layers", None)
    if layers is not None:
        f, variables = _of_layers(subject, layers, x, training, rng)
    elif callable(subject) and not isinstance(subject, type):
        f, variables = _of_loss(subject, x, target, sample_weight)
    else:
        raise TypeError(f"gradcheck takes a layer, a model or a loss, got {subject!r}.")

    worst = 0.0
    if not any(variable.value.size for variable in variables):
        raise ValueError(f"gradcheck: for {subject!r} and this x there is nothing to compare.")
    for variable in variables:
        rules = _Rules(eps, atol, rtol)
        if variable.value.size <= max_elements:
            error = _elements(subject, f, variable, rules)
        else:
            error = _directions(subject, f, variable, rules, rng)
        worst = max(worst, error)
    return worst


class _Variable(NamedTuple):
    """What is moved (in place), and the gradient that is claimed for it."""

    name: str
    value: Array
    gradient: Array


class _Rules(NamedTuple):
    eps: float
    atol: float
    rtol: float


class _Slopes(NamedTuple):
    """Differences to both sides, each an array over the points that were tried."""

    left: Array
    right: Array
    width: Array  # how far the two sides of kinks lie apart, added up over the outputs
    noise: Array  # how far rounding alone can take them

    @property
    def middle(self) -> Array:
        return (self.left + self.right) / 2


# An evaluation returns the terms of a sum: the differences of terms lose less than that of sums.
_Function = Callable[[], "Array"]


def _of_layers(
    subject: Any, layers: Sequence[Layer], x: Any, training: bool, rng: np.random.Generator
) -> tuple[_Function, list[_Variable]]:
    single = layers[0] if len(layers) == 1 and not layers[0].children else None
    layers = copy.deepcopy(tuple(layers))
    flat = FlatParameters(layers, np.float64)
    several = isinstance(x, tuple)
    parts = list(unique(layers).values())
    indices = any(layer.takes_indices for layer in parts)
    xs = [_as_variable(part, indices) for part in (x if several else (x,))]
    states = [layer.rng.bit_generator.state for layer in parts]
    buffers = {name: buffer.copy() for name, buffer in flat.named_buffers().items()}

    def forward() -> tuple[Array, list[Any]]:
        for layer, state in zip(parts, states, strict=True):
            layer.rng.bit_generator.state = state
        for name, buffer in flat.named_buffers().items():
            buffer[...] = buffers[name]
        return backprop.forward(layers, tuple(xs) if several else xs[0], training)  # type: ignore[arg-type]

    before = [part.copy() for part in xs]
    y, caches = forward()
    y_before = y.copy()
    v = rng.standard_normal(y.shape)
    v_before = v.copy()
    views, add_shares = flat.gradient_views(flat.gradients)
    try:
        dx, grads = backprop.backward(layers, v, caches, views)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise GradientError(f"{subject!r}: backward does not work: {error}") from error
    add_shares()
    _expect_unchanged("x", xs, before)
    _expect_unchanged("y", [y], [y_before])
    _expect_unchanged("dy", [v], [v_before])
    if not np.array_equal(forward()[0], y, equal_nan=True):
        raise GradientError(
            f"{subject!r}: forward does not repeat, so its gradient cannot be checked; draw random "
            "numbers from self.rng alone, and keep nothing of a call."
        )
    dxs = dx if several else (dx,)
    if not isinstance(dxs, tuple) or len(dxs) != len(xs):
        raise GradientError(f"{subject!r}: dx must be a tuple of {len(xs)} arrays, got {dx!r}.")

    variables = []
    for i, (part, d) in enumerate(zip(xs, dxs, strict=True)):
        if part.dtype.kind == "f":
            name = f"x[{i}]" if several else "x"
            if d is None or np.shape(d) != part.shape:
                got = "None" if d is None else f"shape {show(np.shape(d))}"
                raise GradientError(
                    f"{subject!r}: d{name} must have x's shape {show(part.shape)}, got {got}."
                )
            variables.append(_Variable(name, part, d))
    gradients = flat.named(flat.gradients)
    for name, value in flat.named(flat.values).items():
        slot = flat.slots[name]
        if slot.layer._trainable:
            if single is not None and slot.key not in grads.get("0", {}):
                raise GradientError(f"{single!r}: backward returned no gradient for {slot.key!r}.")
            shown = slot.key if single is not None else name
            variables.append(_Variable(shown, value, gradients[name]))
    return (lambda: v * forward()[0]), variables


def _of_loss(loss: Any, x: Any, target: Any, weight: Any) -> tuple[_Function, list[_Variable]]:
    prediction = as_numbers("gradcheck: prediction", x).astype(np.float64)
    before = prediction.copy()
    _, d = loss(prediction, target, weight)
    _expect_unchanged("the prediction", [prediction], [before])
    if np.shape(d) != prediction.shape:
        raise GradientError(
            f"{loss!r}: the gradient must have the prediction's shape {show(prediction.shape)}, "
            f"got {show(np.shape(d))}."
        )
    return (
        lambda: np.array([loss(prediction, target, weight)[0]]),
        [_Variable("prediction", prediction, d)],
    )


def _as_variable(x: Any, indices: bool) -> Array:
    """Return a copy to be moved, in float64; indices stay as they are."""
    x = as_numbers("gradcheck: x", x)
    if not np.isfinite(x).all():
        raise ValueError(
            "gradcheck: x holds values that are not finite, where nothing has a slope."
        )
    return x.copy() if indices and x.dtype.kind in "iu" else x.astype(np.float64)


def _expect_unchanged(name: str, now: Sequence[Array], before: Sequence[Array]) -> None:
    for a, b in zip(now, before, strict=True):
        if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            raise GradientError(f"{name} was changed in place; forward and backward must not.")


def _slopes(f: _Function, value: Array, steps: Iterable[tuple[Array, float]]) -> _Slopes:
    """Slopes of the sum of f's terms for each (step of `value`, its length); value is put back."""
    start, here = value.copy(), f()
    rounding = 16 * np.finfo(np.float64).eps * np.abs(here)
    noise = np.sqrt((rounding**2).sum())  # the terms' roundings have random signs

    def change(step: Array) -> Array:
        value[...] = start + step
        return f() - here

    found = []
    for step, h in steps:
        above, below = change(step), -change(-step)
        bend = np.abs(above - below)
        sharp = bend > 1e-3 * np.maximum(np.abs(above), np.abs(below)) + rounding
        if sharp.any():  # a kink, or a jump: that is as high for a step a hundredth as long
            for sign in (1, -1):
                near = np.abs(change(sign * step / 100))
                sharp &= ~(near > 0.5 * bend)
        found.append([below.sum() / h, above.sum() / h, bend[sharp].sum() / h, noise / h])
    value[...] = start
    return _Slopes(*np.array(found).T)


def _errors(claimed: Array, slopes: _Slopes) -> Array:
    """How far each claim lies from the slope, or from the slopes on both sides of a kink."""
    return np.maximum(np.abs(claimed - slopes.middle) - slopes.width / 2, 0)  # NaN stays


def _relative(error: Array, scale: float, noise: Array) -> float:
    """Worst error over the largest entry; 0 where rounding hides the whole array."""
    return float(error.max()) / scale if scale > 1e3 * float(noise.max()) else 0.0


def _elements(
    subject: Any,
    f: _Function,
    variable: _Variable,
    rules: _Rules,
    entries: Sequence[tuple[int, ...]] | None = None,
) -> float:
    """Check entry by entry; return the worst error relative to the largest entry."""
    entries = list(np.ndindex(variable.value.shape)) if entries is None else entries
    if not entries:
        return 0.0

    def steps() -> Iterator[tuple[Array, float]]:
        for i in entries:
            step = np.zeros_like(variable.value)
            step[i] = rules.eps * max(1.0, abs(variable.value[i]))
            yield step, step[i]

    slopes = _slopes(f, variable.value, steps())
    claimed = np.array([variable.gradient[i] for i in entries])
    scale = float(np.abs(slopes.middle).max())
    error = _errors(claimed, slopes)
    allowed = rules.atol * scale + rules.rtol * np.abs(slopes.middle) + slopes.noise
    bad = ~(error <= allowed)
    if bad.any():
        n = int(np.argmax(np.where(bad, np.where(np.isnan(error), np.inf, error), -1)))
        side = ""
        if slopes.width[n] > allowed[n]:
            side = (
                f" There is a kink at this entry: the slope is {slopes.left[n]:.6g} on its left, "
                f"{slopes.right[n]:.6g} on its right; check at a point away from it."
            )
        raise GradientError(
            f"{subject!r}: dL/d{variable.name}{list(entries[n])} is {claimed[n]:.6g} by backward, "
            f"{slopes.middle[n]:.6g} by central differences; {int(bad.sum())} of {len(entries)} "
            f"entries differ, and the largest entry is {scale:.6g}.{side}"
        )
    return _relative(error, scale, slopes.noise)


def _directions(
    subject: Any, f: _Function, variable: _Variable, rules: _Rules, rng: np.random.Generator
) -> float:
    """Check along random directions; where one fails, look for an entry to name."""
    worst = 0.0
    lengths = np.maximum(1.0, np.abs(variable.value))  # as for single entries
    for _ in range(DIRECTIONS):
        u = lengths * rng.standard_normal(variable.value.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            claimed = np.array([(variable.gradient * u).sum()])
        slopes = _slopes(f, variable.value, [(rules.eps * u, rules.eps)])
        scale = float(np.abs(lengths * variable.gradient).max())
        error = _errors(claimed, slopes)
        if not error[0] <= rules.atol * scale + slopes.noise[0]:
            largest = np.argsort(-np.abs(variable.gradient), axis=None)[:50]
            chosen = {*map(int, largest), *map(int, rng.choice(u.size, 50))}
            entries = [tuple(map(int, np.unravel_index(n, u.shape))) for n in chosen]
            _elements(subject, f, variable, rules, entries)
            raise GradientError(
                f"{subject!r}: the derivative of L along a random direction of {variable.name} is "
                f"{claimed[0]:.6g} by backward, {slopes.middle[0]:.6g} by central differences."
            )
        worst = max(worst, _relative(error, scale, slopes.noise))
    return worst
