"""The mutation tests themselves: each rule does to a small function what it says, and a seeded
sample of the mutants of the package is noticed by the tests that run its lines."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="installed without benchmarks/")


@pytest.fixture(scope="module")
def rules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        return importlib.import_module("mutation_places")


def mutants(rules, code):
    return rules.mutate(ast.parse(code).body[0], "file.py", "f")


def bodies(rules, line):
    """What becomes of a line that stands in a function."""
    return {m.after for m in mutants(rules, f"def f(a, b):\n    {line}")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("y = a + b", {"y = a - b", "y = a", "y = b", "pass"}),
        ("y = a - b", {"y = a + b", "y = b - a", "y = a", "y = -b", "pass"}),
        ("y = -a", {"y = a", "pass"}),
        ("y += a", {"y -= a", "y = a", "pass"}),
        ("y = a * b", {"y = a / b", "y = a", "y = b", "pass"}),
        ("y = a / b", {"y = a * b", "y = b / a", "y = a", "y = 1 / b", "pass"}),
        ("y = a ** b", {"y = a * b", "y = b ** a", "y = a", "y = b", "pass"}),
        ("y = a @ b", {"y = b @ a", "y = a.T @ b", "y = a @ b.T", "y = a", "y = b", "pass"}),
        ("y = a.T", {"y = a", "pass"}),
        ("y = a.sum(axis=1, keepdims=True)", {
            "y = a.mean(axis=1, keepdims=True)", "y = a.sum(keepdims=True)", "y = a.sum(axis=1)",
            "y = a.sum(axis=2, keepdims=True)", "y = a.sum(axis=1, keepdims=False)", "y = a",
            "pass",
        }),
        ("y = 0.5", {"y = 1.0", "pass"}),
        ("y = 0.0", {"y = 1.0", "pass"}),
        ("y = True", {"y = False", "pass"}),
        ("y = a > b", {"y = a >= b", "y = a <= b", "pass"}),
        ("y = a == b", {"y = a != b", "pass"}),
        ("y = np.maximum(a, b)", {"y = np.minimum(a, b)", "pass"}),
        ("y = np.exp(a)", {"y = np.expm1(a)", "y = a", "pass"}),
        ("y = np.tanh(a)", {"y = a", "pass"}),
        ("y = g(a, b)", {"y = g(b, a)", "pass"}),
        ("y = a and b", {"y = a", "y = b", "y = a or b", "pass"}),
        ("y = a if b else c", {"y = a", "y = c", "pass"}),
        ("return a, b", {"return (b, a)", "pass"}),
        ("np.add(a, b, out=y)", {"np.subtract(a, b, out=y)", "np.add(a, b)", "pass"}),
        ("y = np.add(a, b, out=y)", {"y = np.subtract(a, b, out=y)", "pass"}),
        ("y = a.astype(b, copy=False)", {"y = a", "pass"}),
        ("if need_dx: pass", {"if not need_dx:", "pass"}),
        ("y = g(need_dx)", {"y = g(not need_dx)", "y = need_dx", "pass"}),
    ],
)  # fmt: skip
def test_what_becomes_of_a_line(rules, line, expected):
    assert bodies(rules, line) == expected


def test_defaults_of_arguments_that_are_used_are_mutated_too(rules):
    found = {
        m.after
        for m in mutants(
            rules, "def f(x, axis=0, *, training=False, y=1): return x, axis, training"
        )
    }
    assert found == {
        "def f(x, axis=1, *, training=False, y=1):", "def f(x, axis=0, *, training=True, y=1):",
        "return (axis, x, training)", "return (x, training, axis)",
        "return (x, axis, not training)", "pass",
    }  # fmt: skip


def test_errors_guards_annotations_and_docstrings_are_left_alone(rules):
    code = (
        'def f(x: "a + b") -> "a - b":\n    """a - b"""\n'
        '    if x > 0:\n        raise ValueError(f"{x - 1}")\n    return x'
    )
    assert {m.after for m in mutants(rules, code)} == {"pass"}
    assert mutants(rules, "def f(x):\n    raise TypeError(x + 1)") == []


def test_a_change_is_undone_and_a_mutant_compiles(rules):
    tree = ast.parse("def f(a, b):\n    if a > 1:\n        a -= 2 * b\n    return -a @ b.T")
    before = ast.dump(tree)
    found = rules.mutate(tree.body[0], "file.py", "f")
    assert len({m.key for m in found}) == len(found) > 15
    for mutant in found:
        old = mutant.apply()
        assert ast.dump(tree) != before
        compile(tree, "", "exec")
        mutant.undo(old)
    assert ast.dump(tree) == before


def test_statements_of_the_same_text_are_told_apart(rules):
    found = [m.before for m in mutants(rules, "def f(d, s):\n    d /= s\n    d /= s")]
    assert {"d /= s", "d /= s (2)"} == set(found)


def test_long_statements_are_cut_round_the_change(rules):
    line = "y = [" + ", ".join(f"{i}.5" for i in range(100)) + "]"
    (key,) = (m.key for m in mutants(rules, f"def f():\n    {line}") if m.after.count("101.0"))
    assert len(key) < 200
    assert "49.5, 50.5" in key


def test_formulas_are_found_by_their_calls(rules):
    code = "\n".join([
        "class A:",
        "    def __init__(self): self.n = 1",
        "    def forward(self, x): return helper(x) + self.twice(x)",
        "    def twice(self, x): return 2 * x",
        "    def output_shape(self, s) -> Shape: return unused(s)",
        "    def check_x(self, x): return x",
        "def helper(x): return deeper(x)",
        "def deeper(x): return x",
        "def unused(x): return x",
    ])  # fmt: skip
    assert rules.formulas({"a.py": ast.parse(code)}) == {"forward", "twice", "helper", "deeper"}


def test_a_file_without_formulas_has_no_mutants(rules, tmp_path):
    (tmp_path / "a.py").write_text('"""Nothing."""\n\ndef show(x):\n    return x + 1\n')
    assert rules.mutants_of(tmp_path, ["a.py"])[1] == []


def test_constants_of_modules_and_classes_are_mutated(rules, tmp_path):
    (tmp_path / "a.py").write_text("K = 3.5\n\nclass A:\n    flag: bool = True\n    name = 'a'\n")
    keys = {m.key for m in rules.mutants_of(tmp_path, ["a.py"])[1]}
    assert keys == {"a.py, module: K = 3.5 -> K = 7.0",
                    "a.py, A: flag: bool = True -> flag: bool = False"}  # fmt: skip


# ---- the reasons ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hunt():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        return importlib.import_module("mutants")


@forks
def test_a_reason_belongs_to_the_lines_below_it(hunt):
    text = (
        "# Title\n\nSome words.\n\n## a.py, f\n\nOne reason,\non two lines.\n\n- `a -> b`\n"
        "- `c -> d`\n\nAnother.\n\n- `e -> f`\n\n## a.py, g\n\n- `a -> b`\n"
    )
    one = "One reason,\non two lines."
    assert hunt.reasons(text) == {
        "a.py, f: a -> b": one,
        "a.py, f: c -> d": one,
        "a.py, f: e -> f": "Another.",
        "a.py, g: a -> b": "",
    }


@forks
@pytest.mark.parametrize(("page", "alive", "code", "told"), [
    ("", [], 0, "| all | 2 | 2 | 0 | 0 |"),
    ("", ["a -> b"], 1, "unexplained: src/chainrule/a.py:2: a.py, f: return a -> return b"),
    ("why", ["a -> b"], 0, "| all | 2 | 1 | 1 | 0 |"),
    ("why", [], 1, "explained, but killed: a.py, f: return a -> return b"),
    ("old", [], 1, "explained, but no mutant any more: a.py, f: return a -> return z"),
])  # fmt: skip
def test_the_report_fails_for_what_is_unexplained_or_stale(
    hunt, rules, monkeypatch, tmp_path, capsys, page, alive, code, told
):
    pages = {"": "", "why": "## a.py, f\n\nEqual.\n\n- `return a -> return b`\n",
             "old": "## a.py, f\n\nEqual.\n\n- `return a -> return z`\n"}  # fmt: skip
    (tmp_path / "reasons.md").write_text("# Title\n\n" + pages[page])
    monkeypatch.setattr(hunt, "REASONS", tmp_path / "reasons.md")
    one, two = mutants(rules, "def f(a, b):\n    return a + b")[1:3]
    for mutant, after in [(one, "b"), (two, "c")]:
        mutant.file, mutant.before, mutant.after = "a.py", "return a", f"return {after}"
    results = {one.key: "" if alive else "a test", two.key: "a test"}
    assert hunt.report([one, two], results, whole=True) == code
    assert told in capsys.readouterr().out


@pytest.mark.slow
@forks
def test_every_reason_belongs_to_a_mutant_that_there_is(hunt):
    keys = {mutant.key for mutant in hunt.mutants_of(hunt.SOURCE, hunt.FILES)[1]}
    known = hunt.reasons(hunt.REASONS.read_text(encoding="utf-8"))
    assert known.keys() - keys == set()
    assert all(known.values())
    assert len(keys) > 3000


# ---- the hunt ------------------------------------------------------------------------------------


def run(*options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "mutants.py"), "--fresh", *options],
        capture_output=True, text=True, timeout=300, env=environment, check=False,
    )  # fmt: skip


@pytest.mark.slow
@forks
def test_a_sample_of_the_mutants_of_a_file_is_killed(tmp_path):
    done = run("--file", "losses/regression", "--sample", "25", "--tests", "losses", "extremes",
               "--out", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all | 25 | 25 | 0 | 0 |" in done.stdout


@pytest.mark.slow
@forks
def test_a_mutant_that_no_test_reaches_is_told(tmp_path):
    done = run("--file", "losses/regression", "--sample", "2", "--tests", "initializers",
               "--out", str(tmp_path))  # fmt: skip
    assert done.returncode == 1
    assert "| all | 2 | 0 | 0 | 2 |" in done.stdout
    assert done.stdout.count("unexplained: src/chainrule/losses/regression.py:") == 2


@pytest.mark.slow
@forks
def test_a_function_that_is_replaced_by_itself_is_not_noticed(tmp_path):
    """Methods, properties, caches, defaults and constants, put back as they were."""
    for file in ("optimizers/adam.py", "losses/regression"):
        done = run("--control", "--file", file, "--tests", "losses", "optimizers",
                   "--out", str(tmp_path), "--seconds", "0.3")  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "survived" in done.stdout
