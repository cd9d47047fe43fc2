"""The comparisons, one after the other: a process for each peer and choice of kernels, in turn.
What comes out is every time of every round, from which the report makes its ratios."""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
from timings import BEST, COMES
from worker import Setting, Worker, neighbour, prepare, turn

Key = tuple[str, str]  # a peer, and its choice of kernels


@dataclass(frozen=True)
class Plan:
    """How a comparison is measured: its threads, and its share of the rounds."""

    module: str
    threads: tuple[int, ...]
    share: float
    all_cores: bool = False

    def rounds_of(self, rounds: int, case: str) -> int:
        return max(2, round(rounds * self.share * (0.5 if LONG in case else 1)))


PLANS = {
    "steps": Plan("compare_steps", (1, 2), 1.0),
    "row": Plan("compare_row", (1,), 1.0),
    "epoch": Plan("compare_epoch", (1, 2), 1 / 3),
    "process": Plan("compare_process", (1, 2), 1 / 3),
    "workers": Plan("compare_workers", (1,), 0.6, all_cores=True),
    "import": Plan("compare_import", (1,), 0.3),
}
LONG = "2048"  # the network whose step takes so long that fewer rounds must do


class Measurements:
    """Everything that is kept, written to its file after each comparison."""

    def __init__(self, path: Path, rounds: int, quick: bool, wheel: Path | None) -> None:
        self.path, self.rounds, self.quick, self.wheel = path, rounds, quick, wheel
        best = machine.best_kernels(Setting(1, ()).environment())
        self.kernels = {COMES: {}, **({BEST: best} if best else {})}
        libraries = {name: self.blas(variables) for name, variables in self.kernels.items()}
        chosen = {name: machine.architectures(found) for name, found in libraries.items()}
        if BEST in chosen and chosen[BEST] == chosen[COMES]:
            del self.kernels[BEST]  # they are taken as NumPy comes
        self.data: dict[str, Any] = {
            "machine": machine.describe(),
            "rounds": rounds,
            "quick": quick,
            "kernels": {
                name: {"set": variables, "chosen": chosen[name], "blas": libraries[name]}
                for name, variables in self.kernels.items()
            },
            "sizes": machine.sizes(wheel),
            "missing": [],
            "times": [],
        }

    def blas(self, variables: dict[str, str]) -> list[dict[str, Any]]:
        worker = Worker(Setting(1, cores(1), variables))
        try:
            return worker.call(machine.blas)
        finally:
            worker.close()

    def miss(self, where: str, peer: str, error: object) -> None:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        self.data["missing"].append({"where": where, "peer": peer, "reason": reason})
        print(f"  missing: {peer}: {reason}", flush=True)

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = ",\n  ".join(json.dumps(row) for row in self.data["times"])
        rest = {key: value for key, value in self.data.items() if key != "times"}
        head = json.dumps(rest, indent=1)[:-2]
        self.path.write_text(f'{head},\n "times": [\n  {rows}\n ]\n}}\n', encoding="utf-8")


def cores(threads: int) -> tuple[int, ...]:
    """The last cores, for systems like to put their own work on the first."""
    return tuple(machine.cores()[-threads:])


def agree(numbers: list[float], first: list[float], tolerance: tuple[float, float]) -> bool:
    """Whether the numbers that both have are alike."""
    relative, absolute = tolerance
    return all(
        math.isnan(a) or math.isclose(a, b, rel_tol=relative, abs_tol=absolute)
        for a, b in zip(numbers, first, strict=False)
    )


def start(m: Measurements, name: str, threads: int) -> dict[Key, Worker]:
    """A process for each peer; for each choice of kernels too where the peer takes NumPy's."""
    plan, module = PLANS[name], importlib.import_module(PLANS[name].module)
    own_threads = getattr(module, "BLAS_THREADS", {})
    return {
        (peer, kernels): Worker(
            Setting(own_threads.get(peer, threads), cores(2 if plan.all_cores else threads), chosen)
        )
        for peer in module.PEERS
        for kernels, chosen in m.kernels.items()
        if kernels == COMES or peer in module.BLAS
    }


def rotated(keys: list[Key], i: int) -> list[Key]:
    """Each comes first as often as the others."""
    first = i % max(1, len(keys))
    return keys[first:] + keys[:first]


def compare(m: Measurements, name: str, threads: int, busy: bool = False) -> None:
    """Measure all cases of a comparison with so many threads."""
    plan, module = PLANS[name], importlib.import_module(PLANS[name].module)
    cases = module.CASES
    if m.quick:
        cases = getattr(module, "QUICK", None) or dict(list(cases.items())[:2])
    workers = start(m, name, threads)
    try:
        for case, arguments in cases.items():
            where = f"{name}, {threads} thread{'s' * (threads > 1)}{', busy' * busy}: {case}"
            print(where, flush=True)
            checks = dict(checked(m, where, workers, module, threads, arguments))
            pause = 0.05 if threads > 1 or plan.all_cores else 0.0  # until others' threads sleep
            times: dict[Key, list[float]] = {key: [] for key in checks}
            for i in range(plan.rounds_of(m.rounds, case)):
                for key in rotated(list(times), i):
                    warm, steps = module.turn_of(key[0], *arguments)
                    try:
                        times[key].append(workers[key].call(turn, warm, steps, pause))
                    except Exception as error:  # the others go on, as in checked()
                        m.miss(where, key[0], error)
                        del times[key]
            m.data["times"] += [
                {
                    "comparison": name, "case": case, "threads": threads, "busy": busy,
                    "peer": peer, "kernels": kernels, "numpy": peer in module.BLAS,
                    "check": checks[peer, kernels],
                    "seconds": [float(f"{value:.6g}") for value in seconds],
                }
                for (peer, kernels), seconds in times.items()
            ]  # fmt: skip
            m.save()
    finally:
        for worker in workers.values():
            worker.close()


def checked(
    m: Measurements,
    where: str,
    workers: dict[Key, Worker],
    module: Any,
    threads: int,
    arguments: tuple[Any, ...],
) -> Iterator[tuple[Key, list[float]]]:
    """Prepare the peers; yield those that can be had and that compute the same as the first."""
    first: list[float] = []
    for (peer, kernels), worker in workers.items():
        own = getattr(module, "BLAS_THREADS", {}).get(peer, threads)
        try:
            check = worker.call(prepare, module.__name__, peer, own, arguments)
        except Exception as error:  # whatever a peer may raise, the others go on
            m.miss(where, peer, error)
            continue
        first = first or check
        compared = getattr(module, "COMPARED", None)
        if agree(check[:compared], first[:compared], module.TOLERANCE):
            yield (peer, kernels), [float(f"{value:.7g}") for value in check]
        else:
            m.miss(where, peer, f"it computes {check[:4]} where {first[:4]} is expected")


def measure(m: Measurements, names: list[str], only_threads: int | None = None) -> None:
    """Make the comparisons, with all their numbers of threads or with one."""
    for name in names:
        for threads in PLANS[name].threads:
            if only_threads not in (None, threads):
                continue
            if len(cores(threads)) < threads:
                m.miss(name, f"{threads} threads", "this machine has fewer cores")
                continue
            compare(m, name, threads)
            if name == "workers" and hasattr(os, "sched_setaffinity") and len(cores(2)) == 2:
                with neighbour(cores(1)[0]):
                    compare(m, name, threads, busy=True)
    m.save()
