"""How many random networks keep every promise, and how far the worst gradient lies from the slope:
networks of all public layers, nested, shared and frozen, new ones in each run.

The networks and their properties are those of `tests/test_random_networks.py`. A network that
breaks one is made smaller while it still does, and shown. `--seed` repeats a run's networks.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from networks import cases  # type: ignore[import-not-found]
from test_random_networks import (  # type: ignore[import-not-found]
    PROPERTIES,
    gradient_is_the_slope,
)

ROUND = 50  # networks that share a seed


class Count:
    """What was seen so far."""

    networks = layers = gradients = 0
    worst = 0.0

    def check(self, case: Any) -> None:
        for prop in PROPERTIES:
            error = prop(case)
            if prop is gradient_is_the_slope and error is not None:
                self.gradients += 1
                self.worst = max(self.worst, error)
        self.networks += 1


def check_round(count: Count, number: int) -> None:
    """Check the networks of one seed; the first failure ends the run."""

    @seed(number)
    @settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def holds(case: Any) -> None:
        count.check(case)

    holds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="how long (180)")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="of the networks")
    options = parser.parse_args()
    count, number, end = Count(), options.seed, time.monotonic() + options.seconds
    while time.monotonic() < end:
        check_round(count, number)
        number += 1
    print(f"networks checked: {count.networks:,}, each by {len(PROPERTIES)} properties")
    print(
        f"gradients compared: those of {count.gradients:,}; worst relative error {count.worst:.1e}"
    )
    print(f"seeds: {options.seed} to {number - 1}")


if __name__ == "__main__":
    main()
