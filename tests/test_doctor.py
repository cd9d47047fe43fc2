"""The doctor recommends only what is right and clearly faster, and `run` starts a script as Python
would. No times are asserted here: the choice is made from numbers that the tests make up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from chainrule import __main__ as command_line
from chainrule.blas import doctor, kernels, launcher, products
from chainrule.blas.kernels import CORETYPE, Kernels
from chainrule.threads import VARIABLES

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Nothing set, and a cache folder of its own."""
    for name in (CORETYPE, *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", str(tmp_path))


def kernel(asked, *factors, core=None, wrong=(), fault=""):
    """Kernels with made-up rates: in round r those of 100, 10 and 1 times a factor."""
    rates = [[100 * f, 10 * f, 1 * f] for f in factors]
    return Kernels(asked, core or asked, fault, wrong=list(wrong), rates=rates)


OWN = kernel(None, 1, 1, 1, core="Haswell")
FAST = kernel("SkylakeX", 1.9, 2.0, 40.0)  # a neighbour was busy in one round


# ---- products: what a child computes -------------------------------------------------------------


def test_numpy_s_own_products_are_right():
    assert products.check() == []


def last_term_missing(a, b):
    return np.matmul(a[..., :-1], b[:-1])


def last_row_is_nan(a, b):
    y = np.asarray(np.matmul(a, b)).copy()
    y[-1:] = np.nan
    return y


def half_precision(a, b):
    return np.matmul(a.astype(np.float16), b.astype(np.float16))


def wrong_only_beyond_64_columns(a, b):
    y = np.matmul(a, b)
    if y.ndim == 2 and y.shape[1] > 64:
        y[:, 64:] = np.roll(y[:, 64:], 1, axis=1)
    return y


@pytest.mark.parametrize("wrong", [last_term_missing, half_precision])
def test_the_check_finds_wrong_products(wrong):
    names = [name for name, _, _ in products.operands()]
    found = products.check(wrong)
    assert set(found) <= set(names)
    assert len(found) > 0.9 * len(names)


def test_the_check_finds_what_is_wrong_in_few_sizes():
    found = products.check(wrong_only_beyond_64_columns)
    assert "x @ x.T of 165x55 in float64" in found
    assert "3x5x7 in float32" not in found


def test_the_check_finds_nan():
    x = np.ones((3, 3), np.float32)
    assert products.is_right(np.matmul, x, x)
    assert not products.is_right(last_row_is_nan, x, x)


def test_the_tolerance_is_that_of_the_theorem():
    """1 + n e with e = u summed from the left rounds to 1 each time: an error of n u, allowed."""
    n, u = 255, np.float32(2**-24)
    a, b = np.ones((1, n + 1), np.float32), np.full((n + 1, 1), u)
    b[0] = 1

    def from_the_left(a, b):
        return np.cumsum(a[0] * b[:, 0], dtype=np.float32)[-1:]

    assert from_the_left(a, b) == 1  # exact: 1 + 255 u
    assert products.is_right(from_the_left, a, b)
    assert not products.is_right(lambda a, b: from_the_left(a, b) - 2 * n * u, a, b)


def test_every_layout_and_both_dtypes_are_tried():
    pairs = list(products.operands())
    assert len({name for name, _, _ in pairs}) == len(pairs) > 90
    assert {a.dtype.name for _, a, _ in pairs} == {"float32", "float64"}
    assert any(a.flags.f_contiguous and not a.flags.c_contiguous for _, a, _ in pairs)
    assert any(not a.flags.forc for _, a, _ in pairs)
    assert any(a.ndim == b.ndim == 1 for _, a, b in pairs)
    assert any(a.base is b or a.T is b or np.shares_memory(a, b) for _, a, b in pairs)


def test_rates_are_one_for_each_size(monkeypatch):
    monkeypatch.setattr(products, "TRAINING_SIZES", ((2, 3, 4), (5, 6, 7)))
    ticks = iter(np.cumsum([0, 1, 0, 4, 0, 3] * 2))  # three products of 1, 4 and 3 seconds
    monkeypatch.setattr(products.time, "perf_counter", lambda: next(ticks))
    assert products.rates(max, seconds=0) == pytest.approx([2e-9 * 24 / 4, 2e-9 * 210 / 4])


# ---- a child -------------------------------------------------------------------------------------


def python(code):
    return [sys.executable, "-c", code]


@POSIX
def test_a_child_that_dies_of_an_illegal_instruction_is_told():
    code = f"import os; os.kill(os.getpid(), {int(signal.SIGILL)})"
    answer = kernels.ask("check", {}, python(code))
    assert answer.fault == "does not run here: illegal instruction"
    code = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    assert "SIGSEGV" in kernels.ask("check", {}, python(code)).fault


def test_windows_tells_of_an_illegal_instruction_by_its_status():
    for status in (0xC000001D, 0xC000001D - 2**32):
        assert kernels._death(status, "") == "does not run here: illegal instruction"


def test_what_else_may_become_of_a_child():
    assert kernels.ask("check", {}, python("raise SystemExit('no room')")).fault == (
        "ended with status 1: no room"
    )
    assert (
        "took more than 0.2 s"
        in kernels.ask("check", {}, python("import time; time.sleep(60)"), timeout=0.2).fault
    )
    assert "could not be started" in kernels.ask("check", {}, ["/no/such/python"]).fault
    assert kernels.ask("check", {}, python("print('{}')")).fault == "answered '{}\\n'"
    assert kernels.ask("check", {}, python("print('NaN?')")).fault.startswith("answered")


def test_a_child_gets_its_variables_and_tells_its_core(monkeypatch):
    monkeypatch.setenv("CHAINRULE_GONE", "1")
    code = (
        "import json, os, sys; print('Core: Zen', file=sys.stderr)\n"
        "names = 'CHAINRULE_NEW', 'CHAINRULE_GONE', 'OPENBLAS_VERBOSE'\n"
        "print(json.dumps([sys.argv[1], *map(os.environ.get, names)]))"
    )
    answer = kernels.ask("rates", {"CHAINRULE_NEW": "2", "CHAINRULE_GONE": None}, python(code))
    assert answer == (["rates", "2", None, "2"], "Zen", "")
    assert "CHAINRULE_NEW" not in os.environ
    assert os.environ["CHAINRULE_GONE"] == "1"


# An OpenBLAS of four names: two of them the same, one wrong, one that dies.
FAKE = """
import json, os, signal, sys
asked = os.environ.get("OPENBLAS_CORETYPE")
core = {None: "Haswell", "Zen": "Haswell", "A64FX": None}.get(asked, asked)
print(f"Core: {core}" if core else "Core not found: A64FX", file=sys.stderr)
if asked == "SkylakeX":
    os.kill(os.getpid(), signal.SIGILL)
if sys.argv[1] == "check":
    print(json.dumps(["x.T @ x"] if asked == "Nehalem" else []))
else:
    assert {os.environ[n] for n in %r} == {"1"}
    print(json.dumps([2.0, 4.0, 8.0] if asked is None else [1.0, 1.0, 1.0]))
"""


@POSIX
def test_measure_checks_and_times_each_set_once():
    names = ["Zen", "SkylakeX", "Nehalem", "A64FX", "Prescott"]
    found = kernels.measure(names, rounds=2, child=python(FAKE % (VARIABLES,)))
    own, crashed, wrong, unknown, slow = found
    assert (own.asked, own.core, own.also, own.sound) == (None, "Haswell", ["Zen"], True)
    assert own.rates == [[2.0, 4.0, 8.0]] * 2
    assert (crashed.asked, crashed.fault) == ("SkylakeX", "does not run here: illegal instruction")
    assert (wrong.wrong, wrong.sound) == (["x.T @ x"], False)
    assert (unknown.fault, unknown.rates) == (kernels.UNKNOWN, [])
    assert kernels.speed(slow, own) == pytest.approx(1 / 4)  # (1/2 * 1/4 * 1/8) ** (1/3)
    assert kernels.choose(found) is own


def test_a_blas_that_does_not_choose_is_measured_once():
    code = "import json; print(json.dumps([]))"
    found = kernels.measure(["Haswell"], rounds=1, child=python(code))
    assert [(k.asked, k.core, k.fault) for k in found] == [(None, None, "")]


def test_this_machine_s_kernels_are_known_and_right(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # the machine may be busy
    (own,) = kernels.measure([], rounds=1)
    assert own.sound
    assert len(own.rates[0]) == len(products.TRAINING_SIZES)
    loaded = kernels.build()["Build Dependencies"]["blas"]
    if "DYNAMIC_ARCH" in loaded.get("openblas configuration", ""):
        pytest.importorskip("threadpoolctl")
        code = "import json, numpy, threadpoolctl as t; print(json.dumps(t.threadpool_info()))"
        info = kernels.ask("", {CORETYPE: None}, python(code)).value
        assert own.core == info[0]["architecture"]


# ---- candidates ----------------------------------------------------------------------------------


def test_avx512_kernels_are_tried_only_where_the_processor_has_it():
    older = {"baseline": ["SSE", "SSE2", "SSE3"], "found": ["SSSE3", "SSE42", "AVX2", "AVX512F"]}
    assert kernels.candidates("x86_64", older) == [
        "Prescott", "Nehalem", "Sandybridge", "Haswell", "Zen",
    ]  # fmt: skip
    older["found"].append("AVX512_SKX")
    assert kernels.candidates("AMD64", older)[-1] == "SkylakeX"
    newer = {"baseline": ["X86_V2"], "found": ["X86_V3", "X86_V4"]}
    assert kernels.candidates("x86_64", newer)[-1] == "SkylakeX"
    assert kernels.candidates("x86_64", {}) == ["Prescott"]


def test_candidates_of_other_architectures():
    assert "NEOVERSEN1" in kernels.candidates("aarch64", {"baseline": ["NEON"], "found": []})
    assert "NEOVERSEV1" not in kernels.candidates("arm64", {"baseline": ["NEON"], "found": []})
    assert "NEOVERSEV1" in kernels.candidates("aarch64", {"found": ["SVE"]})
    assert kernels.candidates("ppc64le", {"found": ["VSX4"]}) == []


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="there is no /proc/cpuinfo")
def test_the_candidates_agree_with_what_linux_says():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = set(re.search(r"^(?:flags|Features)\s*: (.*)$", file.read(), re.M)[1].split())
    wanted = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
    assert ("SkylakeX" in kernels.candidates_here()) == (wanted <= flags)
    assert ("Haswell" in kernels.candidates_here()) == ({"avx2", "fma"} <= flags)


# ---- the choice ----------------------------------------------------------------------------------


def test_speed_is_the_median_of_the_rounds():
    assert kernels.speed(FAST, OWN) == pytest.approx(2.0)
    assert np.isnan(kernels.speed(kernel("Zen", fault="took more than 60 seconds"), OWN))


def test_the_fastest_is_chosen_and_said(monkeypatch):
    found = [OWN, kernel("Nehalem", 0.3, 0.3, 0.3), FAST]
    assert kernels.choose(found) is FAST
    assert doctor.variables_to_set(found) == {CORETYPE: "SkylakeX"}
    assert doctor.verdict(found) == (
        "Set OPENBLAS_CORETYPE=SkylakeX before Python starts: products 2.0 times as fast.\n"
        "`python -m chainrule run SCRIPT` does it for you."
    )


def test_faster_but_wrong_is_not_chosen():
    wrong = kernel("SkylakeX", 2, 2, 2, wrong=["3x5x7 in float32", "x.T @ x"])
    found = [OWN, wrong]
    assert kernels.choose(found) is OWN
    assert doctor.variables_to_set(found) == {}
    assert "SkylakeX computes wrong products; do not use it." in doctor.verdict(found)
    assert "There is nothing to gain" in doctor.verdict(found)
    row = doctor.table(found).splitlines()[-1]
    assert row.split() == ["SkylakeX", "2.00", "WRONG", "RESULTS:", "3x5x7", "in", "float32,",
                           "x.T", "@", "x;", "2", "in", "all"]  # fmt: skip


def test_a_gain_of_3_percent_is_noise_and_said_to_be():
    found = [OWN, kernel("Zen", 1.03, 1.03, 1.03)]
    assert kernels.choose(found) is OWN
    assert doctor.variables_to_set(found) == {}
    told = " ".join(doctor.verdict(found).split())
    assert told == ("There is nothing to gain: that Zen seems 3% faster than Haswell is noise.")


def test_a_gain_in_disturbed_rounds_alone_is_noise():
    own = kernel(None, 0.5, 1, 0.5, 0.5, 1, core="Haswell")  # somebody else was busy
    zen = kernel("Zen", 1, 1, 1, 0.6, 1)
    assert kernels.speed(zen, own) == pytest.approx(1.2)  # the median of 2, 1, 2, 1.2 and 1
    assert kernels.choose([own, zen]) is own
    assert doctor.variables_to_set([own, zen]) == {}


def test_what_crashes_is_a_row_and_no_more():
    found = [OWN, kernel("SkylakeX", fault="does not run here: illegal instruction")]
    assert kernels.choose(found) is OWN
    assert "SkylakeX          -  does not run here: illegal instruction" in doctor.table(found)
    assert "SkylakeX" not in doctor.verdict(found)


def test_own_kernels_that_are_wrong_are_left_for_right_ones_though_slower():
    own = kernel(None, 1, 1, 1, core="SkylakeX", wrong=["x.T @ x"])
    slow = kernel("Haswell", 0.5, 0.5, 0.5)
    assert kernels.choose([own, slow]) is slow
    told = " ".join(doctor.verdict([own, slow]).split())
    assert told.startswith(
        "SkylakeX computes wrong products; do not use it. Set OPENBLAS_CORETYPE=Haswell before "
        "Python starts: products that are right."
    )
    own.fault = "does not run here: killed by SIGSEGV"
    assert kernels.choose([own, slow]) is slow
    assert doctor.variables_to_set([own, slow]) == {CORETYPE: "Haswell"}


def test_none_that_is_right():
    own = kernel(None, fault="took more than 60 seconds")
    assert kernels.choose([own]) is None
    assert doctor.variables_to_set([own]) == {}
    assert "No kernels compute right here: took more than 60 seconds." in doctor.verdict([own])
    kernels.remember([own])
    assert kernels.recall() == (False, None)


def test_another_blas_is_described_and_left_alone(monkeypatch):
    monkeypatch.setattr(doctor, "build", lambda: {"Build Dependencies": {"blas": {
        "name": "accelerate", "version": "unknown"}}})  # fmt: skip
    found = [Kernels(None, None, rates=[[1.0, 1.0, 1.0]])]
    assert "There are no kernels to choose: NumPy's BLAS here (accelerate unknown)" in (
        doctor.verdict(found)
    )
    assert doctor.variables_to_set(found) == {}
    assert "what NumPy has" in doctor.table(found)


SET = [  # what the user has set, and what the doctor says of it
    ("haswell", "Without it NumPy takes SkylakeX: products 2.0 times as fast."),
    ("Nehalem", "Without it NumPy takes SkylakeX: products 4.0 times as fast."),
    ("SkylakeX", "There is nothing to gain: SkylakeX is the fastest here."),
    ("Core2", "OpenBLAS takes SkylakeX with it, as without it. There is nothing to gain"),
    ("Foo", "OpenBLAS takes SkylakeX with it, as without it. There is nothing to gain"),
    ("Zen", "A process with it does not run here: x. Without it NumPy takes SkylakeX"),
]


@pytest.mark.parametrize(("value", "told"), SET)
def test_what_the_user_has_set_is_left_alone(value, told, monkeypatch):
    monkeypatch.setenv(CORETYPE, value)
    own = kernel(None, 1, 1, 1, core="SkylakeX")
    own.also = ["Core2"]
    found = [own, kernel("Haswell", 0.5, 0.5, 0.5), kernel("Nehalem", 0.25, 0.25, 0.25),
             kernel("Foo", core="SkylakeX", fault=kernels.UNKNOWN),
             kernel("Zen", fault="does not run here: x")]  # fmt: skip
    words = " ".join(doctor.verdict(found).split())
    assert words.startswith(f"You have set OPENBLAS_CORETYPE={value}, which is left alone.")
    assert told in words
    assert doctor.variables_to_set(found) == {}
    marked = [row for row in doctor.table(found).splitlines() if "what you have set" in row]
    assert len(marked) == 1


def test_a_better_value_than_the_user_s_is_told(monkeypatch):
    monkeypatch.setenv(CORETYPE, "Nehalem")
    found = [OWN, kernel("Nehalem", 0.5, 0.5, 0.5), FAST]
    assert "With OPENBLAS_CORETYPE=SkylakeX: products 4.0 times as fast." in (
        " ".join(doctor.verdict(found).split())
    )


# ---- the report ----------------------------------------------------------------------------------


def test_facts_with_and_without_threadpoolctl(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    told = doctor.facts()
    assert f"NumPy      {np.__version__}" in told
    assert "OPENBLAS_NUM_THREADS=3" in told
    assert told.count('unknown; python -m pip install "chainrule[threads]" to see') == 2

    class Fake:
        @staticmethod
        def threadpool_info():
            return [
                {"user_api": "openmp", "num_threads": 9, "filepath": "/x/libgomp.so"},
                {"user_api": "blas", "internal_api": "openblas", "version": "0.3.31",
                 "architecture": "Zen", "num_threads": 7, "filepath": "/x/libblas.so"},
            ]  # fmt: skip

    monkeypatch.setitem(sys.modules, "threadpoolctl", Fake)
    told = doctor.facts()
    assert "loaded     openblas 0.3.31, kernels Zen: libblas.so" in told
    assert "threads    7" in told
    assert "9" not in re.findall(r"^threads.*$", told, re.M)[0]


THREADS_TOLD = [  # 1 thread, 2 threads, what it means
    ([1, 1, 1], [1.01, 1.04, 0.5], "One thread is as fast as 2 or faster (up to 2.0 times):"),
    ([1, 1, 1], [1.01, 1.04, 0.97], "One thread is as fast as 2 or faster: "),
    ([1, 1, 1], [0.99, 1.5, 2], "2 threads are as fast as one or faster"),
    ([1, 1, 1], [0.5, 1.0, 2], "2 threads pay for products such as 256x1024x1024;"),
]


@pytest.mark.parametrize(("one", "two", "told"), THREADS_TOLD)
def test_threads_are_explained(one, two, told, monkeypatch):
    assert told in doctor.threads_told({1: one, 2: two})
    assert "You have set" not in doctor.threads_told({1: one, 2: two})
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert "You have set OMP_NUM_THREADS=2, which is left alone." in (
        " ".join(doctor.threads_told({1: one, 2: two}).split())
    )


def test_threads_are_measured_with_the_variables_of_each_number():
    code = (
        "import json, os\n"
        f"(n,) = {{os.environ[name] for name in {VARIABLES}}}\n"
        "assert os.environ['OPENBLAS_CORETYPE'] == 'Zen'\nprint(json.dumps([int(n), 10, 100]))"
    )
    found = doctor.measure_threads("Zen", 2, rounds=2, child=python(code))
    assert found == {1: [1, 10, 100], 2: [2, 10, 100]}
    assert doctor.measure_threads(None, 1, 1, python("raise SystemExit")) == {}
    assert "could not be measured" in doctor.threads_told({})
    assert "one core" in doctor.threads_told({1: [1, 1, 1]})


def test_env_prints_what_to_set_and_nothing_else(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "measure", lambda names: [OWN, FAST])
    doctor.examine(env=True)
    out, err = capsys.readouterr()
    assert out == "OPENBLAS_CORETYPE=SkylakeX\n"
    assert "Set OPENBLAS_CORETYPE=SkylakeX" in err
    monkeypatch.setenv(CORETYPE, "Haswell")
    doctor.examine(env=True)
    assert capsys.readouterr().out == ""


def test_the_whole_report(monkeypatch, capsys):
    asked = []
    monkeypatch.setenv(CORETYPE, "Cooperlake")
    monkeypatch.setattr(doctor, "measure", lambda names: asked.extend(names) or [OWN])
    monkeypatch.setattr(doctor, "measure_threads", lambda coretype, cores: {1: [1, 1, 1]})
    doctor.examine()
    out, err = capsys.readouterr()
    assert [*kernels.candidates_here(), "Cooperlake"] == asked
    parts = ["processor ", "kernels ", "threads: one core", "You have set OPENBLAS_CORETYPE="]
    assert sorted(parts, key=out.index) == parts
    assert "measuring" in err


# ---- what is remembered --------------------------------------------------------------------------


@pytest.fixture
def skylake(monkeypatch):
    monkeypatch.setattr(kernels, "candidates_here", lambda: ["Haswell", "SkylakeX"])
    kernels.remember([OWN, FAST])
    return kernels._place()


def test_a_choice_is_remembered_for_this_processor_numpy_and_blas(skylake, monkeypatch):
    assert kernels.recall() == (True, "SkylakeX")
    for change in ("processor", "candidates_here"):
        with monkeypatch.context() as patch:
            patch.setattr(kernels, change, lambda: ["another"])
            assert kernels.recall() == (False, None)
    with monkeypatch.context() as patch:
        patch.setattr(np, "__version__", "9.9")
        assert kernels.recall() == (False, None)
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "build", lambda: {"Build Dependencies": {"blas": {"name": "mkl"}}})
        assert kernels.recall() == (False, None)
    kernels.remember([OWN])
    assert kernels.recall() == (True, None)


DAMAGED = [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"coretype": "SkylakeX"}', b"[" * 100_000]


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:12]))
def test_a_damaged_file_is_not_believed(content, skylake):
    skylake.write_bytes(content)
    assert kernels.recall() == (False, None)


@pytest.mark.parametrize("value", ["Foo", "", 7, ["SkylakeX"], {"a": 1}, True])
def test_only_kernels_for_this_processor_are_believed(value, skylake):
    record = json.loads(skylake.read_bytes())
    skylake.write_text(json.dumps({**record, "coretype": value}))
    assert kernels.recall() == (False, None)


def test_another_machine_s_record_is_not_believed(skylake):
    record = json.loads(skylake.read_bytes())
    record["key"]["processor"] = "another"
    skylake.write_text(json.dumps(record))
    assert kernels.recall() == (False, None)


def test_a_damaged_file_is_measured_anew(skylake, monkeypatch, capsys):
    skylake.write_bytes(b"{")
    monkeypatch.setattr(doctor, "measure", lambda names: [OWN, FAST])
    assert launcher.recommended() == "SkylakeX"
    assert "OPENBLAS_CORETYPE=SkylakeX is faster" in capsys.readouterr().err
    monkeypatch.setattr(doctor, "measure", None)
    assert launcher.recommended() == "SkylakeX"  # from the file that was written


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch, tmp_path, capsys):
    (tmp_path / "chainrule").write_text("a file where the folder should be")
    kernels.remember([OWN, FAST])
    assert "could not be kept" in capsys.readouterr().err


def test_without_a_home_nothing_is_kept_and_that_is_no_error(monkeypatch, capsys):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")  # as pathlib says it

    monkeypatch.setattr(kernels, "cache_folder", nowhere)
    assert kernels.recall() == (False, None)
    kernels.remember([OWN, FAST])
    told = "could not be kept, so it will be measured again (Could not determine home directory.)"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("-W error -m chainrule run -m x", "-W error"),
        ("-W error -mchainrule run x.py", "-W error"),
        ("-X utf8 -Im chainrule run -m chainrule", "-X utf8 -I"),
        ("script.py", ""),
    ],
)
def test_the_options_of_python_are_found(given, options, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", *given.split()])
    assert launcher.interpreter_options() == options.split()


# ---- run -----------------------------------------------------------------------------------------


def run(*arguments, options=(), **keywords):
    """The command line, in a folder with a script."""
    command = [sys.executable, *options, "-m", "chainrule", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **keywords)


@pytest.fixture
def script(tmp_path):
    kernels.remember([OWN])  # nothing is measured
    path = tmp_path / "script.py"
    path.write_text(
        "import json, os, sys\n"
        "print(json.dumps([sys.argv, dict(os.environ), sys.stdin.read(), sys.path[0],\n"
        "                  sys.warnoptions, __name__]))\n"
        "print('to stderr', file=sys.stderr)\nsys.exit(7)\n"
    )
    return path


def test_run_is_as_python_itself(script):
    given = ["--threads", "5", "-m", "", "--", "a b", "--", "--help"]
    done = run(script, *given, options=("-W", "error"), input="to stdin")
    argv, _, stdin, folder, options, name = json.loads(done.stdout)
    assert argv == [str(script), *given]
    assert (stdin, folder, options) == ("to stdin", str(script.parent), ["error"])
    assert name == "__main__"
    assert done.stderr == "to stderr\n"
    assert done.returncode == 7


def test_run_sets_threads_and_leaves_what_is_set(script, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    done = run("--threads", 2, script, input="")
    found = json.loads(done.stdout)[1]
    assert {name: found[name] for name in VARIABLES} == {
        **dict.fromkeys(VARIABLES, "2"), "OMP_NUM_THREADS": "3",
    }  # fmt: skip
    assert "OMP_NUM_THREADS=3 is set already and stays, beside --threads 2." in done.stderr
    assert CORETYPE not in found
    done = run(script, input="")
    assert not set(VARIABLES) - {"OMP_NUM_THREADS"} & set(json.loads(done.stdout)[1])


def test_run_of_a_module(script, monkeypatch):
    done = run("--threads", "1", "-m", "script", "x", "-m", input="", cwd=script.parent)
    assert json.loads(done.stdout)[0][1:] == ["x", "-m"]
    assert done.returncode == 7


@pytest.mark.skipif("Haswell" not in kernels.candidates_here(), reason="other kernels")
def test_run_sets_the_kernels_that_are_remembered(script, monkeypatch):
    kernels.remember([OWN, kernel("Haswell", 2, 2, 2)])
    assert json.loads(run(script, input="").stdout)[1][CORETYPE] == "Haswell"
    for value in ("Prescott", ""):
        monkeypatch.setenv(CORETYPE, value)
        assert json.loads(run(script, input="").stdout)[1][CORETYPE] == value


@POSIX
def test_signals_reach_the_script(tmp_path):
    kernels.remember([OWN])
    script = tmp_path / "sleeps.py"
    script.write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "chainrule", "run", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


def test_elsewhere_than_on_posix_the_exit_status_is_passed_on(monkeypatch, script):
    monkeypatch.setattr(launcher.os, "name", "other")
    monkeypatch.setattr(launcher.signal, "signal", lambda *_: None)
    monkeypatch.setattr(launcher.subprocess, "call", lambda command, env: len(command))
    with pytest.raises(SystemExit) as ended:
        launcher.start(str(script), ["a", "b"], module=False, threads=None)
    assert ended.value.code == 4


REFUSED = [  # arguments, what is said
    (["run"], "the following arguments are required: SCRIPT"),
    (["run", "nowhere.py"], "there is no script 'nowhere.py'"),
    (["run", "--threads", "0", "nowhere.py"], "must be a whole number from 1 to 9999, got '0'"),
    (["run", "--threads", "two", "x.py"], "must be a whole number from 1 to 9999, got 'two'"),
    (["run", "--threads", "²", "x.py"], "must be a whole number from 1 to 9999, got '²'"),
    (["run", "--threads", "9" * 5000, "x.py"], "must be a whole number"),
    (["run", "--threads"], "expected one argument"),
    (["run", "--thread", "1", "x.py"], "unknown option --thread; options of a script come after"),
    (["run", "--fast", "x.py"], "unknown option --fast; options of a script come after it"),
    (["doctor", "--fast"], "unknown option --fast"),
    (["doctor", "me"], "unknown option me"),
]


@pytest.mark.parametrize(("arguments", "told"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused_with_a_sentence(arguments, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["chainrule", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_importing_changes_no_threads_and_loads_no_doctor():
    pytest.importorskip("threadpoolctl")
    code = (
        "import json, os, sys, numpy, threadpoolctl\n"
        "def now(): return [dict(os.environ), threadpoolctl.threadpool_info()]\n"
        "before = now()\nimport chainrule\n"
        "print(json.dumps([before, now(), [m for m in sys.modules if 'chainrule.blas' in m]]))"
    )
    before, after, loaded = kernels.ask("", {"OPENBLAS_NUM_THREADS": "2"}, python(code)).value
    assert before == after
    assert loaded == []
