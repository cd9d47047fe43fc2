"""What threads gain and what they lose: BLAS threads beside the workers of `fit`.

An epoch of `fit` (Adam, softmax cross entropy, float32) with one BLAS thread, with two, and with
two workers that have one each; all in one process, in turn, figures are medians over rounds. Run it
on a quiet machine with two cores or more, and once more with `--busy`, beside another process that
keeps one of two cores busy: taskset -c 0,1 python benchmarks/threads.py [--busy]

The last column is what the calling thread computes in a step of two workers, in its own processor
time: what that step would take if nobody had to wait, which holds on a machine that is not quiet.

`FROM` and `TO` in src/chainrule/threads.py are read off the table: between them one BLAS thread is
faster than two. The lines below it say what the bound itself costs.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from step import network, seconds
from threadpoolctl import ThreadpoolController

import chainrule as cr
from chainrule import threads

STEPS = [
    ((20, 64, 64, 2), 32),
    ((64, 128, 10), 32),
    ((784, 32, 10), 32),
    ((784, 128, 10), 32),
    ((784, 128, 10), 64),
    ((784, 128, 10), 128),
    ((784, 512, 256, 10), 128),
    ((784, 1024, 1024, 10), 256),
    ((784, 2048, 2048, 2048, 10), 512),
]


def spin(core: int) -> None:
    with contextlib.suppress(AttributeError):  # where there is no such call
        os.sched_setaffinity(0, {core})
    parent = os.getppid()
    while os.getppid() == parent:  # not longer than the benchmark
        sum(range(100_000))


@contextlib.contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """A process that keeps one of our cores busy."""
    if not wanted:
        yield
        return
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    process = multiprocessing.get_context("spawn").Process(target=spin, args=cores[-1:])
    process.start()
    try:
        time.sleep(1)  # until it is there
        yield
    finally:
        process.kill()
        process.join()


def epochs(sizes: tuple[int, ...], batch: int) -> tuple[list[Callable[[], None]], int]:
    """An epoch in each of the three ways, on a model of its own, and its number of steps."""
    rng = np.random.default_rng(0)
    steps = max(10, min(200, 20_000_000_000 // (batch * sum(i * o for i, o in pairwise(sizes)))))
    x = rng.standard_normal((steps * batch, sizes[0]), np.float32)
    y = rng.integers(0, sizes[-1], len(x))

    def way(count: int, workers: int) -> Callable[[], None]:
        model, optimizer = network(sizes), cr.Adam()

        def epoch() -> None:
            with controller.limit(limits=count, user_api="blas"):
                model.fit(
                    x, y, loss=cr.SoftmaxCrossEntropy(), optimizer=optimizer, batch_size=batch,
                    shuffle=False, workers=workers, verbose=0,
                )  # fmt: skip

        return epoch

    return [way(1, 1), way(2, 1), way(1, 2)], steps


def clocked(way: Callable[[], None]) -> tuple[float, float]:
    """Seconds that an epoch takes, and that the calling thread computes in it."""
    time.sleep(0.1)  # until the BLAS threads of the way before no longer wait for work, busily
    start, own = time.perf_counter(), time.thread_time()
    way()
    return time.perf_counter() - start, time.thread_time() - own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    blas = [d["internal_api"] for d in controller.info() if d["user_api"] == "blas"]
    print(
        f"NumPy {np.__version__}, {', '.join(blas)}, Python {platform.python_version()},", end=" "
    )
    print(f"{platform.machine()}; {'beside a busy process' if arguments.busy else 'alone'}\n")
    print("| network, batch | multiply-adds forward | one thread, µs | two | two workers", end=" ")
    print("| computing |")
    print("| --- | --- | --- | --- | --- | --- |")
    with neighbour(arguments.busy):
        for sizes, batch in STEPS:
            ways, steps = epochs(sizes, batch)
            for way in ways:
                way()
            times = np.empty((arguments.rounds, len(ways), 2))
            for i in range(arguments.rounds):
                for k in np.roll(range(len(ways)), i):  # each comes first as often as the others
                    times[i, k] = clocked(ways[k])
            (one, own), (two, _), (shards, share) = np.median(times, axis=0) / steps * 1e6
            products = batch * sum(i * o for i, o in pairwise(sizes))
            print(
                f"| {'-'.join(map(str, sizes))}, {batch} | {products / 1e6:,.2f} M | {one:,.0f} | "
                f"{two:,.0f} ({one / two:.2f}) | {shards:,.0f} ({one / shards:.2f}) | "
                f"{share:,.0f} ({own / share:.2f}) |",
                flush=True,
            )
    print("\nIn brackets: times as fast as one thread.")

    def bound() -> None:
        with controller.limit(limits=1, user_api="blas"):
            pass

    look, each = seconds(ThreadpoolController, 20) * 1e6, seconds(bound, 200) * 1e6
    print(
        f"To look for the loaded libraries, once: {look:,.0f} µs; to bound them and free them, in"
    )
    print(f"each fit: {each:,.0f} µs.")


threads.TO = 0  # `fit` is not to choose for itself here
controller = ThreadpoolController()

if __name__ == "__main__":
    main()
