"""How the pictures look: one style for light and one for dark pages, and saving under either.

The colours are Okabe and Ito's, which the colour-blind can tell apart. matplotlib is imported only
when something is drawn.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import check_flag

# In the order in which curves take them; yellow, too pale for a line on white, is for dark pages.
LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DARK = ("#56B4E9", "#E69F00", "#00A37A", "#E39CC6", "#E8632F", "#F0E442")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
# Two-sided values: orange below, purple above, told apart with any colour vision.
DIVERGING = "PuOr"
SEQUENTIAL = "cividis"


# The two sides of the diverging map, for lines on a light and on a dark ground.
SIDES = {False: ("#B35806", "#542788"), True: ("#F1A340", "#A99BE0")}


def matplotlib() -> Any:
    """Matplotlib's pyplot, or an `ImportError` that says what to install."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "chainrule.plots draws with matplotlib, which cannot be imported here "
            f"({error}). Install it: python -m pip install 'chainrule[plots]'",
            name="matplotlib",
        ) from error
    return plt


@contextlib.contextmanager
def style(dark: bool = False) -> Iterator[None]:
    """Draw in the library's style within a ``with`` block, for a light or a dark page.

    Parameters
    ----------
    dark : bool
        Light letters on a dark ground, with the lighter colours.

    Raises
    ------
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> from chainrule import ReLU, inspection, plots
    >>> with plots.style(dark=True):
    ...     ax = plots.activation(inspection.activation(ReLU()))

    References
    ----------
    M. Okabe, K. Ito, *Color Universal Design*, 2008.
    """
    dark = check_flag("plots.style", "dark", dark)
    plt = matplotlib()
    ground, ink, faint = ("#131416", "#E4E6EB", "#4A4E57") if dark else ("white", "#1A1A1A", "0.8")
    settings = {
        "figure.facecolor": ground, "savefig.facecolor": ground, "axes.facecolor": ground,
        "text.color": ink, "axes.labelcolor": ink, "axes.titlecolor": ink, "axes.edgecolor": ink,
        "xtick.color": ink, "ytick.color": ink, "grid.color": faint, "grid.linewidth": 0.6,
        "axes.prop_cycle": plt.cycler(color=DARK if dark else LIGHT),
        "axes.spines.top": False, "axes.spines.right": False,
        "figure.figsize": (6.4, 4.2), "figure.dpi": 100, "savefig.dpi": 160,
        "figure.constrained_layout.use": True, "font.size": 11, "axes.titlesize": 11.5,
        "legend.frameon": True, "legend.framealpha": 0.85, "legend.edgecolor": faint,
        "legend.facecolor": ground, "lines.linewidth": 1.8,
    }  # fmt: skip
    with plt.rc_context(settings):
        yield


def save(draw: Callable[[], Any], path: str | os.PathLike[str], dark: bool = False) -> Path:
    """Save what a function draws as a picture, in the library's style.

    Parameters
    ----------
    draw : function () -> Axes or Figure
        Called once, within `style`.
    path : str or path
        Its suffix is the format, as in ``"curve.png"`` or ``"curve.svg"``; missing folders are
        made.
    dark : bool
        For a dark page.

    Returns
    -------
    Path

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError
        When `draw` is no function, or returns nothing that can be saved.
    ValueError
        For a path without a suffix, or with one that matplotlib cannot write.
    OSError
        What the operating system refuses.

    Examples
    --------
    >>> from chainrule import Tanh, inspection, plots
    >>> curve = inspection.activation(Tanh())
    >>> plots.save(lambda: plots.activation(curve), "out/tanh.png").name
    'tanh.png'
    """
    if not callable(draw):
        raise TypeError(f"plots.save: draw must be a function that draws, got {draw!r}.")
    path = Path(path)
    if not path.suffix:
        raise ValueError(
            f"plots.save: {str(path)!r} must end with a format, as in {path.name}.png."
        )
    plt = matplotlib()
    open_before = set(plt.get_fignums())
    try:
        with style(dark):
            drawn = figure = draw()
            while getattr(figure, "figure", figure) not in (figure, None):
                figure = figure.figure  # of an Axes, and of a part of a figure
            if not hasattr(figure, "savefig"):
                raise TypeError(f"plots.save: draw must return an Axes or a Figure, got {drawn!r}.")
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
    finally:
        for number in set(plt.get_fignums()) - open_before:
            plt.close(number)
    return path


def check_result(plot: str, value: Any, fields: tuple[str, ...], source: str = "") -> None:
    """Refuse anything but what a function returns: the one of the same name in `inspection`, or
    the one that `source` names.
    """
    if not (isinstance(value, tuple) and all(hasattr(value, field) for field in fields)):
        source = source or f"inspection.{plot}"
        raise TypeError(f"plots.{plot}: expected what {source}(...) returns, got {value!r}.")


def is_dark(ax: Any) -> bool:
    """Whether an Axes has a dark ground, its own or that of its figure."""
    to_rgba = matplotlib().matplotlib.colors.to_rgba
    grounds = (to_rgba(ax.get_facecolor()), to_rgba(ax.figure.get_facecolor()))
    seen = [ground for ground in grounds if ground[3] > 0.5]  # what is not transparent
    return bool(seen) and sum(seen[0][:3]) < 1.5


def palette(ax: Any) -> tuple[str, ...]:
    """The colours for lines on an Axes."""
    return DARK if is_dark(ax) else LIGHT


def axes(
    ax: Any,
    projection: str | None = None,
    size: tuple[float, float] | None = None,
    layout: str = "constrained",
) -> Any:
    """The Axes that were given, or new ones; of another projection they are refused."""
    if ax is None:
        figure = matplotlib().figure(figsize=size, layout=layout)
        ax = figure.add_subplot(projection=projection)
    matplotlib()
    if not hasattr(ax, "get_figure"):
        raise TypeError(f"plots: ax must be a matplotlib Axes, got {ax!r}.")
    if (projection == "3d") != (getattr(ax, "name", "") == "3d"):
        wanted = 'subplot_kw={"projection": "3d"}' if projection else "plain Axes"
        raise ValueError(f"plots: this picture needs {wanted}, got {type(ax).__name__}.")
    if not ax.lines:  # lines that stand there go on in their own order of colours
        ax.set_prop_cycle(color=palette(ax))
    return ax


def whole_epochs(ax: Any) -> None:
    """Put ticks at whole numbers, unless somebody has chosen the ticks."""
    locator = ax.xaxis.get_major_locator()
    if isinstance(locator, matplotlib().MaxNLocator):
        locator.set_params(integer=True)


def legible(name: Any) -> str:
    """A name as a legend shows it; matplotlib hides those that begin with an underscore."""
    return f" {name}" if str(name).startswith("_") else str(name)
