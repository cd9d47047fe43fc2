"""Whether the tests notice a slip of the pen in a formula: each mutant of the gradient code is put
in the place of the original, and the tests that run its line must fail. What survives is explained
in mutants.md, one by one; the script fails for a survivor without a reason, or a reason too many.

One process collects all tests and is forked for each mutant; the child puts the mutated code into
the living functions and runs the tests that reach its line, the fastest first, until one fails.
Results are kept in out/, so that a run can be broken off and taken up again.
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import ast
import gc
import hashlib
import itertools
import json
import math
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from mutation_places import Mutant, install, mutants_of

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "chainrule"
REASONS = Path(__file__).with_suffix(".md")
FOLDERS = ["layers", "losses", "optimizers"]
FILES = sorted(
    [str(p.relative_to(SOURCE)) for f in FOLDERS for p in (SOURCE / f).glob("[!_]*.py")]
    + ["numerics.py", "backprop.py", "steps.py"]
)
# All tests that run formulas in this process and need no screen, no network and no terminal.
TESTS = ["slips", "layers", "losses", "optimizers", "numerics", "backprop", "breadth",
         "breadth_steps", "extremes", "gradcheck", "fit_options", "fit_edges", "fit", "model",
         "guarantees", "standardizer", "lecture", "initializers", "wrong_use", "find_lr",
         "sources", "files", "workers"]  # fmt: skip


# ---- the tests, collected once -------------------------------------------------------------------


def digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(p.read_bytes() for p in paths)).hexdigest()[:16]


class Hunt:
    """A plugin of pytest that runs the collected tests as mutants need them."""

    def __init__(
        self, mutants: list[Mutant], trees: dict[str, ast.Module], given: argparse.Namespace
    ) -> None:
        self.mutants, self.trees, self.given = mutants, trees, given
        self.out = given.out.resolve()
        self.results: dict[str, str] = {}  # by key: the test that killed it, or ""
        self.failed = False
        self.killers: dict[str, Counter[str]] = {}

    def pytest_collection(self) -> None:
        from hypothesis import HealthCheck, Phase, settings

        settings.register_profile(
            "mutants", derandomize=True, deadline=None, max_examples=40, database=None,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise SystemExit("The tests cannot be collected.")
        self.items = {item.nodeid: item for item in session.items}
        gc.collect()
        gc.freeze()
        self.reach = self.measure()
        self.run()
        return True

    # -- in a child

    def one(self, item: pytest.Item, after: pytest.Item | None, seconds: float) -> bool:
        """Whether a test passes; the process is ended by a signal if it takes too long."""
        self.failed = False
        signal.setitimer(signal.ITIMER_PROF, seconds)  # of the processor, not of the clock
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        signal.setitimer(signal.ITIMER_PROF, 0)
        return not self.failed

    def fork(self, work: Callable[[], str]) -> tuple[int, int]:
        """Start a child that does the work and writes what it returns; its pid and the pipe."""
        read, write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(write)
            return pid, read
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        answer = ""  # what cannot be run is not killed, and will be looked at
        try:
            answer = work()
        finally:
            with os.fdopen(write, "w") as pipe:
                pipe.write(answer)
            os._exit(0)

    # -- which test runs which lines

    def measure(self) -> dict[str, tuple[float, set[tuple[str, int]]]]:
        """Seconds and lines of each test; what is known of test files that are as before stays."""
        sources = digest(*sorted(SOURCE.rglob("*.py")), ROOT / "tests" / "cases.py")
        store, known = self.out / "reach.json", {}
        if store.exists():
            known = json.loads(store.read_text(encoding="utf-8"))
        files = {item.path for item in self.items.values()}
        marks = {str(path): f"{sources} {digest(path)}" for path in files}
        for path, mark in marks.items():
            if known.get(path, {}).get("mark") != mark:
                items = [item for item in self.items.values() if str(item.path) == path]
                pid, pipe = self.fork(lambda items=items: self.trace(items))  # type: ignore[misc]
                with os.fdopen(pipe) as answer:
                    text = answer.read()
                os.waitpid(pid, 0)
                known[path] = {"mark": mark, "tests": json.loads(text)}
                print(f"{len(items):5} tests of {Path(path).name}", flush=True)
        store.write_text(json.dumps(known), encoding="utf-8")
        found: dict[str, tuple[float, set[tuple[str, int]]]] = {}
        for path in marks:
            for name, (seconds, lines) in known[path]["tests"].items():
                if name in self.items:
                    if seconds < 0:
                        print(f"fails without any mutant: {name}")
                        continue
                    found[name] = seconds, {(f, n) for f, ns in lines.items() for n in ns}
        return found

    def trace(self, items: list[pytest.Item]) -> str:
        """Run tests and watch the lines of the files with formulas."""
        names = {str(SOURCE / file): file for file in FILES}
        lines: set[tuple[str, int]] = set()
        local: dict[str, Callable[..., Any]] = {}
        for path, file in names.items():

            def watch(frame: FrameType, event: str, arg: Any, file: str = file) -> Any:
                lines.add((file, frame.f_lineno))
                return local[str(SOURCE / file)]

            local[path] = watch

        def call(frame: FrameType, event: str, arg: Any) -> Any:
            return local.get(frame.f_code.co_filename)

        found = {}
        for item, after in pairs(items):
            lines.clear()
            sys.settrace(call)
            start = time.process_time()
            good = self.one(item, after, 600)
            seconds = time.process_time() - start
            sys.settrace(None)
            by_file: dict[str, list[int]] = {}
            for file, line in lines:
                by_file.setdefault(file, []).append(line)
            found[item.nodeid] = seconds if good else -1, by_file
        return json.dumps(found)

    # -- the mutants

    def candidates(self, mutant: Mutant, seen: Mapping[str, str]) -> list[str]:
        """Tests that run the mutant's lines, but for files that it survived as they are now.

        First come those that killed near it, then the fastest.
        """
        wanted = {(mutant.file, line) for line in mutant.lines if not mutant.constant}
        near = self.killers.setdefault(f"{mutant.file} {mutant.function}", Counter())
        tests = [
            name for name, (_, lines) in self.reach.items()
            if (wanted & lines if wanted else any(file == mutant.file for file, _ in lines))
            and seen.get(name.split("::")[0]) != self.digests[name.split("::")[0]]
        ]  # fmt: skip
        tests.sort(key=lambda name: (-near[name], self.reach[name][0]))
        sums = itertools.accumulate(self.reach[name][0] for name in tests)
        return [name for name, s in zip(tests, sums, strict=True) if s <= self.given.seconds]

    def attempt(self, mutant: Mutant, tests: list[str]) -> str:
        """In a child: the name of the test that notices the mutant, or nothing."""
        memory = 6 << 30
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        try:
            install(mutant, self.trees[mutant.file])
        except Exception:  # an import of it would fail
            return "!did not begin"
        for item, after in pairs([self.items[name] for name in tests]):
            if not self.one(item, after, 10 + 20 * self.reach[item.nodeid][0]):
                return item.nodeid
        return ""

    def run(self) -> None:
        """All mutants, several at a time; what is known already is not run again."""
        store = self.out / ("control.json" if self.given.control else "results.json")
        known: dict[str, Any] = {}
        if store.exists() and not self.given.fresh:
            known = json.loads(store.read_text(encoding="utf-8"))
        sources = {file: digest(SOURCE / file) for file in self.trees}
        cases = ROOT / "tests" / "cases.py"
        names = {name.split("::")[0] for name in self.items}
        self.digests = {name: digest(ROOT / name, cases) for name in names}
        waiting: list[tuple[Mutant, list[str]]] = []
        for mutant in self.mutants:
            mark, result, seen = known.get(mutant.key, ("", "", {}))
            same = mark == sources[mutant.file]
            chosen = [] if same and result else self.candidates(mutant, seen if same else {})
            if same and (result or not chosen):
                self.results[mutant.key] = result
            else:
                waiting.append((mutant, chosen))
        running: dict[int, tuple[Mutant, int]] = {}
        total, done = len(waiting), 0
        waiting.reverse()
        whole = self.given.seconds == math.inf
        while waiting or running:
            while waiting and len(running) < self.given.jobs:
                mutant, chosen = waiting.pop()
                near = self.killers[f"{mutant.file} {mutant.function}"]
                chosen.sort(key=lambda name: -near[name])
                pid, pipe = self.fork(lambda m=mutant, c=chosen: self.attempt(m, c))  # type: ignore[misc]
                running[pid] = mutant, pipe
            pid, status = os.waitpid(-1, 0)
            mutant, pipe = running.pop(pid)
            with os.fdopen(pipe) as answer:
                result = answer.read()
            if status:
                result = "!did not end"
            self.killers[f"{mutant.file} {mutant.function}"][result] += bool(result)
            self.results[mutant.key] = result
            seen = {} if result or not whole else self.digests
            known[mutant.key] = sources[mutant.file], result, seen
            done += 1
            if not result:
                print(f"{done}/{total} survived: {mutant.line} {mutant.key}", flush=True)
            if done % 50 == 0 or not (waiting or running):
                store.write_text(json.dumps(known, indent=0), encoding="utf-8")


def pairs(items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    return itertools.zip_longest(items, items[1:])


# ---- the report ----------------------------------------------------------------------------------


def reasons(text: str) -> dict[str, str]:
    """The key of each explained survivor, with the paragraph above its list."""
    found: dict[str, str] = {}
    for section in text.split("\n## ")[1:]:
        where, *blocks = section.strip().split("\n\n")
        reason = ""
        for block in blocks:
            if block.startswith("- `"):
                found |= {f"{where}: {line[3:-1]}": reason for line in block.split("\n")}
            else:
                reason = block
    return found


def hunt(plugin: Hunt, tests: list[str]) -> dict[str, str]:
    """The test that killed each mutant, by its key; "" for those that survive."""
    plugin.out.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    options = ["-qq", "-s", "-p", "no:cacheprovider", "-o", "addopts=", "--doctest-modules",
               "-m", "not slow"]  # fmt: skip
    code = pytest.main([*options, *tests], plugins=[plugin])
    if len(plugin.results) < len(plugin.mutants):
        raise SystemExit(f"The tests could not be run: {code}.")
    return plugin.results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", default="", help="mutants of files with this in their name")
    parser.add_argument("--sample", type=int, help="so many, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=math.inf, help="of tests for a mutant")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--control", action="store_true", help="change nothing: all must survive")
    parser.add_argument("--list", action="store_true", help="show the mutants and run nothing")
    parser.add_argument("--tests", nargs="*", help="names of test files, as in: losses extremes")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "mutants")
    given = parser.parse_args()
    trees, mutants = mutants_of(SOURCE, FILES)
    mutants = [mutant for mutant in mutants if given.file in mutant.file]
    if given.control:
        mutants = [m.unchanged() for m in {(m.file, m.function): m for m in mutants}.values()]
    if given.sample:
        mutants = random.Random(given.seed).sample(mutants, min(given.sample, len(mutants)))
    if given.list:
        print("\n".join(f"{mutant.line} {mutant.key}" for mutant in mutants))
        return
    tests = [f"tests/test_{name}.py" for name in given.tests or TESTS]
    if not given.tests:
        tests.append("src/chainrule")
    results = hunt(Hunt(mutants, trees, given), tests)
    if given.control:
        killed = {key: test for key, test in results.items() if test}
        sys.exit(f"Fails without a mutant: {killed}" if killed else None)
    whole = not (given.file or given.sample)
    sys.exit(report(mutants, results, whole))


def report(mutants: list[Mutant], results: dict[str, str], whole: bool) -> int:
    """Print the table and what is unexplained; 1 if there is any."""
    known = reasons(REASONS.read_text(encoding="utf-8")) if REASONS.exists() else {}
    alive = {mutant.key for mutant in mutants if not results[mutant.key]}
    print("| file | mutants | killed | explained | unexplained |\n| --- | --- | --- | --- | --- |")
    rows: dict[str, Counter[str]] = {}
    for mutant in mutants:
        kind = ("killed" if mutant.key not in alive else
                "explained" if known.get(mutant.key) else "unexplained")  # fmt: skip
        for name in (mutant.file, "all"):
            rows.setdefault(name, Counter())[kind] += 1
    for name in sorted(rows, key=lambda name: (name == "all", name)):
        row = rows[name]
        print(f"| {name} | {row.total():,} | {row['killed']:,} | {row['explained']} | "
              f"{row['unexplained']} |")  # fmt: skip
    missing = [m for m in mutants if m.key in alive and not known.get(m.key)]
    for m in missing:
        print(f"unexplained: src/chainrule/{m.file}:{m.line}: {m.key}")
    stale = [key for key in known if key not in alive and (whole or key in results)]
    for key in stale:
        print(f"explained, but {'killed' if key in results else 'no mutant any more'}: {key}")
    return bool(missing or stale)


if __name__ == "__main__":
    main()
