"""The ratios of a file of timings as bars: how many times as fast we are as each peer.
The axis is logarithmic, so that twice and half as fast are equally long, and 1 is marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timings import COMES, KERNELS, Timings, count

COLOURS = {  # Okabe and Ito's, told apart by everybody
    "PyTorch": "#D55E00",
    "scikit-learn": "#009E73",
    "JAX": "#0072B2",
    "Keras on PyTorch": "#E69F00",
    "Keras on JAX": "#56B4E9",
    "ONNX Runtime": "#CC79A7",
}
OTHERS = {"row": "one row", "epoch": "an epoch", "process": "the whole process"}
Bars = dict[str, list[tuple[str, float]]]  # by network: peers with their ratios


def of_steps(t: Timings, threads: int, kernels: str) -> Bars:
    """The networks, and of each peer its fastest way."""
    bars: Bars = {}
    for (_, case, n, _, peer, chosen), ratio in t.verdicts("steps"):
        if n == threads and chosen == kernels:
            bars.setdefault(case, []).append((peer.split(",")[0], ratio))
    return bars


def of_others(t: Timings, kernels: str) -> Bars:
    """One row, an epoch and the whole process on one thread."""
    bars: Bars = {}
    for comparison, title in OTHERS.items():
        for (_, _, n, _, peer, chosen), ratio in t.verdicts(comparison):
            if n == 1 and chosen == kernels:
                bars.setdefault(title, []).append((peer.split(",")[0], ratio))
    return bars


def panel(ax: Any, bars: Bars, title: str) -> None:
    """Draw groups of bars from above to below, each with its ratio in numbers."""
    places, names, y = [], [], 0.0
    for group, rows in bars.items():
        places.append(y + (len(rows) - 1) / 2)
        names.append(group.replace(", ", "\n"))
        for peer, ratio in rows:
            ax.barh(y, ratio - 1, left=1, height=0.85, color=COLOURS[peer])
            ahead = ratio >= 1
            ax.annotate(
                f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}", (ratio, y),
                (4 if ahead else -4, 0), textcoords="offset points", va="center",
                ha="left" if ahead else "right", fontsize=7,
            )  # fmt: skip
            y += 1
        y += 0.8
    largest = max((r for rows in bars.values() for _, r in rows), default=2)
    smallest = min((r for rows in bars.values() for _, r in rows), default=1)
    ax.set_xscale("log")
    ax.set_xlim(min(0.5, smallest / 1.5), max(4, largest * 1.6))
    ticks = [x for x in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if x < largest * 1.6]
    ax.set_xticks([x for x in ticks if x >= ax.get_xlim()[0]])
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.axvline(1, color="black", linewidth=1.2)
    ax.set_yticks(places, names, fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_title(title, fontsize=10, loc="left")


def draw(data: dict[str, Any], path: Path) -> Path:
    """Write the picture; a panel for each number of threads and choice of kernels."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    t = Timings(data)
    panels = [
        (of_steps(t, threads, kernels), f"A training step, {count(threads)}, {KERNELS[kernels]}")
        for threads in sorted({threads for _, threads in t.groups("steps")})
        for kernels in t.kernels("steps")
    ]
    last = list(t.data["kernels"])[-1] if t.data["kernels"] else COMES
    panels.append((of_others(t, last), f"As a user runs it, 1 thread, {KERNELS[last]}"))
    panels = [(bars, title) for bars, title in panels if bars]
    rows = max(1, -(-len(panels) // 2))
    figure, axes = plt.subplots(rows, 2, figsize=(10, 4.6 * rows), squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (bars, title) in zip(axes.flat, panels, strict=False):
        panel(ax, bars, title)
    shown = {peer for bars, _ in panels for group in bars.values() for peer, _ in group}
    handles = [Patch(color=colour, label=peer) for peer, colour in COLOURS.items() if peer in shown]
    figure.suptitle("How many times as fast as its peers chainrule is", fontsize=12)
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.012),
        ncols=6,
        frameon=False,
        fontsize=9,
    )
    machine = data["machine"]
    figure.text(
        0.5,
        0.002,
        f"{machine['processor']}, {machine['date']}",
        ha="center",
        fontsize=7,
        va="bottom",
    )
    figure.tight_layout(rect=(0, 0.07, 1, 0.99), h_pad=2)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
