"""Functions of two numbers: how a classifier divides the plane, and the loss as a landscape, with
the path that descent takes on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers, show
from .style import DIVERGING, LIGHT, SEQUENTIAL, SIDES, axes, check_result, matplotlib

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
    names = [f"class {k}" for k in range(classes)] if names is None else list(names)
    if len(names) != classes:
        raise ValueError(f"plots.decision_regions: {classes} classes need {classes} names, "
                         f"got {names}.")  # fmt: skip
    points = _points(x, y, classes)
    ax = axes(ax, size=(5.6, 4.4) if two else (4.8, 4.4))
    plt = matplotlib()
    extent = (regions.x1[0], regions.x1[-1], regions.x2[0], regions.x2[-1])
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
        for k in range(classes):
            if 0 < (best == k).sum() < best.size:
                lead = regions.p[:, :, k] - np.delete(regions.p, k, axis=2).max(axis=2)
                ax.contour(regions.x1, regions.x2, lead, levels=[0], colors="black",
                           linewidths=0.9)  # fmt: skip
    if points is not None:
        x, y = points
        for k in range(classes):
            ax.scatter(*x[y == k].T, s=34, color=[colors[k]], edgecolors="white", linewidths=0.8,
                       marker=MARKERS[k % len(MARKERS)], label=names[k], zorder=3)  # fmt: skip
        # the colours of the points are made for the pale plane, so the legend is as pale
        ax.legend(loc="best", fontsize=9, facecolor="white", labelcolor="black")
    ax.set(xlim=extent[:2], ylim=extent[2:], xlabel="x1", ylabel="x2")
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
    if kind not in ("contour", "surface"):
        raise ValueError(f'{owner}: kind must be "contour" or "surface", got {kind!r}.')
    loss = np.ma.masked_invalid(surface.loss)
    if loss.count() == 0:
        raise ValueError(f"{owner}: the loss is finite nowhere on the grid.")
    if path is not None:
        path = as_numbers(f"{owner}: path", path).astype(float)
        if path.ndim != 2 or path.shape[1] != 2:
            raise ValueError(f"{owner}: path must have shape (T, 2), got {show(path.shape)}.")
    plt = matplotlib()
    ax = axes(ax, "3d" if kind == "surface" else None, (5.8, 4.6))
    low, high = (float(loss.min()), float(loss.max())) if limits is None else limits
    if not low <= high:
        raise ValueError(f"{owner}: limits must be (smallest, largest), got {limits!r}.")
    loss = np.ma.masked_outside(loss, *limits) if limits else loss
    wide = low > 0 and high > 30 * low
    if kind == "contour":
        high = high if high > low else low + 1.0
        levels = np.geomspace(low, high, 25) if wide else np.linspace(low, high, 25)
        norm = plt.matplotlib.colors.LogNorm(low, high) if wide else None
        image = ax.contourf(surface.a, surface.b, loss, levels, cmap=SEQUENTIAL, norm=norm)
        ax.contour(surface.a, surface.b, loss, levels[::3], colors="black", linewidths=0.4,
                   alpha=0.6)  # fmt: skip
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
        if low < high:
            ax.set_zlim(*ends)
        ax.set_zlabel("loss, log10" if wide else "loss", labelpad=10)
        if path is not None:
            along = [np.interp(q, surface.b, [np.interp(p, surface.a, row) for row in height])
                     for p, q in path]  # fmt: skip
            ax.plot(*path.T, along, "o-", color="#D55E00", ms=3, zorder=5)
        for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
            axis.set_major_locator(plt.matplotlib.ticker.MaxNLocator(5))
            axis.set_pane_color((0.5, 0.5, 0.5, 0.08))
        ax.set_box_aspect(None, zoom=0.86)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    return ax
