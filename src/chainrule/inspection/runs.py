"""Experiments that compare: the same network trained in several ways over several seeds, and how
much the gradient of a batch strays from that of all the data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..border import check_data, check_optimizer, formula_of
from ..callbacks import Callback
from ..errors import DivergenceError, check_count, listed
from ..model import Model
from .landscapes import check_model

if TYPE_CHECKING:
    from .._types import Array
    from ..optimizers import Optimizer


class Race(NamedTuple):
    """Losses of the same training done in several ways."""

    names: tuple[str, ...]
    epochs: Array  # (E + 1,) from 0, before training
    losses: Array  # (names, seeds, E + 1); NaN from the epoch on in which a run diverged


class GradientVariance(NamedTuple):
    """How far the gradients of batches are from that of all the data."""

    batch_sizes: Array  # (n,)
    variance: Array  # (n,) mean of |g_batch - g|^2
    squared_norm: float  # |g|^2 of the gradient over all the data
    rows: int  # N, how many rows all the data have


class _Watch(Callback):
    """Evaluates the loss on all the data after each epoch."""

    def __init__(self, x: Any, y: Any, loss: Any) -> None:
        self.data, self.loss = (x, y), loss
        self.losses: list[float] = []

    def look(self, model: Model) -> None:
        self.losses.append(model.evaluate(*self.data, loss=self.loss)["loss"])

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        self.look(self.model)


def race(
    build: Callable[[int], Model],
    optimizers: Mapping[Any, Callable[[], Optimizer]],
    x: Any,
    y: Any,
    *,
    loss: Any,
    epochs: int = 10,
    batch_size: int | None = 32,
    seeds: Iterable[int] = (0, 1, 2),
) -> Race:
    """Train the same network with several optimizers or rates, each from the same starts.

    Parameters
    ----------
    build : function (seed) -> Model
        Called anew for each run, so that all begin with the same weights and see the same batches;
        each time it must make a new model, and a function of `optimizers` a new optimizer.
    optimizers : dict of name to function () -> Optimizer
        As in ``{"Adam": lambda: Adam(0.01)}``; for rates ``{rate: partial(SGD, rate), ...}``.
    x, y : array (N, ...)
    loss : Loss, or a function as `Model.fit` takes it
    epochs : int
    batch_size : int or None
    seeds : list of int

    Returns
    -------
    Race
        ``names``, ``epochs`` (E + 1,), and ``losses`` (names, seeds, E + 1) over all the data in
        evaluation mode: before training, and after each epoch. NaN from the epoch on in which a run
        diverged.

    Raises
    ------
    TypeError, ValueError
        For functions that do not make models and optimizers, and for what `fit` refuses.

    Examples
    --------
    >>> from chainrule import SGD, Adam, BinaryCrossEntropy, Dense, Model, Tanh, datasets
    >>> from chainrule import inspection
    >>> x, y = datasets.xor(100)
    >>> result = inspection.race(
    ...     lambda seed: Model(Dense(2, 8), Tanh(), Dense(8, 1), seed=seed),
    ...     {"SGD": lambda: SGD(0.1), "Adam": lambda: Adam(0.01)},
    ...     x, y[:, None], loss=BinaryCrossEntropy(), epochs=3)
    >>> result.names, result.losses.shape
    (('SGD', 'Adam'), (2, 3, 4))
    """
    owner = "inspection.race"
    epochs = check_count(owner, "epochs", epochs)
    seeds = [
        check_count(owner, "each of seeds", seed, low=0, high=None)
        for seed in listed("seeds", seeds)
    ]
    if not callable(build) or isinstance(build, Model):
        raise TypeError(
            f"{owner}: build must be a function (seed) -> Model, a new one, got {build!r}."
        )
    if not isinstance(optimizers, Mapping) or not optimizers or not seeds:
        raise TypeError(
            f'{owner}: give optimizers by name, as in {{"Adam": lambda: Adam()}}, and at least one '
            f"seed; got {optimizers!r} and {seeds}."
        )
    used: list[Any] = []
    losses = np.full((len(optimizers), len(seeds), epochs + 1), np.nan)
    for i, (name, make) in enumerate(optimizers.items()):
        for j, seed in enumerate(seeds):
            if not callable(make):
                raise TypeError(
                    f"{owner}: {name!r} must be a function that makes a new optimizer, as in "
                    f"lambda: Adam(), got {make!r}."
                )
            model, optimizer = build(seed), make()
            check_model(f"{owner}: build", model)
            check_optimizer(model, optimizer)
            if any(one is model or one is optimizer for one in used):
                raise ValueError(
                    f"{owner}: {name!r} with seed {seed} got a model or an optimizer that ran "
                    "before; make a new one in each call."
                )
            used += [model, optimizer]
            watch = _Watch(x, y, loss)
            watch.look(model)
            with contextlib.suppress(DivergenceError):
                model.fit(
                    x, y, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size,
                    callbacks=[watch], verbose=0,
                )  # fmt: skip
            losses[i, j, : len(watch.losses)] = watch.losses
    return Race(tuple(map(str, optimizers)), np.arange(epochs + 1), losses)


def gradient_variance(
    model: Model,
    x: Any,
    y: Any,
    *,
    loss: Any,
    batch_sizes: Iterable[int],
    draws: int = 50,
    seed: int = 0,
) -> GradientVariance:
    r"""Mean squared distance of a batch's gradient from the gradient over all the data.

    For batches of B of N rows, drawn without replacement,

    .. math:: E \|g_B - g\|^2 = \frac{N - B}{N - 1} \cdot \frac{\sigma^2}{B}

    where :math:`\sigma^2` is the mean squared distance for single rows: half the noise costs four
    times the work.

    Parameters
    ----------
    model : Model
        Looked at in evaluation mode; it is the same afterwards.
    x, y : array (N, ...)
    loss : Loss, or a function as `Model.fit` takes it
        One that is a mean over rows.
    batch_sizes : list of int
    draws : int
        Batches of each size over which the mean is taken.
    seed : int
        Of the batches.

    Returns
    -------
    GradientVariance
        ``batch_sizes`` (n,), ``variance`` (n,), ``squared_norm``, ``rows``.

    Raises
    ------
    TypeError, ValueError
        For data that do not fit, and batches that are larger than the data.

    Examples
    --------
    >>> from chainrule import BinaryCrossEntropy, Dense, Model, datasets, inspection
    >>> x, y = datasets.moons(100)
    >>> noise = inspection.gradient_variance(Model(Dense(2, 1), seed=0), x, y[:, None],
    ...                                      loss=BinaryCrossEntropy(), batch_sizes=[1, 100])
    >>> bool(noise.variance[0] > 0), bool(noise.variance[1] < 1e-9)
    (True, True)

    References
    ----------
    L. Bottou, F. Curtis, J. Nocedal, *Optimization Methods for Large-Scale Machine Learning*, SIAM
    Review 2018, section 5.2.
    """
    owner = "inspection.gradient_variance"
    check_model(owner, model)
    draws = check_count(owner, "draws", draws)
    rng = np.random.default_rng(check_count(owner, "seed", seed, low=0, high=None))
    x, y, _ = check_data(owner, model, loss, x, y)
    sizes = [
        check_count(owner, "each of batch_sizes", size)
        for size in listed("batch_sizes", batch_sizes)
    ]
    if not sizes or max(sizes) > len(x):
        raise ValueError(f"{owner}: batch_sizes must be from 1 to {len(x)} rows, got {sizes}.")
    formula = formula_of(loss)

    def gradient(rows: Array) -> Array:
        """Gradient over some rows in float64, a piece at a time."""
        total = np.zeros(model.num_parameters)
        with np.errstate(all="ignore"):  # what overflows is seen in the result
            for start in range(0, len(rows), 1024):
                part = rows[start : start + 1024]
                prediction, caches = model.forward(x[part])
                model.backward(formula(prediction, y[part], None)[1], caches, need_dx=False)
                total += len(part) / len(rows) * model.gradients.astype(np.float64)
        return total

    before = model.gradients.copy()
    try:
        g = gradient(np.arange(len(x)))
        variance = [
            np.mean([
                np.sum((gradient(rng.choice(len(x), size, replace=False)) - g) ** 2)
                for _ in range(draws)
            ])
            for size in sizes
        ]  # fmt: skip
    finally:
        model.gradients[...] = before
    return GradientVariance(np.array(sizes), np.array(variance), float(g @ g), len(x))
