"""A throwaway environment with the peers and with chainrule as it stands in this checkout.
Nothing of the environment that runs the command is used or changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def run(*command: object) -> bool:
    return subprocess.run([str(part) for part in command], check=False).returncode == 0


def build_wheel(python: Path, folder: Path) -> Path:
    """Build the wheel from a copy, so that nothing is left in the checkout and nothing taken."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "chainrule"
        copy.mkdir()
        for name in ("src", "examples"):
            ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        shutil.rmtree(folder, ignore_errors=True)
        if not run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, copy):
            raise SystemExit("The wheel of chainrule could not be built; pip says why.")
    return next(folder.glob("*.whl"))


def make(folder: Path) -> Path:
    """Make or refresh the environment in a folder; return its Python."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        print(f"Making an environment in {folder}", flush=True)
        if not run(sys.executable, "-m", "venv", folder):
            raise SystemExit(f"No environment could be made in {folder}.")
    pip = python, "-m", "pip", "install", "-q"
    if not run(*pip, "-r", HERE / "requirements.txt"):
        print("Not all peers can be installed together; trying one by one.", flush=True)
        for line in (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines():
            if not run(*pip, line):
                print(f"Missing: {line} cannot be installed here.", flush=True)
    wheel = build_wheel(python, folder / "wheel")
    if not run(*pip, "--force-reinstall", "--no-deps", wheel) or not run(*pip, "numpy"):
        raise SystemExit("chainrule could not be installed; pip says why.")
    return python
