"""Functions of two numbers: how a classifier divides the plane, and the loss as a landscape, with
the path that descent takes on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers, check_choice, show
from .style import DIVERGING, LIGHT, SEQUENTIAL, SIDES, axes, check_result, legible, matplotlib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..inspection import Regions, Surface

MARKERS = "soD^vP"


def decision_regions(
    regions: Regions,
    x: Any = None,
    y: Any = None,
    ax: Any = None,
    *,
    names: Sequence[str] | None = None,
    colorbar: bool = True,
) -> Any:
    """The plane coloured by the prediction, the lines where it changes, and the data on it.

    With more than six classes each region bears its class's name, for colours alone do not tell so
    many apart.

    Parameters
    ----------
    regions : Regions
        From `chainrule.inspection.decision_regions`.
    x, y : array (N, 2), array (N,), optional
        Points and their classes.
    ax : matplotlib Axes, optional
    names : list of str, optional
        Of the classes, for the legend.
    colorbar : bool
        Whether a scale of the probability stands beside two classes.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For points and classes that do not fit.

    Examples
    --------
    >>> from chainrule import Dense, Model, datasets, inspection, plots
    >>> x, y = datasets.xor()
    >>> regions = inspection.decision_regions(Model(Dense(2, 1), seed=0), x)
    >>> ax = plots.decision_regions(regions, x, y)
    """
    check_result("decision_regions", regions, ("x1", "x2", "p"))
    two = regions.p.shape[2] == 1
    classes = 2 if two else regions.p.shape[2]
    names = [f"class {k}" for k in range(classes)] if names is None else list(map(legible, names))
    if len(names) != classes:
        raise ValueError(f"plots.decision_regions: {classes} classes need {classes} names, "
                         f"got {names}.")  # fmt: skip
    points = _points(x, y, classes)
    ax = axes(ax, size=(5.6, 4.4) if two else (4.8, 4.4))
    plt = matplotlib()
    limits = (regions.x1[0], regions.x1[-1], regions.x2[0], regions.x2[-1])
    half = np.array([regions.x1[1] - regions.x1[0], regions.x2[1] - regions.x2[0]]) / 2
    extent = np.array(limits) + np.repeat(half, 2) * [-1, 1, -1, 1]  # of pixels round the points
    if two:
        colors: Any = SIDES[False]
        pale = plt.get_cmap(DIVERGING)(np.linspace(0.24, 0.76, 256))  # the data stand out on it
        image = ax.imshow(regions.p[:, :, 0], origin="lower", extent=extent, vmin=0, vmax=1,
                          cmap=plt.matplotlib.colors.ListedColormap(pale), aspect="auto",
                          interpolation="bilinear")  # fmt: skip
        if regions.p.min() < 0.5 < regions.p.max():
            ax.contour(regions.x1, regions.x2, regions.p[:, :, 0], levels=[0.5], colors="black",
                       linewidths=1.6)  # fmt: skip
        if colorbar:
            ax.figure.colorbar(image, ax=ax, label=f"probability of {names[1]}")
    else:
        palette = np.array([plt.matplotlib.colors.to_rgb(color) for color in LIGHT])
        colors = palette[np.arange(classes) % len(palette)]
        best = regions.p.argmax(axis=2)
        paleness = 0.75 * (1 - regions.p.max(axis=2, keepdims=True)) + 0.35  # surer is stronger
        shade = colors[best] * (1 - paleness) + paleness
        ax.imshow(np.clip(shade, 0, 1), origin="lower", extent=extent, aspect="auto")
        rim = len(best) // 8  # where a name would lie over the ticks
        inner = np.zeros(best.shape, bool)
        inner[rim : len(best) - rim, rim : len(best) - rim] = True
        for k in range(classes):
            if 0 < (best == k).sum() < best.size:
                lead = regions.p[:, :, k] - np.delete(regions.p, k, axis=2).max(axis=2)
                ax.contour(regions.x1, regions.x2, lead, levels=[0], colors="black",
                           linewidths=0.9)  # fmt: skip
            inside = (best == k) & inner
            if classes > len(LIGHT) and inside.any():
                sure = np.where(inside, regions.p[:, :, k], 0)
                row, column = np.unravel_index(sure.argmax(), sure.shape)
                box = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.5}
                ax.text(regions.x1[column], regions.x2[row], names[k], fontsize=9, zorder=4,
                        ha="center", va="center", color="black", bbox=box)  # fmt: skip
    if points is not None:
        x, y = points
        for k in range(classes):
            marker = MARKERS[(k + k // len(LIGHT)) % len(MARKERS)]
            ax.scatter(*x[y == k].T, s=34, color=[colors[k]], edgecolors="white", linewidths=0.8,
                       marker=marker, label=names[k], zorder=3)  # fmt: skip
        if classes <= len(LIGHT):  # as pale as the plane for which the colours are made
            ax.legend(loc="best", fontsize=9, facecolor="white", labelcolor="black")
    ax.set(xlim=limits[:2], ylim=limits[2:], xlabel="x1", ylabel="x2")
    return ax


def _points(x: Any, y: Any, classes: int) -> tuple[Any, Any] | None:
    if x is None and y is None:
        return None
    x = as_numbers("plots.decision_regions: x", [] if x is None else x)
    y = as_numbers("plots.decision_regions: y", [] if y is None else y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if x.ndim != 2 or x.shape[1] != 2 or y.shape != (len(x),):
        raise ValueError(
            "plots.decision_regions: x must be points of shape (N, 2) and y their classes of shape "
            f"(N,), got {show(x.shape)} and {show(y.shape)}."
        )
    if not np.isin(y, np.arange(classes)).all():
        raise ValueError(f"plots.decision_regions: y must hold classes 0 to {classes - 1}.")
    return x, y


def loss_surface(
    surface: Surface,
    path: Any = None,
    ax: Any = None,
    *,
    kind: str = "contour",
    limits: tuple[float, float] | None = None,
) -> Any:
    """The loss over two weights, and the path of a descent on it.

    Parameters
    ----------
    surface : Surface
        From `chainrule.inspection.loss_surface`. What is not finite is left blank.
    path : array (T, 2), optional
        The two weights after each step.
    ax : matplotlib Axes, optional
        For a surface one with ``projection="3d"``.
    kind : "contour" or "surface"
    limits : (float, float), optional
        Smallest and largest loss of the colours and the height, so that pictures can be compared.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For another kind, a path of another shape, and a surface without a finite value.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import inspection, plots
    >>> a = np.linspace(-1, 1, 21)
    >>> bowl = inspection.Surface(a, a, a**2 + a[:, None] ** 2)
    >>> ax = plots.loss_surface(bowl, path=[[0.9, 0.9], [0.4, 0.4]])
    """
    labels = "first weight", "second weight"
    return _draw("loss_surface", surface, path, ax, kind, limits, labels)


def loss_landscape(
    surface: Surface,
    ax: Any = None,
    *,
    kind: str = "contour",
    limits: tuple[float, float] | None = None,
) -> Any:
    """The loss around a network, along two filter-normalized directions.

    Parameters
    ----------
    surface : Surface
        From `chainrule.inspection.loss_landscape`.
    ax : matplotlib Axes, optional
        For a surface one with ``projection="3d"``.
    kind : "contour" or "surface"
    limits : (float, float), optional
        Smallest and largest loss of the colours and the height, so that pictures can be compared.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For another kind, and a landscape without a finite value.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import inspection, plots
    >>> a = np.linspace(-1, 1, 21)
    >>> bowl = inspection.Surface(a, a, a**2 + a[:, None] ** 2)
    >>> ax = plots.loss_landscape(bowl, kind="surface")
    """
    labels = "direction d", "direction e"
    ax = _draw("loss_landscape", surface, None, ax, kind, limits, labels)
    if kind == "contour":
        ax.plot(0, 0, "+", color="white", ms=12, mew=2.2)
    return ax


def _draw(
    owner: str,
    surface: Surface,
    path: Any,
    ax: Any,
    kind: str,
    limits: tuple[float, float] | None,
    labels: tuple[str, str],
) -> Any:
    """Draw contours or a surface, with the colours of a logarithmic scale over wide ranges."""
    check_result(owner, surface, ("a", "b", "loss"))
    owner = f"plots.{owner}"
    check_choice(owner, "kind", kind, ("contour", "surface"))
    loss = np.ma.masked_invalid(surface.loss)
    if loss.count() == 0:
        raise ValueError(f"{owner}: the loss is finite nowhere on the grid.")
    if path is not None:
        path = as_numbers(f"{owner}: path", path).astype(float)
        if path.ndim != 2 or path.shape[1] != 2 or len(path) == 0:
            raise ValueError(f"{owner}: path must have shape (T, 2), got {show(path.shape)}.")
    if min(loss.shape) < 2:
        raise ValueError(f"{owner}: a grid needs two points on each side, got {show(loss.shape)}.")
    low, high = _limits(owner, loss, limits)
    plt = matplotlib()
    ax = axes(ax, "3d" if kind == "surface" else None, (5.8, 4.6))
    positive = float(loss[loss > 0].min()) if (loss > 0).any() else 0.0
    wide = low >= 0 and high > 30 * positive > 0
    if wide and low == 0:  # an exact zero has no logarithm
        low = positive
    loss = np.ma.array(np.clip(loss, low, high), mask=loss.mask)
    if kind == "contour":
        levels = np.geomspace(low, high, 25) if wide else np.linspace(low, high, 25)
        norm = plt.matplotlib.colors.LogNorm(low, high) if wide else None
        image = ax.contourf(surface.a, surface.b, loss, levels, cmap=SEQUENTIAL, norm=norm)
        ax.contour(surface.a, surface.b, loss, levels[::3], colors="black", linewidths=0.4,
                   alpha=0.6)  # fmt: skip
        ax.locator_params(nbins=7)
        ticks = plt.matplotlib.ticker
        bar = ax.figure.colorbar(image, ax=ax, label="loss")
        if wide:
            bar.locator = ticks.LogLocator(subs=(1.0, 2.0, 5.0))
            bar.formatter = ticks.FuncFormatter(lambda value, _: f"{value:g}")
            bar.minorticks_off()
        else:
            bar.locator = ticks.MaxNLocator(6)
        bar.update_ticks()
        if path is not None:
            ax.plot(*path.T, "o-", color="white", mec="black", mew=0.5, ms=4, lw=1.2)
            ax.plot(*path[0], "s", color="white", mec="black", ms=9, label="start")
            ax.plot(*path[-1], "*", color="white", mec="black", ms=15, label="end")
            ax.legend(fontsize=9)
    else:
        a, b = np.meshgrid(surface.a, surface.b)
        height: Any = np.ma.log10(loss) if wide else loss
        ends = np.log10([low, high]) if wide else np.array([low, high])
        ax.plot_surface(a, b, height.filled(np.nan), cmap=SEQUENTIAL, lw=0, rstride=1, cstride=1,
                        vmin=ends[0], vmax=ends[1], alpha=0.9)  # fmt: skip
        ax.set_zlim(*ends)
        ax.set_zlabel("loss, log10" if wide else "loss")
        if path is not None:
            along = [np.interp(q, surface.b, [np.interp(p, surface.a, row) for row in height])
                     for p, q in path]  # fmt: skip
            ax.plot(*path.T, along, "o-", color="#D55E00", ms=3, zorder=5)
        for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
            axis.set_major_locator(plt.matplotlib.ticker.MaxNLocator(5))
            axis.set_pane_color((0.5, 0.5, 0.5, 0.08))
            axis.labelpad = 9
        ax.set_box_aspect(None, zoom=0.86)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    return ax


def _limits(owner: str, loss: Any, limits: Any) -> tuple[float, float]:
    """Smallest and largest loss to show, never the same."""
    if limits is None:
        low, high = float(loss.min()), float(loss.max())
    else:
        ends = as_numbers(f"{owner}: limits", limits)
        if ends.shape != (2,) or not np.isfinite(ends).all() or not ends[0] < ends[1]:
            raise ValueError(f"{owner}: limits must be (smallest, largest), got {limits!r}.")
        low, high = map(float, ends)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5 * max(abs(low), 1.0), high + 0.5 * max(abs(high), 1.0)
    return low, high
