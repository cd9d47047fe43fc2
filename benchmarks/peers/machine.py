"""What a comparison was measured on and with: processor, cores, kernels, versions, sizes.
Ratios say little without it, so it stands in the raw file beside the timings."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}
INSTALLED = {  # what a user of it installs
    "chainrule": ["chainrule"],
    "PyTorch": ["torch", "numpy"],
    "JAX": ["jax", "optax"],
    "Keras on PyTorch": ["keras", "torch"],
    "Keras on JAX": ["keras", "jax"],
    "scikit-learn": ["scikit-learn"],
    "ONNX Runtime": ["onnxruntime"],
}


def processor() -> tuple[str, set[str]]:
    """Its name and its flags, where the system tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine(), set()
    found = dict(re.findall(r"^([^\t\n]+)\t*: (.*)$", text, re.MULTILINE))
    name = found.get("model name", platform.machine())
    if "cpu family" in found:
        name += f" (family {found['cpu family']}, model {found['model']})"
    return name, set(found.get("flags", "").split())


def best_kernels(variables: dict[str, str]) -> dict[str, str]:
    """What `python -m chainrule doctor --env` would set; none where nothing is to be gained."""
    command = [sys.executable, "-m", "chainrule", "doctor", "--env"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found = re.findall(r"^(\w+)=(\S*)$", done.stdout, re.MULTILINE)
        return {name: value for name, value in found if not name.endswith("_NUM_THREADS")}
    return {"OPENBLAS_CORETYPE": "SkylakeX"} if processor()[1] >= AVX512 else {}


def blas() -> list[dict[str, Any]]:
    """The libraries of this process that multiply, with the kernels that each chose."""
    import numpy as np

    np.ones((8, 8)) @ np.ones((8, 8))
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    keys = "internal_api", "version", "architecture", "num_threads"
    return [{key: library.get(key) for key in keys} for library in threadpool_info()]


def architectures(libraries: list[dict[str, Any]]) -> list[str]:
    """The names of the kernels alone."""
    return sorted({str(found["architecture"]) for found in libraries if found["architecture"]})


def versions() -> dict[str, str]:
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = ["chainrule", "numpy", "scipy", "jaxlib", *(re.split(r"[=<>~ ]", n)[0] for n in lines)]
    found = {}
    for name in filter(None, names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cores() -> list[int]:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def describe() -> dict[str, Any]:
    name, flags = processor()
    load = os.getloadavg() if hasattr(os, "getloadavg") else ()
    return {
        "processor": name,
        "avx512": flags >= AVX512,
        "cores": len(cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "load": [round(value, 2) for value in load],
        "versions": versions(),
    }


# ---- sizes ---------------------------------------------------------------------------------------


def with_dependencies(names: list[str]) -> set[str]:
    """The installed distributions behind these names; optional ones only where named."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system
        found.add(name)
        for line in needed:
            requirement, _, marker = line.partition(";")
            if "extra" not in marker:
                waiting.append(re.split(r"[\s=<>!~(\[]", requirement.strip())[0])
    return found


def installed_megabytes(names: list[str]) -> float:
    """All files of the distributions, as they lie on the disk."""
    total = 0
    for name in with_dependencies(names):
        for file in metadata.files(name) or []:
            path = Path(str(file.locate()))
            total += path.stat().st_size if path.is_file() else 0
    return total / 1e6


def wheel_kilobytes(wheel: Path) -> dict[str, float]:
    """The wheel as it is, and without the data that it carries."""
    with zipfile.ZipFile(wheel) as file:
        carried = sum(i.compress_size for i in file.infolist() if "/data_files/" in i.filename)
    size = wheel.stat().st_size
    return {"whole": size / 1e3, "without data": (size - carried) / 1e3}


def sizes(wheel: Path | None) -> dict[str, Any]:
    installed = {
        peer: round(installed_megabytes(names), 1)
        for peer, names in INSTALLED.items()
        if set(names) <= with_dependencies(names)
    }
    return {"installed_MB": installed, "wheel_kB": wheel_kilobytes(wheel) if wheel else {}}
