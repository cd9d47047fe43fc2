"""A process for one peer under one setting: pinned to its cores, with its threads and its kernels.
It sleeps until it is given a turn, so that only one peer runs at a time."""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

Run = Callable[[int], float]  # does so many steps, and returns the seconds that each took

LONGEST = 2.0  # seconds of a turn, about
CHOICES = (  # the last one would slow imports down
    "OPENBLAS_", "OMP_", "MKL_", "KMP_", "GOTO_", "XLA_FLAGS", "KERAS_BACKEND",
    "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Threads of each library, the cores they run on, and the choice of BLAS kernels."""

    threads: int
    cores: tuple[int, ...]
    kernels: dict[str, str] = field(default_factory=dict)  # variables; none: as NumPy comes

    def environment(self) -> dict[str, str]:
        """The variables of this process without its own choices, and with those of the setting."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(CHOICES)}
        threads = {
            f"{library}_NUM_THREADS": str(self.threads) for library in ("OPENBLAS", "OMP", "MKL")
        }
        flags = [] if self.threads > 1 else ["--xla_cpu_multi_thread_eigen=false"]
        jax = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join(flags)}
        return {**kept, **threads, **jax, **self.kernels, "TF_CPP_MIN_LOG_LEVEL": "2"}


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """These variables and no others, for as long as a process is started."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Worker:
    """The peer's process, as seen from outside."""

    def __init__(self, setting: Setting) -> None:
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        with environment(setting.environment()):  # the process starts with the first call
            self.call(pin, setting.cores)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.pool.submit(function, *arguments).result()

    def close(self) -> None:
        self.pool.shutdown()


# ---- what runs inside --------------------------------------------------------------------------

_run: Run | None = None


def pin(cores: tuple[int, ...]) -> None:
    """Bind this process to its cores, before any library counts them."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def prepare(module: str, peer: str, threads: int, case: tuple[Any, ...]) -> list[float]:
    """Build the peer for a case; return numbers that all peers must agree on."""
    global _run
    _run = None  # lets go of the case before
    gc.collect()
    _run, check = importlib.import_module(module).PEERS[peer](threads, *case)
    return check


def turn(warm: int, steps: int, pause: float) -> float:
    """Seconds a step, after some steps that are not timed and fill the caches again."""
    assert _run is not None
    time.sleep(pause)
    gc.collect()
    gc.disable()
    try:
        if warm:
            few = max(1, warm // 20)
            part = min(1.0, LONGEST / (_run(few) * (warm + steps)))  # fewer where a step drags
            warm, steps = int(warm * part) - few, max(1, int(steps * part))
            if warm > 0:
                _run(warm)
        return _run(steps)
    finally:
        gc.enable()


def spin(cores: tuple[int, ...]) -> None:
    """A busy neighbour, until it is ended."""
    pin(cores)
    while True:
        pass


@contextlib.contextmanager
def neighbour(core: int) -> Iterator[None]:
    """Keep a core busy with something else for the time of the block."""
    process = multiprocessing.get_context("spawn").Process(target=spin, args=((core,),))
    process.daemon = True
    process.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        process.terminate()
        process.join()


def clocked(step: Callable[[], object], steps: int) -> float:
    """Seconds that each of so many calls took."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps
