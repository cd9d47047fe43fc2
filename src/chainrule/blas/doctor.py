"""`python -m chainrule doctor` says which BLAS NumPy carries, how fast it is here and how fast it
could be. It changes nothing: it measures in child processes, and says what to set.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import textwrap
from collections.abc import Sequence

import numpy as np

from ..threads import VARIABLES
from .kernels import (
    CHILD,
    CORETYPE,
    NOISE,
    ROUNDS,
    UNKNOWN,
    Kernels,
    ask,
    build,
    candidates_here,
    choose,
    is_faster,
    measure,
    processor,
    remember,
    speed,
)
from .products import TRAINING_SIZES

PREFIXES = ("OPENBLAS", "GOTO", "OMP_", "MKL_", "BLIS_", "VECLIB_", "NPY_DISABLE_CPU")
INSTALL = 'unknown; python -m pip install "chainrule[threads]" to see'
WIDTH = 88  # of a paragraph
HARD_SPACE = "\N{NO-BREAK SPACE}"


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone has it
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def settings() -> dict[str, str]:
    """The environment variables that are set and that a BLAS or NumPy reads."""
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}


def blas_name() -> str:
    """The BLAS that NumPy was built with."""
    blas = build().get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".rstrip()


def paragraph(sentences: Sequence[str]) -> str:
    """Sentences in lines; a command between backticks stays in one."""
    text = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", HARD_SPACE), " ".join(sentences))
    return textwrap.fill(text, WIDTH, break_on_hyphens=False).replace(HARD_SPACE, " ")


# ---- what is there -------------------------------------------------------------------------------


def facts() -> str:
    """Processor, versions, BLAS and variables, a line for each."""
    variables = [f"{name}={value}" for name, value in sorted(settings().items())]
    rows = [
        ("processor", processor()),
        ("cores", f"{os.cpu_count()}, of which this process may use {usable_cores()}"),
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("NumPy", np.__version__),
        ("BLAS", blas_name()),
        *loaded(),
        ("variables", ", ".join(variables) or "none that a BLAS reads"),
    ]
    return "\n".join(f"{name:<10} {value}" for name, value in rows)


def loaded() -> list[tuple[str, str]]:
    """What is really loaded, which NumPy cannot tell: it tells of its build."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return [("loaded", INSTALL), ("threads", INSTALL)]
    rows = []
    for library in threadpool_info():
        if library["user_api"] == "blas":
            kernels = f", kernels {library['architecture']}" if "architecture" in library else ""
            file = os.path.basename(library["filepath"])
            rows += [
                ("loaded", f"{library['internal_api']} {library['version']}{kernels}: {file}"),
                ("threads", str(library["num_threads"])),
            ]
    return rows or [("loaded", "none that threadpoolctl knows")]


# ---- kernels -------------------------------------------------------------------------------------


def in_use(found: Sequence[Kernels]) -> Kernels:
    """The kernels that a script has as things are set."""
    wanted = os.environ.get(CORETYPE, "").lower()
    for kernels in found:
        names = [kernels.asked, kernels.core, *kernels.also]
        if wanted in [name.lower() for name in names if name] and kernels.fault != UNKNOWN:
            return kernels
    return found[0]  # also for a value that OpenBLAS does not know


def table(found: Sequence[Kernels]) -> str:
    """A row for each set of kernels: its speed, and whether its products are right."""
    first = next((kernels for kernels in found if kernels.rates and not kernels.fault), None)
    lines = ["kernels       speed  (float32 products, one thread; NumPy's own choice is 1)"]
    for kernels in found:
        told = []
        if kernels.wrong:
            told.append(f"WRONG RESULTS: {', '.join(kernels.wrong[:3])}")
            told.append(f"{len(kernels.wrong)} in all")
        elif not kernels.fault:
            told.append("right results")
        if kernels is found[0]:
            told.append("what NumPy takes by itself")
        if CORETYPE in os.environ and kernels is in_use(found):
            told.append("what you have set")
        row = "-" if kernels.fault or first is None else f"{speed(kernels, first):.2f}"
        words = [kernels.fault] if kernels.fault else []
        lines.append(f"{kernels.name:<12} {row:>6}  {'; '.join(words + told)}")
    return "\n".join(lines)


def variables_to_set(found: Sequence[Kernels]) -> dict[str, str]:
    """What to set; nothing if there is nothing to gain, or if the user has chosen."""
    best = choose(found)
    if best is None or best.asked is None or CORETYPE in os.environ:
        return {}
    return {CORETYPE: best.asked}


def verdict(found: Sequence[Kernels]) -> str:
    """What to do about the kernels, in words."""
    own, now, best = found[0], in_use(found), choose(found)
    lines = [
        f"{kernels.name} computes wrong products; do not use it."
        for kernels in found
        if kernels.wrong
    ]
    if CORETYPE in os.environ:
        lines.append(f"You have set {CORETYPE}={os.environ[CORETYPE]}, which is left alone.")
        if now.fault:
            lines.append(f"A process with it {now.fault}.")
        elif now is own and own.name.lower() != os.environ[CORETYPE].lower():
            lines.append(f"OpenBLAS takes {own.name} with it, as without it.")
    if best is None:
        lines.append(f"No kernels compute right here: {own.fault or 'all are wrong'}. Install")
        lines.append("another build of NumPy.")
    elif own.core is None and not own.fault:
        lines.append(f"There are no kernels to choose: NumPy's BLAS here ({blas_name()}) is no")
        lines.append("OpenBLAS that lets one choose.")
    else:
        lines += advice(found, own, now, best)
    return paragraph(lines)


def advice(found: Sequence[Kernels], own: Kernels, now: Kernels, best: Kernels) -> list[str]:
    """What the best kernels would gain over those in use."""
    gains = "products that are right"
    if is_faster(best, now):
        gains = f"products {speed(best, now):.1f} times as fast"
    elif now.sound:
        others = [kernels for kernels in found if kernels.sound and kernels is not now]
        second = max(others, key=lambda kernels: speed(kernels, now), default=now)
        more = speed(second, now) - 1
        if more < 0.005:
            return [f"There is nothing to gain: {now.name} is the fastest here."]
        told = f"that {second.name} seems {more:.0%} faster than {now.name} is noise"
        return [f"There is nothing to gain: {told}."]
    if CORETYPE not in os.environ:
        return [f"Set {CORETYPE}={best.asked} before Python starts: {gains}.",
                "`python -m chainrule run SCRIPT` does it for you."]  # fmt: skip
    if best is own:
        return [f"Without it NumPy takes {own.name}: {gains}."]
    return [f"With {CORETYPE}={best.asked}: {gains}."]


# ---- threads -------------------------------------------------------------------------------------


def measure_threads(
    coretype: str | None, cores: int, rounds: int = ROUNDS, child: Sequence[str] = CHILD
) -> dict[int, list[float]]:
    """The median rate at each size with one thread and with one for each core."""
    rates: dict[int, list[list[float]]] = {1: [], cores: []}
    for _ in range(rounds):
        for n in rates:
            variables = dict.fromkeys(VARIABLES, str(n))
            answer = ask("usual", {CORETYPE: coretype, **variables}, child)
            if answer.fault:
                return {}
            rates[n].append(answer.value)
    return {n: np.median(rows, axis=0).tolist() for n, rows in rates.items()}


def threads_told(rates: dict[int, list[float]]) -> str:
    """A table of 1e9 operations in a second, and what it means."""
    if not rates:
        return "threads: could not be measured"
    if len(rates) == 1:
        return "threads: one core, so one thread"
    cores = max(rates)
    rows = ["product         1 thread  " + f"{cores} threads".rjust(10) + "   (1e9 operations/s)"]
    for (m, k, n), one, all_ in zip(TRAINING_SIZES, rates[1], rates[cores], strict=True):
        rows.append(f"{f'{m}x{k}x{n}':<14} {one:>9.3g}  {all_:>10.3g}")
    ratios = np.divide(rates[cores], rates[1])  # (sizes,)
    sizes = [row.split()[0] for row in rows[1:]]
    if all(ratios < NOISE):
        times = f" (up to {1 / min(ratios):.1f} times)" if min(ratios) < 1 / NOISE else ""
        what = f"One thread is as fast as {cores} or faster{times}: "
        what += "`python -m chainrule run --threads 1 SCRIPT`."
    elif all(ratios > 1 / NOISE):
        what = f"{cores} threads are as fast as one or faster: leave BLAS all its threads."
    else:
        pay = [size for size, ratio in zip(sizes, ratios, strict=True) if ratio >= NOISE]
        what = f"{cores} threads pay for products such as {', '.join(pay)}; for a network of "
        what += "smaller ones, `python -m chainrule run --threads 1 SCRIPT`."
    lines = [what, "While other programs are busy, threads wait for each other, and one is best."]
    lines += [f"You have set {name}={os.environ[name]}, which is left alone."
              for name in VARIABLES if name in os.environ]  # fmt: skip
    return "\n".join(rows) + "\n" + paragraph(lines)


# ---- the command ---------------------------------------------------------------------------------


def try_all() -> list[Kernels]:
    """Measure what there is on this machine, and what the user has set, and keep the choice."""
    names = candidates_here()
    chosen = os.environ.get(CORETYPE)
    if chosen and chosen.lower() not in [name.lower() for name in names]:
        names.append(chosen)
    print(
        "chainrule: measuring matrix products, ten seconds or more ...",
        file=sys.stderr,
    )
    found = measure(names)
    remember(found)
    return found


def examine(env: bool = False) -> None:
    """Print the report; or with `env` NAME=VALUE of what to set, and the rest to stderr."""
    if env:
        found = try_all()
        print(verdict(found), file=sys.stderr)
        for name, value in variables_to_set(found).items():
            print(f"{name}={value}")
        return
    print(facts(), flush=True)
    found = try_all()
    print(f"\n{table(found)}\n", flush=True)
    coretype = variables_to_set(found).get(CORETYPE, os.environ.get(CORETYPE))
    print(threads_told(measure_threads(coretype, usable_cores())))
    print(f"\n{verdict(found)}")
