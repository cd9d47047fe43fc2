"""Curves: an activation and its derivative, losses over epochs, several runs with their spread,
the noise of a gradient against the size of the batch, and the loss while the rate grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers, check_count, show
from .style import (
    LIGHT,
    LINES,
    axes,
    check_result,
    is_dark,
    legible,
    matplotlib,
    palette,
    whole_epochs,
)

if TYPE_CHECKING:
    from ..inspection import Activation, GradientVariance, Race
    from ..rate_finder import RangeTest

TOP = 30.0  # in a comparison, times the largest loss at the start


def activation(curve: Activation, ax: Any = None) -> Any:
    """An activation and, dashed, its derivative.

    Parameters
    ----------
    curve : Activation
        From `chainrule.inspection.activation`.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> from chainrule import Tanh, inspection, plots
    >>> ax = plots.activation(inspection.activation(Tanh()))
    """
    check_result("activation", curve, ("z", "y", "dy", "name"))
    ax = axes(ax)
    for at in (ax.axhline, ax.axvline):
        at(0, color=matplotlib().rcParams["grid.color"], lw=0.8, zorder=0)
    ax.plot(curve.z, curve.y, label="g(z)")
    ax.plot(curve.z, curve.dy, "--", label="g'(z)")
    ax.set(title=curve.name, xlabel="z", ylabel="g(z), g'(z)")
    ax.legend(loc="upper left")
    return ax


def training_curves(
    history: Mapping[str, Sequence[float]],
    ax: Any = None,
    *,
    figures: Sequence[str] = ("loss", "val_loss"),
    stop: int | None = None,
) -> Any:
    """Figures of a training run over its epochs, with the epoch that early stopping went back to.

    Parameters
    ----------
    history : History, or dict of lists
        As `Model.fit` returns it.
    ax : matplotlib Axes, optional
    figures : list of str
        Keys of the history; one that it does not have is left out if others are there.
    stop : int, optional
        The epoch to mark, counted from 0, such as ``EarlyStopping.best_epoch``.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        When the history has none of the figures, or not the epoch, or arrays.

    Examples
    --------
    >>> from chainrule import plots
    >>> history = {"loss": [0.9, 0.4, 0.2], "val_loss": [1.0, 0.7, 0.8]}
    >>> ax = plots.training_curves(history, stop=1)
    """
    if not isinstance(history, Mapping):
        raise TypeError(f"plots.training_curves: history must be what fit returns, got {history!r}")
    figures = [figures] if isinstance(figures, str) else list(figures)
    names = [name for name in figures if name in history]
    if not names:
        raise ValueError(
            f"plots.training_curves: the history has none of {figures}, only {list(history)}."
        )
    count = len(history[names[0]])
    if any(len(history[name]) != count for name in names):
        raise ValueError(
            f"plots.training_curves: {names} must be of one length, got "
            f"{[len(history[name]) for name in names]}."
        )
    if count == 0:
        raise ValueError(
            "plots.training_curves: the history holds no epoch; train for one at least."
        )
    for name in names:
        if np.ndim(history[name][0]):
            raise ValueError(
                f"plots.training_curves: {name!r} holds an array for each epoch; choose figures "
                "that are numbers."
            )
    epochs = np.array(getattr(history, "epochs", range(count)), dtype=int)
    if stop is not None:
        stop = check_count("plots.training_curves", "stop", stop, low=0)
        if stop not in epochs:
            raise ValueError(
                f"plots.training_curves: stop must be an epoch of the history, {epochs[0]} to "
                f"{epochs[-1]}, got {stop}."
            )
    ax = axes(ax)
    labels = {"loss": "training", "val_loss": "validation"}
    if not set(names) <= set(labels):
        labels = {}
    marker = "o" if count == 1 else None
    for name, line in zip(names, LINES * len(names), strict=False):
        (drawn,) = ax.plot(epochs + 1, history[name], ls=line, marker=marker,
                           label=labels.get(name, name))  # fmt: skip
        if stop is not None and name == names[-1]:
            value = history[name][int(np.flatnonzero(epochs == stop)[0])]
            ax.axvline(stop + 1, color=matplotlib().rcParams["text.color"], ls=":", lw=1.2)
            ax.plot([stop + 1], [value], "o", ms=8, mfc="none", mew=2, color=drawn.get_color(),
                    label=f"best weights, epoch {stop + 1}")  # fmt: skip
    whole_epochs(ax)
    ax.set(xlabel="epoch", ylabel="loss" if labels else ", ".join(names))
    ax.legend()
    return ax


def spread(x: Any, runs: Any, ax: Any = None, *, label: str | None = None, **line: Any) -> Any:
    """The mean of several runs as a line, and their range as a band.

    Where a run is not finite the line ends; the last point before it is marked with a cross.

    Parameters
    ----------
    x : array (n,)
    runs : array (seeds, n)
    ax : matplotlib Axes, optional
    label : str, optional
        For the legend.
    **line
        What `Axes.plot` takes, as in ``ls="--"``.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For shapes that do not fit each other.

    Examples
    --------
    >>> from chainrule import plots
    >>> ax = plots.spread([1, 2], [[0.9, 0.5], [0.8, 0.6]], label="Adam")
    """
    x = as_numbers("plots.spread: x", x)
    runs = as_numbers("plots.spread: runs", runs).astype(float)
    if x.ndim != 1 or runs.ndim != 2 or runs.shape[1] != len(x) or runs.size == 0:
        raise ValueError(
            f"plots.spread: for x of shape {show(x.shape)} runs must have shape (seeds, "
            f"{x.shape[0] if x.ndim else 1}), got {show(runs.shape)}."
        )
    ax = axes(ax)
    whole = np.isfinite(runs).all(axis=0)
    end = len(x) if whole.all() else int(whole.argmin())
    inside = runs[:, :end]
    mean = inside.mean(axis=0)
    (drawn,) = ax.plot(x[:end], mean, label=label, **line)
    color = drawn.get_color()
    if len(runs) > 1:
        ax.fill_between(x[:end], inside.min(axis=0), inside.max(axis=0), color=color, alpha=0.2,
                        lw=0)  # fmt: skip
    if 0 < end < len(x):
        ax.plot(x[end - 1], mean[-1], "X", color=color, ms=9, mew=0, zorder=5)
    return ax


def race(result: Race, ax: Any = None) -> Any:
    """Losses of several optimizers over the epochs, with the range over the seeds.

    The picture ends at thirty times the loss at the start.

    Parameters
    ----------
    result : Race
        From `chainrule.inspection.race`.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import inspection, plots
    >>> result = inspection.Race(("Adam",), np.arange(3), np.array([[[0.9, 0.5, 0.3]]]))
    >>> ax = plots.race(result)
    """
    check_result("race", result, ("names", "epochs", "losses"))
    outside = ax is None
    ax = axes(ax, size=(7.6, 4.4))
    colors = palette(ax)
    return _compare(
        ax,
        result,
        [colors[i % len(colors)] for i in range(len(result.names))],
        "optimizer",
        outside,
    )


def learning_rates(result: Race, ax: Any = None) -> Any:
    """Losses at several learning rates, from small (dark) to large (light); crosses: diverged.

    The picture ends at thirty times the loss at the start.

    Parameters
    ----------
    result : Race
        From `chainrule.inspection.race`, its names being the rates in ascending order.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import inspection, plots
    >>> losses = np.array([[[0.9, 0.89]], [[0.9, np.nan]]])
    >>> result = inspection.Race(("0.001", "100"), np.arange(2), losses)
    >>> ax = plots.learning_rates(result)
    """
    check_result("learning_rates", result, ("names", "epochs", "losses"), "inspection.race")
    outside = ax is None
    ax = axes(ax, size=(7.6, 4.4))
    ends = (0.3, 1.0) if is_dark(ax) else (0.0, 0.85)
    colors = matplotlib().get_cmap("viridis")(np.linspace(*ends, len(result.names)))
    return _compare(ax, result, colors, "learning rate", outside)


def _compare(ax: Any, result: Race, colors: Any, what: str, outside: bool) -> Any:
    """A line and a band for each name, within limits that an exploding run does not set."""
    losses = np.asarray(result.losses, float)  # (names, seeds, epochs)
    start = losses[:, :, 0]
    top = TOP * start.max() if np.isfinite(start).all() and start.max() > 0 else np.inf
    shown = losses[np.isfinite(losses) & (losses <= top)]
    for i, name in enumerate(result.names):
        label = legible(name) if np.isfinite(losses[i]).all() else f"{legible(name)}, diverged"
        # far beyond the top a curve is cut, for drawing it would overflow; what is not finite stays
        runs = np.where(np.isfinite(losses[i]), np.minimum(losses[i], 10 * top), np.nan)
        spread(result.epochs, runs, ax, label=label, color=colors[i],
               ls=LINES[(i + i // len(LIGHT)) % len(LINES)])  # fmt: skip
    if shown.size and shown.min() > 0:
        ax.set_yscale("log")
    if shown.size < np.isfinite(losses).sum():  # a run that explodes leaves the picture
        room = 1.3 if ax.get_yscale() == "log" else 1.0
        ax.set_ylim(shown.min() / room, top)
        for marker in [line for line in ax.lines if line.get_marker() == "X"]:
            marker.set_ydata(np.minimum(marker.get_ydata(), top))
            marker.set_clip_on(False)
    whole_epochs(ax)
    ax.set(xlabel="epoch", ylabel="loss on the training data")
    seeds = losses.shape[1]
    title = f"{what}\nmean and range, {seeds} seeds" if seeds > 1 else what
    outside = outside or ax.figure.get_layout_engine() is not None  # which makes room for it
    where = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    ax.legend(title=title, fontsize=9.5, title_fontsize=9.5, **(where if outside else {}))
    return ax


def gradient_variance(noise: GradientVariance, ax: Any = None) -> Any:
    """The variance of a batch's gradient against the size of the batch, both logarithmic.

    Parameters
    ----------
    noise : GradientVariance
        From `chainrule.inspection.gradient_variance`.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import inspection, plots
    >>> noise = inspection.GradientVariance(np.array([1, 2, 4]), np.array([4.0, 2.0, 1.0]), 0.5, 99)
    >>> ax = plots.gradient_variance(noise)
    """
    check_result("gradient_variance", noise, ("batch_sizes", "variance", "squared_norm"))
    ax = axes(ax)
    sizes, variance, n = noise.batch_sizes, noise.variance, noise.rows
    shown = (variance > 0) & (sizes < n)  # all the data have no noise
    if shown.any():
        ax.set(xscale="log", yscale="log")
        first = int(np.flatnonzero(shown)[0])
        B = np.geomspace(sizes[shown].min(), min(sizes[shown].max(), n - 1), 200)
        factor = variance[first] * sizes[first] / (n - sizes[first])
        ink = matplotlib().rcParams["text.color"]
        theory = factor * (n - B) / B
        ax.plot(B, theory, color=ink, lw=1.0, zorder=1, label="theory, ∝ (N - B) / B")
    ax.plot(sizes[shown], variance[shown], "o", ms=7, label="measured, E|g_batch - g|²")
    ax.axhline(noise.squared_norm, ls="--", color=palette(ax)[1], lw=1.4,
               label="|g|², the gradient itself")  # fmt: skip
    ax.set(xlabel="batch size B (rows)", ylabel="variance of the gradient")
    ax.legend()
    return ax


def find_lr(result: RangeTest, ax: Any = None) -> Any:
    """The loss while the learning rate grows, with the suggested rate marked.

    Parameters
    ----------
    result : RangeTest
        From `chainrule.find_lr`. A loss that bursts leaves the picture above.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import plots
    >>> from chainrule.rate_finder import RangeTest
    >>> losses = np.array([1.0, 0.9, 0.4, 0.3, 2.0])
    >>> ax = plots.find_lr(RangeTest(np.geomspace(1e-3, 10, 5), losses, losses, 0.1))
    """
    fields = ("rates", "losses", "smoothed", "suggestion")
    check_result("find_lr", result, fields, "chainrule.find_lr")
    rates, smoothed, rate = result.rates, result.smoothed, result.suggestion
    ax = axes(ax)
    colors = palette(ax)
    ax.set_xscale("log")
    ax.plot(rates, result.losses, ".", ms=5, color=colors[5], label="loss of a batch")
    ax.plot(rates, smoothed, color=colors[0], label="smoothed")
    if np.isfinite(rate):
        ax.axvline(rate, color=matplotlib().rcParams["text.color"], ls=":", lw=1.2)
        ax.plot([rate], [smoothed[int(np.abs(rates - rate).argmin())]], "o", ms=8, mfc="none",
                mew=2, color=colors[1], label=f"suggestion, {rate:.2g}")  # fmt: skip
    least, top = result.losses.min(), result.losses[: smoothed.argmin() + 1].max()
    room = (top - least) or abs(top) or 1.0
    if result.losses.max() > top + room:
        ax.set_ylim(least - 0.1 * room, top + 0.5 * room)
    ax.set(xlabel="learning rate", ylabel="loss")
    ax.legend()
    return ax
