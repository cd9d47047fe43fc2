"""The scripts that repeat published figures: each runs in short and reaches a lower figure, and the
page of figures names each. What was converted from a source's formulas is checked against them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr

ROOT = Path(__file__).parent.parent
SCRIPTS = {path.stem: path for path in sorted(ROOT.glob("examples/published/*.py"))}
EACH = pytest.mark.parametrize("name", SCRIPTS)
MNIST = pytest.mark.skipif(not os.environ.get("CHAINRULE_DATA"), reason="CHAINRULE_DATA is not set")

# What was published, as the script and the page tell it.
PUBLISHED = {
    "course_lab": ["about 97 %"],
    "keras_mnist_mlp": ["98.40 %"],
    "kingma_2015": ["Adam shows better convergence than other methods"],
    "nielsen_chapter1": ["95.42 %", "96.59 %"],
    "nielsen_chapter3": ["98.04 %"],
    "srivastava_2014": ["1.60 %", "1.25 %", "1.06 %"],
}

# A figure that each prints with --quick, and from where to where it may be.
QUICK = {
    "course_lab": (r"training data ([\d.]+) %", 93, 97),
    "keras_mnist_mlp": (r"last epoch ([\d.]+) %", 94, 98),
    "kingma_2015": (r"Adam .*seeds: ([\d.]+)", 0.2, 0.5),
    "nielsen_chapter1": (r"runs above 90 %: mean ([\d.]+) %", 91, 95),
    "nielsen_chapter3": (r"best epoch ([\d.]+) %", 93.5, 97),
    "srivastava_2014": (r"without dropout +([\d.]+) %", 3, 8),
}


def run(code_or_script, *arguments, folder):
    command = [sys.executable, "-W", "error", *code_or_script, *arguments]
    settings = os.environ | {"MPLBACKEND": "agg", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)


def load(name):
    """A script as a module: its functions, without its run."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_script_has_its_figures():
    assert set(SCRIPTS) == set(PUBLISHED) == set(QUICK)


@EACH
def test_script_and_page_tell_what_was_published(name):
    script = " ".join(SCRIPTS[name].read_text(encoding="utf-8").split())
    page = " ".join((ROOT / "docs" / "figures.md").read_text(encoding="utf-8").split())
    assert f"examples/published/{name}.py" in page
    assert re.search(r"Source: .+https?://", script)
    for figure in PUBLISHED[name]:
        assert figure in script[script.index("Published: ") :]
        assert figure in page


@EACH
def test_is_short_and_imports_the_public_package_alone(name):
    text = SCRIPTS[name].read_text(encoding="utf-8")
    assert text.count("\n") <= 125
    assert set(re.findall(r"^from (chainrule[\w.]*)", text, re.M)) == {
        "chainrule",
        "chainrule.examples",
    }


@MNIST
@pytest.mark.slow
@EACH
def test_reaches_its_figure_in_short(name, tmp_path):
    done = run([SCRIPTS[name]], "--quick", "--out", "here", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    pattern, low, high = QUICK[name]
    figure = re.search(pattern, done.stdout)
    assert figure, done.stdout
    assert low <= float(figure[1]) <= high
    assert (tmp_path / "here" / f"{name}.png").stat().st_size > 5000


@MNIST
@pytest.mark.slow
@pytest.mark.parametrize("name", ["course_lab", "keras_mnist_mlp", "nielsen_chapter3"])
def test_misses_its_figure_when_nothing_is_learned(name, tmp_path):
    code = (
        "import runpy, sys; from chainrule.optimizers.base import Optimizer\n"
        "Optimizer.step = lambda *a, **k: None\n"
        f"sys.argv[0] = {str(SCRIPTS[name])!r}\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = run(["-c", code], "--quick", folder=tmp_path)
    assert done.returncode == 1
    assert "Right formulas" in done.stderr


# ---- Nielsen's formulas, as his programs write them --------------------------------------------


def logistic(z):
    return 1 / (1 + np.exp(-z))


def his_steps(model, batches, delta, shrink):
    """His update of weights and biases with eta 3.0 or 0.1, in float64; delta is his dC/dz."""
    p = {name: array.astype(float) for name, array in model.named_parameters().items()}
    for x, t, eta in batches:
        a1 = logistic(x @ p["0.W"] + p["0.b"])
        a2 = logistic(a1 @ p["2.W"] + p["2.b"])
        d2 = delta(a2, t)
        d1 = (d2 @ p["2.W"].T) * a1 * (1 - a1)
        for layer, before, d in (("2", a1, d2), ("0", x, d1)):
            p[f"{layer}.W"] = shrink * p[f"{layer}.W"] - eta / len(x) * before.T @ d
            p[f"{layer}.b"] = p[f"{layer}.b"] - eta / len(x) * d.sum(axis=0)
    return p


def some_batches(eta):
    rng = np.random.default_rng(1)
    for _ in range(5):
        yield rng.random((10, 784)), np.eye(10)[rng.integers(10, size=10)], eta


def assert_same(model, his):
    for name, array in model.named_parameters().items():
        np.testing.assert_allclose(array, his[name], rtol=1e-3, atol=2e-5, err_msg=name)


def test_chapter_1_makes_the_steps_of_his_program():
    script = load("nielsen_chapter1")
    model = script.network(30, seed=0)
    his = his_steps(model, some_batches(3.0), lambda a, t: (a - t) * a * (1 - a), shrink=1)
    for x, t, _ in some_batches(3.0):
        model.train_on_batch(x, t, loss=cr.MeanSquaredError(), optimizer=cr.SGD(script.RATE))
    assert_same(model, his)


def test_chapter_3_makes_the_steps_of_his_program():
    script = load("nielsen_chapter3")
    model = script.network(cr.initializers.lecun_normal, seed=0)
    his = his_steps(model, some_batches(0.1), lambda a, t: a - t, shrink=1 - 0.1 * 5.0 / 50_000)
    optimizer = cr.SGD(script.RATE, weight_decay=script.DECAY)
    for x, t, _ in some_batches(0.1):
        model.train_on_batch(
            x, t, loss=cr.BinaryCrossEntropy(), optimizer=optimizer, decay="weights"
        )
    assert_same(model, his)
