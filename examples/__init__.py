"""What all examples share: their options, and a picture where matplotlib is installed.

The folder is installed as ``chainrule.examples``, so that ``python -m chainrule examples`` finds
the scripts wherever the package is.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import plots


def options(
    doc: str | None, seed: int = 0, own: Callable[[argparse.ArgumentParser], Any] | None = None
) -> argparse.Namespace:
    """Read the options that every example takes; its docstring is the text of ``--help``.

    `own` adds what one example takes besides.
    """
    for stream in (sys.stdout, sys.stderr):  # a terminal without η shows ? and goes on
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=_seed, default=seed, help=f"first seed (default {seed})")
    parser.add_argument("--quick", action="store_true", help="less of everything, in seconds")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for what is saved")
    parser.add_argument("--dark", action="store_true", help="a picture for dark pages as well")
    if own is not None:
        own(parser)
    return parser.parse_args()


def _seed(text: str) -> int:
    """A seed, or a message of argparse's."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer from 0 on, got {text!r}")
    return int(text)


def picture(draw: Callable[[], Any], name: str, arguments: argparse.Namespace) -> None:
    """Save what `draw` draws as OUT/name.png and say so; say what to install if it cannot be."""
    try:
        path = plots.save(draw, arguments.out / f"{name}.png")
        if arguments.dark:
            plots.save(draw, arguments.out / f"{name}-dark.png", dark=True)
    except ImportError as missing:
        print(f"No picture: {missing}")
    else:
        print(f"The picture is {path}.")


def made_up_students(folder: Path, seed: int) -> tuple[Path, Path]:
    """Write a CSV file of students with gaps and their grades, and one of new students without."""
    rng = np.random.default_rng(seed)
    paths = folder / "made_up_students.csv", folder / "made_up_new_students.csv"  # nobody's own
    folder.mkdir(parents=True, exist_ok=True)
    programmes, grades = ["arts", "biology", "computing"], ["fail", "pass", "merit"]
    for path, count, fields in zip(paths, (600, 5), (4, 3), strict=True):
        rows: list[list[Any]] = [["lectures", "hours", "programme", "grade"]]
        for _ in range(count):
            lectures, hours, programme = rng.integers(11), rng.uniform(0, 40), rng.integers(3)
            score = lectures + hours / 4 + 2 * programme + rng.normal(0, 0.5)
            shown = "" if rng.random() < 0.1 else f"{hours:.1f}"
            grade = grades[int(score > 9) + int(score > 15)]
            rows.append([lectures, shown, programmes[programme], grade])
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(row[:fields] for row in rows)
    return paths
