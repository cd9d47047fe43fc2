"""What becomes of files that a stranger may have made: by rules, and good ones changed at random,
a model's and a checkpoint's, each opened in a process with little memory and a few seconds.

A file is refused with a `ValueError`, or loads as the very model (a date in the directory carries
nothing), or, where the checksums fit because the archive was written anew, as another valid model:
one whose own file gives back the same bits, or a run that ends as runs do. All else is a fault, as
are more than 256 MB, more than 10 seconds, and a refusal that left something changed.
The files are those of `tests/hostile.py` and `tests/mutations.py`. `--seed` repeats a run.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from mutations import (  # type: ignore[import-not-found]
    MUTATIONS,
    Judge,
    by_rules,
    is_right,
)

ROUND = 20  # mutations of one kind before the next


class Table:
    """What was found, by kind and kind of file."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Counter[str]] = {}
        self.faults = 0

    def add(self, kind: str, is_run: bool, found: str, right: bool) -> None:
        row = self.rows.setdefault((kind, "run" if is_run else "model"), Counter())
        row[found if right else "fault"] += 1
        if not right:
            self.faults += 1
            print(f"fault: {kind}, {found}", file=sys.stderr, flush=True)

    def show(self) -> None:
        print("| kind | file | tried | refused | the same | another, valid | anything else |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        total: Counter[str] = Counter()
        for (kind, file), row in [*self.rows.items(), (("all", ""), total)]:
            figures = [row.total(), *(row[k] for k in ("refused", "same", "other", "fault"))]
            print(f"| {kind} | {file} | {' | '.join(f'{n:,}' for n in figures)} |")
            total += row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="how long in all (180)")
    parser.add_argument("--budget", type=int, help="how many mutations of each kind, in place of")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="of the mutations")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    judge, table, rng = Judge(), Table(), np.random.default_rng(options.seed)
    for kind, is_run, content, free in by_rules(judge):
        found = judge(content, is_run)
        table.add(
            f"{kind}, by rule", is_run, found, found == "refused" or (free and found == "other")
        )
    done = 0
    while done < options.budget if options.budget else time.monotonic() < end:
        for kind, (change, consistent) in MUTATIONS.items():
            for is_run, good in ((False, judge.model), (True, judge.run)):
                for _ in range(min(ROUND, (options.budget or ROUND) - done)):
                    found = judge(change(rng, good), is_run)
                    table.add(kind, is_run, found, is_right(found, consistent))
        done += ROUND if options.budget else 0
    table.show()
    print(f"seed {options.seed}; the most memory that a file took: {judge.grown / 1e3:.0f} MB")
    judge.close()
    return min(table.faults, 1)


if __name__ == "__main__":
    sys.exit(main())
