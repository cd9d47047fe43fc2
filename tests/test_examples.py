"""Every example runs as a user runs it, in a folder of its own, and reaches its figure. Each is run
a second time with the library broken on purpose, and must then end with an error."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = {path.stem: path for path in sorted(EXAMPLES.glob("[!_]*.py"))}
EACH = pytest.mark.parametrize("name", SCRIPTS)

# What makes a network that learns nothing, and what makes formulas wrong.
NO_STEPS = "from chainrule.optimizers.base import Optimizer; Optimizer.step = lambda *a, **k: None"
NO_BIAS = (
    "from chainrule import Dense; right = Dense.forward\n"
    "def forward(self, x, training=False):\n"
    "    y, cache = right(self, x); return y - self.b, cache\n"
    "Dense.forward = forward"
)
SLOPE_ONE = (
    "from chainrule.layers.activations import Activation\n"
    "Activation.backward = lambda self, dy, cache, out=None, need_dx=True: (1.0 * dy, {})"
)
NO_LOGARITHM = (
    "from chainrule import BinaryCrossEntropy; right = BinaryCrossEntropy.formula\n"
    "BinaryCrossEntropy.formula = lambda *a: (2.718 ** -right(*a)[0], right(*a)[1])"
)

# A figure that each prints, from where to where it may be, and how the gate is shown to work.
CASES = {
    "01_features": (r"pixels.*?([\d.]+)%", 93, 100, NO_STEPS),
    "02_why_now": (r"1437 training digits: ([\d.]+)%", 93, 100, NO_STEPS),
    "03_perceptron": (r"(0\.00247)", 0.002465, 0.002475, NO_BIAS),
    "04_activations": (r"Largest disagreement: ([\d.e-]+)", 0, 1e-6, SLOPE_ONE),
    "05_neuron_in_the_plane": (r"z = .*= (-?\d+), y = 0.00247", -6, -6, NO_BIAS),
    "06_dense": (r"at \[-1, 2\]: +\[([\d.]+) ", 0.002465, 0.002475, NO_BIAS),
    "08_hidden_layer": (r"with one ([\d.]+)%", 99, 100, NO_STEPS),
    "09_why_nonlinearity": (r"([\d.]+)% with ReLU", 95, 100, NO_STEPS),
    "10_deep_network": (r"hidden layers 2, .*?: ([\d.]+)%", 80, 100, NO_STEPS),
    "11_will_i_pass": (r"\[4, 5\] passes with ([\d.]+);", 0.9, 1, NO_STEPS),
    "13_losses": (r"(1\.474283)", 1.474283, 1.474283, NO_LOGARITHM),
    "16_gradient_descent": (r"J = ([\d.]+)", 0, 0.02, SLOPE_ONE),
    "18_chain_rule": (r"worst relative error ([\d.e-]+)", 0, 1e-6, SLOPE_ONE),
    "19_initialization": (r"He, .*\n.*loss after 8 epochs: ([\d.]+)", 0, 0.5, NO_STEPS),
    "19_loss_landscape": (r"skip connections.*\n.*digits: ([\d.]+)", 0, 0.5, NO_STEPS),
    "20_learning_rate": (r"rate 0.1 +([\d.]+)", 0, 0.1, NO_STEPS),
    "21_optimizers": (r"Adam +after 10 epochs +([\d.]+)", 0, 1.2, NO_STEPS),
    "22_batches": (r"to the power of (-[\d.]+)", -1.15, -0.85, NO_STEPS),
    "23_overfitting": (r"2 × 128.*unseen ([\d.]+)", 0.09, 1, NO_STEPS),
    "24_dropout": (r"with dropout +test loss ([\d.]+)", 0.1, 0.6, NO_STEPS),
    "25_early_stopping": (r"has risen by (\d+)%", 10, 100, NO_STEPS),
    "csv_classifier": (r"Test accuracy ([\d.]+)%", 80, 100, NO_STEPS),
    "digits": (r"mean of 1 seed: ([\d.]+)%", 95, 100, NO_STEPS),
    "own_layer": (r"agree.*?([\d.e-]+)$", 0, 1e-6, NO_STEPS),
}


def run(script, *arguments, folder):
    command = [sys.executable, "-W", "error", str(script), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_every_script_has_a_case():
    assert set(SCRIPTS) == set(CASES)


@EACH
def test_opens_with_a_sentence_and_is_short(name):
    text = SCRIPTS[name].read_text(encoding="utf-8")
    first = ast.get_docstring(ast.parse(text)).split("\n")[0]
    assert first.endswith(".")
    assert len(first) <= 90
    assert text.count("\n") <= 125
    if name[0].isdigit():
        assert re.search(r"Points? [\d, and]+ of the lecture", text)


@EACH
def test_help_names_the_four_options(name, tmp_path):
    text = run(SCRIPTS[name], "--help", folder=tmp_path).stdout
    assert all(option in text for option in ("--help", "--seed", "--quick", "--out"))


@EACH
def test_imports_the_public_package_alone(name):
    for node in ast.walk(ast.parse(SCRIPTS[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("chainrule"):
            assert node.module in ("chainrule", "chainrule.examples")


@pytest.mark.slow
@EACH
def test_reaches_its_figure_and_saves_its_picture(name, tmp_path):
    done = run(SCRIPTS[name], "--quick", "--out", "here", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    pattern, low, high, _ = CASES[name]
    figure = re.search(pattern, done.stdout, re.M)
    assert figure, done.stdout
    assert low <= float(figure[1]) <= high
    assert (tmp_path / "here" / f"{name}.png").stat().st_size > 5000


@pytest.mark.slow
@EACH
def test_misses_its_figure_when_the_library_is_wrong(name, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text(
        f"import runpy, sys\n{CASES[name][3]}\nsys.argv[0] = {str(SCRIPTS[name])!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = run(broken, "--quick", "--out", "here", folder=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]  # the gate's own sentence
    assert last.endswith(".")
    assert "Traceback" not in done.stderr or last.startswith("chainrule.errors.GradientError")


@pytest.mark.slow
def test_without_matplotlib_an_example_says_what_to_install(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    code = f"import runpy; runpy.run_path({str(SCRIPTS['03_perceptron'])!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "No picture: " in done.stdout
    assert "pip install 'chainrule[plots]'" in done.stdout


# ---- what single ones promise ------------------------------------------------------------------


@pytest.mark.slow
def test_digits_reach_97_percent_over_five_seeds(tmp_path):
    done = run(SCRIPTS["digits"], folder=tmp_path)
    assert float(re.search(r"mean of 5 seeds: ([\d.]+)%", done.stdout)[1]) >= 97
    assert "epoch  1/60" in done.stderr
    assert "taken for" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "7"])
def test_will_i_pass_is_wrong_at_first_and_right_at_last(seed, tmp_path):
    text = run(SCRIPTS["11_will_i_pass"], "--quick", "--seed", seed, folder=tmp_path).stdout
    untrained = [float(answer) for answer in re.findall(r"\b0\.\d\d\b", text.splitlines()[1])]
    assert len(untrained) == 20
    assert min(untrained) < 0.3 < 0.7 < max(untrained)
    assert float(re.search(r"\[4, 5\] passes with ([\d.]+);", text)[1]) > 0.9


@pytest.mark.slow
def test_own_layer_is_checked_and_its_wrong_twin_refused(tmp_path):
    text = run(SCRIPTS["own_layer"], "--quick", "--out", "here", folder=tmp_path).stdout
    assert "Sine: the gradients agree" in text
    assert "Wrong: Wrong(3): dL/dx" in text
    assert (tmp_path / "here" / "own_layer.npz").exists()


@pytest.mark.slow
def test_a_rate_that_is_too_large_ends_with_a_plain_message(tmp_path):
    done = run(SCRIPTS["20_learning_rate"], "--quick", folder=tmp_path)  # warnings are errors
    assert "DivergenceError: Training stopped in epoch" in done.stdout
    assert "try a smaller learning rate" in done.stdout
    assert done.stderr == ""


# ---- the command line --------------------------------------------------------------------------


def command_line(*arguments, folder):
    command = [sys.executable, "-W", "error", "-m", "chainrule", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_command_line_lists_each_with_its_sentence(tmp_path):
    lines = command_line("examples", folder=tmp_path).stdout.splitlines()
    for line, (name, path) in zip(lines, SCRIPTS.items(), strict=False):
        first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split("\n")[0]
        assert line.split(maxsplit=1) == [name, first]


@pytest.mark.parametrize("name", ["03_perceptron", "03_perceptron.py", "perceptron", "03", "3"])
def test_the_command_line_runs_one_by_name_words_or_number(name, tmp_path):
    done = command_line("examples", name, "--quick", "--out", "there", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0.00247" in done.stdout
    assert (tmp_path / "there" / "03_perceptron.png").exists()


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["examples", "perceptrom"], "'perceptrom' is none of the examples"),
        (["examples", "19"], "'19' stands for 19_initialization and 19_loss_landscape"),
        (["examples", "__init__"], "is none of the examples"),
        (["examples", "--quick", "3"], "options of an example come after its name"),
        (["examples", "3", "--seed", "-1"], "expected an integer from 0 on, got '-1'"),
        (["exmaples"], "invalid choice"),
        ([], "required"),
    ],
)
def test_the_command_line_refuses(arguments, piece, tmp_path):
    done = command_line(*arguments, folder=tmp_path)
    assert done.returncode != 0
    assert piece in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("point", range(1, 26))
def test_the_command_line_knows_every_point(point, tmp_path):
    done = command_line("examples", str(point), "--help", folder=tmp_path)
    if point == 19:  # two scripts
        assert "stands for" in done.stderr
    else:
        assert "usage" in done.stdout


def test_a_terminal_without_greek_letters_is_no_error(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "chainrule", "examples", "18"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "?J/?w1" in done.stdout
