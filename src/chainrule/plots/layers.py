"""Inside a network: weights as images, histograms layer by layer, the confusion matrix of what
comes out, and a small network drawn as units and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers, check_count, show
from .style import DIVERGING, SEQUENTIAL, SIDES, axes, check_result, is_dark, palette

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..inspection import Histograms, Network

MAX_UNITS = 40  # in one column of a drawn network


def weight_images(images: Any, ax: Any = None, *, columns: int | None = None) -> Any:
    """A unit's weights as an image each, side by side: purple excites, orange inhibits.

    Parameters
    ----------
    images : array (units, height, width)
        From `chainrule.inspection.weight_images`.
    ax : matplotlib Axes, optional
    columns : int, optional
        Images in a row; as near a square as can be if not given.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For arrays of another shape.

    Examples
    --------
    >>> from chainrule import Dense, Model, inspection, plots
    >>> images = inspection.weight_images(Model(Dense(64, 20), seed=0), (8, 8))
    >>> ax = plots.weight_images(images, columns=5)
    """
    images = as_numbers("plots.weight_images: images", images)
    if images.ndim != 3 or images.size == 0:
        raise ValueError(
            "plots.weight_images: images must have shape (units, height, width), got "
            f"{show(images.shape)}; of colour images show one channel, images[..., 0]."
        )
    units, height, width = images.shape
    if columns is None:
        columns = int(np.ceil(np.sqrt(units * 1.5)))
    columns = min(check_count("plots.weight_images", "columns", columns), units)
    rows = -(-units // columns)
    mosaic = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        mosaic[top : top + height, left : left + width] = image
    ax = axes(ax, size=(6.4, max(6.4 * mosaic.shape[0] / mosaic.shape[1] * 0.85, 1.6)))
    most = float(np.abs(images).max()) or 1.0
    image = ax.imshow(mosaic, cmap=DIVERGING, vmin=-most, vmax=most)
    ax.figure.colorbar(image, ax=ax, label="weight", shrink=0.8)
    ax.set_axis_off()
    return ax


def histograms(h: Histograms, ax: Any = None) -> Any:
    """A histogram for each layer, the first at the top, each scaled to its highest bin.

    Parameters
    ----------
    h : Histograms
        From `chainrule.inspection.histograms`.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Dense, Model, ReLU, inspection, plots
    >>> model = Model(Dense(4, 8), ReLU(), Dense(8, 1), seed=0)
    >>> h = inspection.histograms(model, np.random.default_rng(0).normal(size=(50, 4)))
    >>> ax = plots.histograms(h)
    """
    check_result("histograms", h, ("names", "edges", "counts", "std", "of"))
    count = len(h.names)
    ax = axes(ax, size=(6.4, 1.4 + 0.55 * count))
    color = palette(ax)[0]
    for i, counts in enumerate(h.counts):
        base = count - 1 - i
        top = base + 0.85 * counts / max(counts.max(), 1)
        ax.stairs(top, h.edges, baseline=base, fill=True, color=color, alpha=0.45)
        ax.stairs(top, h.edges, baseline=base, color=color, lw=1.2)
    labels = [f"{name}\nstd {std:.2g}" for name, std in zip(h.names, h.std, strict=True)]
    ax.set_yticks(np.arange(count)[::-1] + 0.25, labels, fontsize=8.5)
    what = "activation" if h.of == "activations" else "gradient dL/dy"
    ax.set(xlabel=what, ylabel="layer", ylim=(-0.1, count), xlim=(h.edges[0], h.edges[-1]))
    ax.tick_params(axis="y", length=0)
    return ax


def confusion_matrix(counts: Any, ax: Any = None, *, names: Sequence[str] | None = None) -> Any:
    """How often each class was taken for each, coloured by the share of the true class.

    Parameters
    ----------
    counts : array (C, C)
        From `chainrule.inspection.confusion_matrix`.
    ax : matplotlib Axes, optional
    names : list of str, optional
        Of the classes. They are written as they are, without mathematics between dollars, and cut
        to 24 characters.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For arrays that are not square, and names that do not fit.

    Examples
    --------
    >>> from chainrule import inspection, plots
    >>> counts = inspection.confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2])
    >>> ax = plots.confusion_matrix(counts)
    """
    counts = as_numbers("plots.confusion_matrix: counts", counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(
            f"plots.confusion_matrix: counts must have shape (C, C), got {show(counts.shape)}."
        )
    classes = len(counts)
    names = [str(k) for k in range(classes)] if names is None else list(map(str, names))
    if len(names) != classes:
        raise ValueError(f"plots.confusion_matrix: {classes} classes, but {len(names)} names.")
    names = [" ".join(name.split()) for name in names]
    names = [name if len(name) <= 24 else f"{name[:23]}…" for name in names]
    side = min(2.6 + 0.38 * classes, 12.0)
    ax = axes(ax, size=(side * 1.15, side), layout="compressed")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(share, cmap=SEQUENTIAL, vmin=0, vmax=1)
    form = "g" if counts.dtype.kind == "f" else "d"
    for i, j in zip(*np.nonzero(counts), strict=True):
        ax.text(j, i, f"{counts[i, j]:{form}}", ha="center", va="center", fontsize=8.5,
                color="black" if share[i, j] > 0.55 else "white")  # fmt: skip
    turn = 90 if max(map(len, names)) > 3 else 0
    ax.set_xticks(range(classes), names, rotation=turn, parse_math=False)
    ax.set_yticks(range(classes), names, parse_math=False)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(image, ax=ax, label="share of the true class", shrink=0.85)
    return ax


def network(drawn: Network, ax: Any = None) -> Any:
    """A small network as units and lines: purple positive, orange negative, wider for larger.

    Parameters
    ----------
    drawn : Network
        From `chainrule.inspection.network`.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        For layers of more than 40 units, which no eye can follow.

    Examples
    --------
    >>> from chainrule import Dense, Model, Sigmoid, inspection, plots
    >>> model = Model(Dense(2, 3), Sigmoid(), Dense(3, 1), seed=0)
    >>> ax = plots.network(inspection.network(model))
    """
    check_result("network", drawn, ("sizes", "weights", "labels"))
    if max(drawn.sizes) > MAX_UNITS:
        raise ValueError(
            f"plots.network: a layer has {max(drawn.sizes)} units; up to {MAX_UNITS} can be told "
            "apart. For wide layers there are plots.weight_images and plots.histograms."
        )
    if not all(np.isfinite(W).all() for W in drawn.weights):
        raise ValueError("plots.network: some weights are not finite.")
    tallest = max(drawn.sizes)
    ax = axes(ax, size=(1.6 + 1.7 * len(drawn.sizes), max(2.6, 1.1 + 0.42 * tallest)))
    negative, positive = SIDES[is_dark(ax)]
    ink, ground = ("white", "#131416") if is_dark(ax) else ("black", "white")
    room = ax.get_window_extent().height * 72 / ax.figure.dpi / (tallest + 1.3)  # points for a unit
    height = [np.arange(n)[::-1] - (n - 1) / 2 for n in drawn.sizes]  # of each unit, by column
    step = 0.6 + 0.25 * tallest  # between columns
    most = max((float(np.abs(W).max()) for W in drawn.weights), default=1.0) or 1.0
    for k, W in enumerate(drawn.weights):
        for i, j in np.ndindex(W.shape):
            size = abs(W[i, j]) / most
            ax.plot([k * step, (k + 1) * step], [height[k][i], height[k + 1][j]], zorder=1,
                    color=positive if W[i, j] > 0 else negative, lw=0.3 + 3.2 * size,
                    alpha=0.25 + 0.7 * size, solid_capstyle="round")  # fmt: skip
    for k, (label, y) in enumerate(zip(drawn.labels, height, strict=True)):
        ax.scatter(np.full(len(y), k * step), y, s=min(16.0, 0.75 * room) ** 2, color=ground,
                   edgecolors=ink, linewidths=1.3, zorder=2)  # fmt: skip
        ax.text(k * step, tallest / 2 + 0.25, label, ha="center", va="bottom", fontsize=9.5)
    for sign, color in (("positive", positive), ("negative", negative)):
        ax.plot([], [], color=color, lw=3, label=f"{sign} weight")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False, fontsize=9.5)
    ax.set(ylim=(-tallest / 2 - 0.2, tallest / 2 + 1.1))
    ax.margins(x=0.12)
    ax.set_axis_off()
    return ax
