"""The house stays in order only while something checks it: which file may import which, what
`import chainrule` loads and touches, and that every public name is described with an example.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr

ROOT = Path(cr.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")
}

# What each file, or each file of a package beside its own, may import of ours at most. One that is
# not listed here may import anything.
BASE = {"errors"}
ARROWS = {
    "_types": set(),
    "errors": set(),
    "numerics": set(),
    "initializers": BASE,
    "parameters": BASE,
    "layer": BASE | {"initializers", "parameters"},
    "backprop": BASE | {"layer"},
    "losses": BASE | {"numerics"},
    "metrics": BASE | {"losses", "numerics"},
    "optimizers": BASE,
    "schedules": BASE,
    "data": BASE,
    "preparation": BASE | {"data"},
    "tables": BASE,
    "callbacks": BASE,
    "datasets": BASE | {"numerics"},
    "_mnist": BASE | {"files"},
    "history": BASE | {"_types"},
    "border": BASE | {"data", "losses", "metrics"},
    "sources": BASE | {"border", "data"},
    "steps": BASE | {"backprop"},
    "threads": {"layers", "sources"},
    # shards of a step on several threads; loaded when they are wanted
    "workers": {"backprop", "optimizers", "parameters", "sources", "steps", "threads"},
    "packing": BASE,
    "archive": BASE,
    "described": BASE | {"layer", "parameters"},
    "files": BASE | {"layer", "parameters", "packing", "archive", "described"},
    # a run of fit, written and read; loaded when it is wanted
    "resuming": BASE
    | {"files", "described", "model", "callbacks", "history", "parameters", "sources"},
    "training": BASE
    | {"border", "data", "callbacks", "history", "metrics", "losses", "sources", "steps"}
    | {"threads"},
    "summary": BASE
    | {"_types", "border", "sources", "steps", "backprop", "parameters", "layer", "layers"}
    | {"losses", "optimizers"},
    "gradcheck": BASE | {"layer", "backprop", "parameters"},
    "inspection": BASE
    | {"model", "training", "border", "sources", "callbacks", "parameters", "backprop", "numerics"}
    | {"layer", "layers", "metrics"},
    # a training of its own, on copies, that takes the steps and the batches of fit
    "rate_finder": BASE | {"model", "border", "sources", "steps"},
    "plots": BASE,
    # the command line, and what it loads for `doctor` and `run`
    "__main__": set(),
    "blas": {"_types", "_mnist", "files", "threads"},
}
LAYERS = BASE | {"layer", "numerics", "initializers", "layers.activations"}
CONTAINERS = LAYERS | {"backprop", "layers.embedding"}
# Inside a function, for what costs time to load and is seldom needed.
LATE = {
    ("model", "files"),
    ("datasets", "_mnist"),
    ("files", "__init__"),
    ("training", "resuming"),
    ("training", "workers"),
    ("__main__", "blas.doctor"),
    ("__main__", "blas.launcher"),
}

TOO_LONG = {"model"}  # files over 400 lines that should be two one day


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def nodes(tree):
    """All nodes, without what only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if not is_type_checking(node):
            yield node
            yield from nodes(node)


def ours(name):
    """The modules of ours that a file imports, with `__init__` for the package itself."""
    package = name.split(".")[:-1]
    found = set()
    for node in nodes(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            dotted = [alias.name.split(".") for alias in node.names]
            found |= {".".join(parts[1:]) for parts in dotted if parts[0] == "chainrule"}
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".") if node.module else []
            if node.level:
                parts = package[: len(package) + 1 - node.level] + parts
            elif parts[:1] == ["chainrule"]:
                parts = parts[1:]
            else:
                continue
            for alias in node.names:
                inner, outer = ".".join([*parts, alias.name]), ".".join(parts) or "__init__"
                names = (inner, f"{inner}.__init__", outer, f"{outer}.__init__")
                found.add(next(name for name in names if name in FILES))
    return found


def early(name):
    return {other for other in ours(name) if (name, other) not in LATE}


def allowed(name):
    if name.startswith("layers."):
        return CONTAINERS if name == "layers.containers" else LAYERS
    package = name.split(".")[0]
    packages = (
        "callbacks",
        "losses",
        "metrics",
        "optimizers",
        "inspection",
        "plots",
        "tables",
        "blas",
    )
    own = {package} if package in packages else set()
    return ARROWS[package] | own if package in ARROWS else None


def beyond(name):
    """What a file imports although it may not; a package stands for all its files."""
    whole = allowed(name)
    return {other for other in early(name) if not {other, other.split(".")[0]} & whole}


def test_the_reader_of_imports_reads():
    assert early("losses.classification") == {"numerics", "errors", "losses.base"}
    assert {"layer", "errors", "backprop"} <= early("layers.containers")
    assert "layers.dense" in early("__init__")
    assert "files" in ours("model")


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_point_one_way(name):
    if allowed(name) is not None:
        assert beyond(name) == set()
    if name != "testing":
        assert "testing" not in early(name)


def test_no_circle():
    done = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in sorted(early(name)):
                visit(other, [*path, name])
            done.add(name)

    for name in FILES:
        visit(name, [])


def third_party(name):
    found = set()
    for node in nodes(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"chainrule", "numpy"}


def test_nothing_but_numpy():
    optional = {"testing": {"hypothesis"}, "plots": {"matplotlib"}, "callbacks": {"tqdm"},
                "blas": {"threadpoolctl"}, "threads": {"threadpoolctl"}}  # fmt: skip
    for name in FILES:
        assert third_party(name) <= optional.get(name.split(".")[0], set()), name


def fresh(code):
    """What a fresh interpreter prints as JSON."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import json, os, sys\n{code}"],
        capture_output=True, text=True, check=True, timeout=60,
        env={k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")},
    )  # fmt: skip
    return json.loads(run.stdout)


def test_import_loads_only_numpy_and_the_standard_library():
    numpy, both = fresh(
        "import numpy\nn = sorted(sys.modules)\nimport chainrule\n"
        "print(json.dumps([n, sorted(sys.modules)]))"
    )
    loaded = set(both) - set(numpy)
    roots = {name.split(".")[0] for name in loaded}
    assert roots - {"chainrule"} <= set(sys.stdlib_module_names)
    heavy = {"hypothesis", "matplotlib", "tqdm", "pandas", "argparse", "runpy", "urllib.request",
             "http.client", "ssl", "socket", "zipfile", "tkinter", "multiprocessing", "asyncio",
             "unittest"}  # fmt: skip
    assert not heavy & loaded
    assert (
        not {"chainrule.testing", "chainrule._mnist", "chainrule.files", "chainrule.resuming"}
        & loaded
    )


def test_import_changes_no_environment_and_no_settings():
    before, after = fresh(
        "import numpy, warnings\n"
        "def now():\n"
        "    state = numpy.random.get_state(legacy=False)['state']\n"
        "    return [dict(os.environ), numpy.geterr(), len(warnings.filters), sys.path,\n"
        "            numpy.get_printoptions()['precision'], state['key'].tolist(), state['pos']]\n"
        "b = now()\nimport chainrule\nprint(json.dumps([b, now()]))"
    )
    assert before == after


def test_global_random_state_is_neither_touched_nor_read():
    def run():
        model = cr.Model(cr.Dense(3, 4), cr.ReLU(), cr.Dropout(0.5), cr.Dense(4, 2), seed=1)
        model.fit(x, y, loss=cr.SoftmaxCrossEntropy(), optimizer=cr.Adam(), epochs=2, batch_size=3,
                  validation_split=0.25, verbose=0)  # fmt: skip
        cr.gradcheck(model, x)
        cr.datasets.moons(20)
        return model.predict(x).tobytes()

    x, y = np.random.default_rng(0).random((8, 3)), np.arange(8) % 2
    before = [part if np.isscalar(part) else part.tolist() for part in np.random.get_state()]  # noqa: NPY002
    first = run()
    after = [part if np.isscalar(part) else part.tolist() for part in np.random.get_state()]  # noqa: NPY002
    assert before == after
    np.random.seed(12345)  # noqa: NPY002
    assert run() == first


# ---- how it reads ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_file_opens_with_a_docstring_and_is_short(name):
    text = FILES[name].read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    assert docstring.rstrip().endswith(".")
    assert (text.count("\n") > 400) == (name in TOO_LONG)


def test_public_names_are_sorted_unique_and_there():
    # constants, classes, then functions: the order that the linter keeps
    assert len(set(cr.__all__)) == len(cr.__all__)
    kind = [(name.islower(), not name.isupper()) for name in cr.__all__]
    assert cr.__all__ == [name for _, name in sorted(zip(kind, cr.__all__, strict=True))]
    for name in cr.__all__:
        assert hasattr(cr, name), name
    public = {
        name
        for name, value in vars(cr).items()
        if name[0] != "_" and getattr(value, "__module__", "").startswith("chainrule")
    }
    assert public <= set(cr.__all__)  # fmt: skip


@pytest.mark.parametrize("name", cr.__all__)
def test_every_public_name_has_a_first_line(name):
    first = (inspect.getdoc(getattr(cr, name)) or "").split("\n")[0]
    assert len(first) > 15
    assert first[0] == first[0].upper() or name == "datasets"


# Without an example of their own: what takes no arguments, or needs a whole training run.
NO_EXAMPLE = {
    "DivergenceError": "an exception that users catch",
    "GradientError": "an exception that users catch",
}


def takes_arguments(public):
    return bool(inspect.signature(public).parameters)


PUBLIC = {name: getattr(cr, name) for name in cr.__all__}
PUBLIC |= {
    f"{room.__name__}.{name}": getattr(room, name)
    for room in (cr.datasets, cr.inspection, cr.plots, cr.tables)
    for name in room.__all__
    if not hasattr(getattr(room, name), "_fields")  # what a function returns
}


@pytest.mark.parametrize("name", [name for name, value in PUBLIC.items() if callable(value)])
def test_every_public_name_with_arguments_has_an_example(name):
    public = PUBLIC[name]
    if name in NO_EXAMPLE or not takes_arguments(public):
        return
    documented = inspect.getdoc(public)
    assert "Examples\n--------" in documented
    assert ">>> " in documented


def test_versions_agree():
    pyproject = ROOT.parents[1] / "pyproject.toml"
    if not pyproject.exists():
        pytest.skip("the package is installed without its source tree")
    version = re.search(r'^version = "(.+)"$', pyproject.read_text(encoding="utf-8"), re.M)
    assert version is not None
    assert version[1] == cr.__version__
