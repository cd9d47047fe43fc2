"""OpenBLAS holds several sets of kernels and takes one by the processor's name, not by its speed.
This file tries the others, each in a child process, and chooses among those that compute right.

OPENBLAS_CORETYPE names the set to take, and OPENBLAS_VERBOSE=2 lets OpenBLAS tell which it took.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._mnist import cache_folder
from ..files import replace_file
from ..threads import VARIABLES

CORETYPE = "OPENBLAS_CORETYPE"
CHILD = (sys.executable, "-m", "chainrule.blas.products")
ROUNDS = 5
TIMEOUT = 60.0  # seconds of a child
NOISE = 1.05  # a gain below is none
UNKNOWN = "is not in this build of OpenBLAS"
FORMAT = 1  # of the file that remembers; another number where other things are checked
ILLEGAL_INSTRUCTION = 0xC000001D  # the exit status on Windows

# Sets of kernels by architecture and by what NumPy says that the processor has; "" is no condition.
# The names of one line are conditions that mean the same, in older and in newer versions of NumPy.
AVX512 = ("X86_V4", "AVX512_SKX")  # both: avx512f, cd, bw, dq and vl
AVX2 = ("X86_V3", "AVX2")
SSE42 = ("X86_V2", "SSE42")
X86: dict[str, tuple[str, ...]] = {
    "Prescott": ("",),
    "Nehalem": SSE42,
    "Sandybridge": AVX2,
    "Haswell": AVX2,
    "Zen": AVX2,
    "SkylakeX": AVX512,
}
ARM: dict[str, tuple[str, ...]] = {
    "ARMV8": ("",),
    "CORTEXA57": ("",),
    "NEOVERSEN1": ("",),
    "VORTEX": ("",),
    "ARMV8SVE": ("SVE",),
    "NEOVERSEN2": ("SVE",),
    "NEOVERSEV1": ("SVE",),
}
ARCHITECTURES = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}


# ---- what is there -------------------------------------------------------------------------------


def build() -> dict[str, Any]:
    """What NumPy tells of its build: the BLAS, and what the processor can do."""
    told: Any = np.show_config(mode="dicts")
    return told


def processor() -> str:
    """The processor's name; where Linux knows no name, the numbers that stand for one."""
    try:
        first = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    told = dict(re.findall(r"^([\w ]+?)\s*: (.+)$", first, re.MULTILINE))
    name = told.get("model name") or platform.machine()
    numbers = ("cpu family", "model", "CPU implementer", "CPU part")
    return ", ".join([name, *(f"{key} {told[key]}" for key in numbers if key in told)])


def candidates(machine: str, extensions: Mapping[str, Iterable[str]]) -> list[str]:
    """The sets of kernels that are worth a try here, if the build of OpenBLAS has them."""
    present = {"", *extensions.get("baseline", ()), *extensions.get("found", ())}
    kernels = ARCHITECTURES.get(machine.lower(), {})
    return [name for name, conditions in kernels.items() if present & set(conditions)]


def candidates_here() -> list[str]:
    """The same for this machine."""
    return candidates(platform.machine(), build().get("SIMD Extensions", {}))


# ---- a child -------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What a child has told, or what became of it."""

    value: list[Any]
    core: str | None  # the kernels, as OpenBLAS calls them
    fault: str = ""  # a few words; empty if all went well


def ask(
    task: str,
    variables: Mapping[str, str | None],
    child: Sequence[str] = CHILD,
    timeout: float = TIMEOUT,
) -> Answer:
    """Let a child do one task of `products` with these variables set, or not set if None."""
    told = {**os.environ, "OPENBLAS_VERBOSE": "2", **variables}
    environment = {name: value for name, value in told.items() if value is not None}
    try:
        done = subprocess.run(
            [*child, task], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer([], None, f"took more than {timeout:g} seconds")
    except OSError as error:
        return Answer([], None, f"could not be started: {error.strerror}")
    cores = re.findall(r"^Core: (\S+)$", done.stderr, re.MULTILINE)
    core = cores[-1] if cores else None
    if "Core not found" in done.stderr:
        return Answer([], core, UNKNOWN)
    if done.returncode:
        return Answer([], core, _death(done.returncode, done.stderr))
    try:
        value = json.loads(done.stdout)
    except ValueError:
        value = None
    if not isinstance(value, list):
        return Answer([], core, f"answered {done.stdout[:80]!r}")
    return Answer(value, core)


def _death(status: int, errors: str) -> str:
    if status & 0xFFFFFFFF == ILLEGAL_INSTRUCTION or -status == getattr(signal, "SIGILL", None):
        return "does not run here: illegal instruction"
    if status < 0:
        return f"does not run here: killed by {signal.Signals(-status).name}"
    last = (errors.strip().splitlines() or ["without a word"])[-1]
    return f"ended with status {status}: {last[:200]}"


# ---- the kernels ---------------------------------------------------------------------------------


@dataclass
class Kernels:
    """A set of kernels, and what was found of it."""

    asked: str | None  # the value of OPENBLAS_CORETYPE; None for what OpenBLAS takes by itself
    core: str | None  # what OpenBLAS says it took; None if it says nothing
    fault: str = ""
    also: list[str] = field(default_factory=list)  # other values that give the same kernels
    wrong: list[str] = field(default_factory=list)  # names of products
    rates: list[list[float]] = field(default_factory=list)  # 1e9 operations/s: rounds x sizes

    @property
    def sound(self) -> bool:
        """Whether it runs and all its products are right."""
        return not self.fault and not self.wrong

    @property
    def name(self) -> str:
        """What to call it; OpenBLAS calls Prescott's by the name of an older processor."""
        return self.asked or self.core or "what NumPy has"


def measure(
    names: Iterable[str], rounds: int = ROUNDS, child: Sequence[str] = CHILD
) -> list[Kernels]:
    """Check and time what OpenBLAS takes by itself, which stands first, and the sets of `names`.

    A name for kernels that came before is kept with them. With a BLAS that chooses nothing at run
    time there is one set only. The check uses as many threads as a user's script would, the times
    are those of one thread.
    """
    found: list[Kernels] = []
    for asked in (None, *names):
        answer = ask("check", {CORETYPE: asked}, child)
        same = next((kernels for kernels in found if kernels.core == answer.core), None)
        if asked and same and not answer.fault:
            same.also.append(asked)
            continue
        found.append(Kernels(asked, answer.core, answer.fault, wrong=answer.value))
        if asked is None and answer.core is None:
            break
    for _ in range(rounds):  # side by side, so that a busy minute slows all of them
        for kernels in found:
            if not kernels.fault:
                answer = ask(
                    "best", {CORETYPE: kernels.asked, **dict.fromkeys(VARIABLES, "1")}, child
                )
                kernels.fault = answer.fault
                kernels.rates.append(answer.value)
    return found


def speed(kernels: Kernels, other: Kernels) -> float:
    """How many times as fast as others: the median over rounds, the geometric mean over sizes."""
    if kernels.fault or other.fault:
        return math.nan
    rounds = np.divide(kernels.rates, other.rates)  # (rounds, sizes)
    return statistics.geometric_mean(np.median(rounds, axis=0).tolist())


def is_faster(kernels: Kernels, other: Kernels) -> bool:
    """Whether the gain is more than noise: in the median round, and in the best rounds of both.

    A busy neighbour may slow one of the two in most rounds, but hardly in all.
    """
    if kernels.fault or other.fault:
        return False
    best = np.divide(np.max(kernels.rates, axis=0), np.max(other.rates, axis=0))  # (sizes,)
    return min(speed(kernels, other), statistics.geometric_mean(best.tolist())) >= NOISE


def choose(found: Sequence[Kernels]) -> Kernels | None:
    """The fastest that compute right; OpenBLAS' own if the gain is noise; None if none is right."""
    own, sound = found[0], [kernels for kernels in found if kernels.sound]
    if own.sound:
        sound = [own, *(kernels for kernels in sound if is_faster(kernels, own))]
    return max(sound, key=lambda kernels: speed(kernels, sound[0]), default=None)


# ---- what is remembered --------------------------------------------------------------------------


def key() -> dict[str, Any]:
    """What a choice was made for. It says nothing of another machine, NumPy or BLAS."""
    told = build()
    return {
        "format": FORMAT,
        "processor": processor(),
        "candidates": candidates_here(),
        "python": platform.architecture()[0],
        "numpy": np.__version__,
        "blas": told.get("Build Dependencies", {}).get("blas", {}),
    }


def _place() -> Path:
    name = hashlib.sha256(json.dumps(key(), sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / f"kernels-{name}.json"


def remember(found: Sequence[Kernels]) -> None:
    """Keep the choice in the cache folder, or say why it cannot be kept."""
    if (chosen := choose(found)) is None:  # perhaps another day
        return
    record = {"key": key(), "coretype": chosen.asked}
    try:
        place = _place()
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, lambda file: file.write(json.dumps(record, indent=1).encode()))
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        print(
            f"chainrule: the choice of kernels could not be kept, so it will be measured again "
            f"({error}). Set XDG_CACHE_HOME to a folder that can be written.",
            file=sys.stderr,
        )


def recall() -> tuple[bool, str | None]:
    """Whether a choice is remembered, and its name; whatever is damaged is not."""
    try:
        record = json.loads(_place().read_bytes())
        name = record["coretype"]
        known = record["key"] == key() and (name is None or name in record["key"]["candidates"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return False, None
    return known, name if known else None
