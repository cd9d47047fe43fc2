"""The times of every round as a file keeps them, and the ratios that are made from them.
A ratio is a peer's time over ours in the same round, and of these the median over the rounds."""

from __future__ import annotations

import statistics
from typing import Any

COMES, BEST = "as it comes", "best"
KERNELS = {COMES: "NumPy as it comes", BEST: "with the best kernels"}
LIMITS = "chainrule", "train_on_batch", "products", "NumPy by hand"  # ours, and no peers
OURS = {"workers": "one thread"}  # chainrule elsewhere
Key = tuple[str, str, int, bool, str, str]


class Timings:
    """The times of every round, by comparison, case, threads, neighbour, peer and kernels."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        fields = "comparison", "case", "threads", "busy", "peer", "kernels"
        self.rows: dict[Key, dict[str, Any]] = {
            tuple(row[field] for field in fields): row for row in data["times"]
        }

    def row(self, key: Key) -> dict[str, Any] | None:
        """What was measured; a peer without NumPy's products is the same with any kernels."""
        plain = self.rows.get((*key[:5], COMES))
        return plain if plain and not plain["numpy"] else self.rows.get(key)

    def seconds(self, key: Key) -> float | None:
        row = self.row(key)
        return statistics.median(row["seconds"]) if row else None

    def ratio(self, key: Key) -> float | None:
        """A peer's time over ours."""
        ours, theirs = self.row((*key[:4], OURS.get(key[0], "chainrule"), key[5])), self.row(key)
        if not ours or not theirs:
            return None
        pairs = zip(theirs["seconds"], ours["seconds"], strict=True)
        return statistics.median(their / our for their, our in pairs)

    def best(self, key: Key) -> Key | None:
        """The fastest of a peer's ways: PyTorch, fused of PyTorch."""
        ways = [k for k in self.rows if k[:4] == key[:4] and k[4].split(",")[0] == key[4]]
        ways = [k for k in dict.fromkeys((*k[:5], key[5]) for k in ways) if self.row(k)]
        return min(ways, key=lambda k: self.seconds(k) or 0, default=None)

    def groups(self, comparison: str) -> list[tuple[str, int]]:
        """Cases and threads that were measured."""
        return list(dict.fromkeys(key[1:3] for key in self.rows if key[0] == comparison))

    def kernels(self, comparison: str) -> list[str]:
        return [
            k for k in KERNELS if any(key[0] == comparison and key[5] == k for key in self.rows)
        ]

    def ways(self, comparison: str, case: str, threads: int) -> list[str]:
        """All that was measured: PyTorch, eager; PyTorch, fused; ..."""
        found = (key[4] for key in self.rows if key[:3] == (comparison, case, threads))
        return list(dict.fromkeys(found))

    def peers(self, comparison: str, case: str, threads: int) -> list[str]:
        """The peers without their ways: PyTorch for PyTorch, fused."""
        names = [
            key[4].split(",")[0] for key in self.rows if key[:3] == (comparison, case, threads)
        ]
        return [name for name in dict.fromkeys(names) if name not in LIMITS]

    def verdicts(self, comparison: str) -> list[tuple[Key, float]]:
        """Each peer's fastest way with its ratio, for every case, threads and kernels."""
        found = []
        for case, threads in self.groups(comparison):
            for kernels in self.kernels(comparison):
                for peer in self.peers(comparison, case, threads):
                    best = self.best((comparison, case, threads, False, peer, kernels))
                    ratio = self.ratio(best) if best else None
                    if best and ratio is not None:
                        found.append((best, ratio))
        return found


def count(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"
