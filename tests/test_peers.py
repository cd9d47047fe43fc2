"""The comparison with the peers: its ratios and tables are those computed by hand from the rounds,
and a peer's process has the environment that is promised."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import pytest

PEERS = Path(__file__).parents[1] / "benchmarks" / "peers"
pytestmark = pytest.mark.skipif(not PEERS.exists(), reason="installed without benchmarks/")

CASE = "784-1024-1024-10, batch 256"
STEP = "steps", CASE, 1, False


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(PEERS)


def load(name):
    return importlib.import_module(name)


def row(peer, seconds, kernels="as it comes", comparison="steps", **others):
    found = {"comparison": comparison, "case": CASE, "threads": 1, "busy": False, "check": []}
    found["numpy"] = not peer.startswith(("PyTorch", "JAX"))
    return {**found, "peer": peer, "kernels": kernels, "seconds": seconds, **others}


@pytest.fixture
def data():
    """Three rounds: the times are chosen so that a ratio of medians is another number."""
    return {
        "machine": {
            "processor": "A processor", "cores": 2, "avx512": True, "system": "Linux x86_64",
            "python": "3.11.7", "date": "2026-01-02", "versions": {"numpy": "2.4.6"},
        },
        "rounds": 3,
        "quick": False,
        "kernels": {
            "as it comes": {"set": {}, "chosen": ["Haswell"]},
            "best": {"set": {"OPENBLAS_CORETYPE": "SkylakeX"}, "chosen": ["SkylakeX"]},
        },
        "sizes": {
            "installed_MB": {"chainrule": 60.4}, "wheel_kB": {"whole": 360, "without data": 250.4},
        },
        "missing": [
            {"where": where, "peer": "A peer", "reason": "no wheel"} for where in ("row", "epoch")
        ],
        "times": [
            row("chainrule", [1.0, 2.0, 10.0]),
            row("chainrule", [0.5, 1.0, 5.0], "best"),
            row("products", [0.9, 1.0, 8.0]),
            row("PyTorch, default", [9.0, 9.0, 9.0]),
            row("PyTorch, fused", [3.0, 2.0, 40.0]),
            row("JAX", [0.8, 1.0, 9.9]),
            row("chainrule", [0.004] * 3, comparison="import", case="import", check=[3.25]),
            row("one thread", [3.0, 3.0, 3.0], comparison="workers"),
            row("workers=2", [2.0, 2.0, 1.0], comparison="workers"),
            row("one thread", [3.0, 3.0, 3.0], comparison="workers", busy=True),
            row("workers=2", [4.0, 4.0, 1.0], comparison="workers", busy=True),
        ],
    }  # fmt: skip


def test_a_ratio_is_the_median_of_the_rounds_own(data):
    t = load("timings").Timings(data)
    assert t.ratio((*STEP, "PyTorch, fused", "as it comes")) == 3.0  # of 3, 1, 4
    assert t.ratio((*STEP, "JAX", "as it comes")) == 0.8  # of 0.8, 0.5, 0.99
    assert t.ratio((*STEP, "products", "as it comes")) == 0.8  # of 0.9, 0.5, 0.8
    assert t.ratio((*STEP, "scikit-learn", "as it comes")) is None


def test_a_peer_without_numpys_products_is_the_same_with_any_kernels(data):
    t = load("timings").Timings(data)
    assert t.ratio((*STEP, "JAX", "best")) == 1.6  # of 1.6, 1, 1.98
    assert t.seconds((*STEP, "chainrule", "best")) == 1.0
    del data["times"][1]
    assert load("timings").Timings(data).kernels("steps") == ["as it comes"]


def test_of_a_peers_ways_the_fastest_counts(data):
    t = load("timings").Timings(data)
    assert t.best((*STEP, "PyTorch", "best")) == (*STEP, "PyTorch, fused", "best")
    assert t.best((*STEP, "Keras", "best")) is None
    assert [(key[4:], round(ratio, 2)) for key, ratio in t.verdicts("steps")] == [
        (("PyTorch, fused", "as it comes"), 3.0),
        (("JAX", "as it comes"), 0.8),
        (("PyTorch, fused", "best"), 6.0),
        (("JAX", "best"), 1.6),
    ]


def test_the_report_has_ratios_goals_and_losses(data):
    text = load("report").text(data)
    head = "| network | chainrule | PyTorch (goal 2.0) | scikit-learn (goal 2.5) | JAX (goal 1.0) |"
    assert head in text
    assert f"| {CASE} | 2 s | 3.00 (fused) | missing | **0.80** | 80% (goal 80%) |" in text
    assert f"| {CASE} | 1 s | 6.00 (fused) | missing | 1.60 | missing (goal 80%) |" in text
    assert f"| {CASE} | free | NumPy as it comes | 3 s | **1.50** |" in text
    assert f"| {CASE} | one is busy | NumPy as it comes | 3 s | **0.75** |" in text
    assert "| chainrule | 4 ms | 3.2 | 60 |" in text
    assert "250 kB without" in text
    assert "Of 4 ratios to the peers' fastest ways 1 is below 1:\n\n- JAX, steps" in text
    assert "- A peer: no wheel (row; epoch)" in text
    assert "`OPENBLAS_CORETYPE=SkylakeX`: OpenBLAS runs its kernels for SkylakeX." in text


def test_the_report_replaces_the_one_in_the_readme(data, tmp_path, monkeypatch, capsys):
    report = load("report")
    monkeypatch.setattr(report, "HERE", tmp_path)
    page, file = tmp_path / "README.md", tmp_path / "timings.json"
    page.write_text(f"Before\n{report.BEGIN}old\n{report.END}After\n", encoding="utf-8")
    file.write_text(json.dumps(data), encoding="utf-8")
    for _ in range(2):
        report.make(file, readme=True)
        text = page.read_text(encoding="utf-8")
        made = f"![{report.PICTURE}](timings.png)\n\n{report.text(data)}"
        assert text == f"Before\n{report.BEGIN}\n{made}\n{report.END}After\n"
    assert f"The picture is in {file.with_suffix('.png')}" in capsys.readouterr().out
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_bars_end_at_their_ratios(data):
    from matplotlib import pyplot as plt

    picture, t = load("picture"), load("timings").Timings(data)
    bars = picture.of_steps(t, 1, "as it comes")
    assert bars == {CASE: [("PyTorch", 3.0), ("JAX", 0.8)]}
    _, ax = plt.subplots()
    picture.panel(ax, bars, "title")
    ends = [patch.get_x() + patch.get_width() for patch in ax.patches]
    assert ends == pytest.approx([3.0, 0.8])
    assert ax.get_xscale() == "log"
    low, high = ax.get_xlim()
    assert low < 0.8 < 3 < high


def test_the_users_choices_do_not_reach_a_peers_process(monkeypatch):
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "KERAS_BACKEND"):
        monkeypatch.setenv(name, "mine")
    before = dict(os.environ)
    worker = load("worker")
    process = worker.Worker(worker.Setting(2, (), {"OPENBLAS_CORETYPE": "Haswell"}))
    try:
        names = "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "KERAS_BACKEND", "OMP_NUM_THREADS"
        assert [process.call(os.getenv, name) for name in names] == ["Haswell", None, None, "2"]
    finally:
        process.close()
    assert dict(os.environ) == before


def test_numbers_agree_to_the_tolerance():
    agree = load("measure").agree
    assert agree([1.0, 2.0], [1.0009, 2.0], (1e-3, 0.0))
    assert not agree([1.0, 2.0], [1.0, 2.003], (1e-3, 0.0))
    assert agree([0.97], [0.95], (0.0, 0.03))
    assert agree([1.0, float("nan")], [1.0, 0.9], (0.0, 0.0))
    assert agree([1.0], [1.0, 5.0], (0.0, 0.0))


def test_chainrule_needs_numpy_alone():
    assert load("machine").with_dependencies(["chainrule"]) == {"chainrule", "numpy"}


def test_the_readme_has_the_report_of_the_last_results():
    report = load("report")
    (results,) = (PEERS / "results").glob("*.json")
    made = report.text(json.loads(results.read_text(encoding="utf-8")))
    page = (PEERS / "README.md").read_text(encoding="utf-8")
    assert f"\n\n{made}\n{report.END}" in page
    assert "`numpy` 2" in made  # a name, which is no word for the spelling
