"""The command line: `python -m chainrule examples` lists the examples, with a name it runs one;
`doctor` looks at NumPy's matrix products, and `run` starts a script with the fastest.

Whatever comes after the name of an example or a script goes to it.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path


def examples() -> dict[str, Path]:
    """The scripts by name, in the lecture's order."""
    package = find_spec("chainrule.examples")
    if package is None or package.origin is None:
        raise SystemExit("The examples are not installed: python -m pip install chainrule")
    scripts = Path(package.origin).parent.glob("[!_]*.py")
    return {script.stem: script for script in sorted(scripts)}


def description(script: Path) -> str:
    """The docstring of a script, which is not run."""
    return ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""


def list_examples() -> None:
    """Print each example with the first line of its docstring."""
    scripts = examples()
    width = max(map(len, scripts))
    for name, script in scripts.items():
        print(f"{name:{width}}  {description(script).splitlines()[0]}")
    print("\nRun one with: python -m chainrule examples NAME [--seed N] [--quick] [--out DIR]")


def names_of(script: Path) -> set[str]:
    """What a script can be called: 13_losses, losses, and 13, 14 or 15, the points it shows."""
    names = {script.name, script.stem}
    number, _, words = script.stem.partition("_")
    if number.isdigit():
        points = re.findall(r"Points? ([\d, and]+) of the lecture", description(script))
        names |= {number, words, *re.findall(r"\d+", " ".join(points))}
    return names


def run_example(name: str, arguments: list[str]) -> None:
    """Run one as a script; a point of the lecture or its words alone will do for a name."""
    scripts = examples()
    found = [known for known, script in scripts.items() if name in names_of(script)]
    if len(found) != 1:
        several = f"stands for {' and '.join(found)}" if found else "is none of the examples"
        raise SystemExit(f"{name!r} {several}; python -m chainrule examples lists them.")
    sys.argv = [str(scripts[found[0]]), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


def number_of_threads(text: str) -> int:
    """Read the number of --threads."""
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 1 to 9999, got {text[:20]!r}"
        )
    return int(text)


def main() -> None:
    """Read the command."""
    parser = argparse.ArgumentParser(prog="python -m chainrule", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")
    example = commands.add_parser("examples", help="list the examples, or run one", add_help=False)
    example.add_argument("name", nargs="?", help="the example to run")
    example.add_argument("arguments", nargs=argparse.REMAINDER, help="what the example takes")
    doctor = commands.add_parser("doctor", help="say how to make matrix products faster here")
    doctor.add_argument("--env", action="store_true", help="print NAME=VALUE of what to set only")
    run = commands.add_parser("run", help="start a script with the fastest", allow_abbrev=False)
    run.add_argument("--threads", type=number_of_threads, metavar="N", help="threads of BLAS")
    run.add_argument("-m", dest="module", action="store_true", help="SCRIPT is a module's name")
    run.add_argument("script", metavar="SCRIPT", help="the script to start")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="what the script takes")
    chosen, rest = parser.parse_known_args()
    if chosen.command == "examples" and rest in (["-h"], ["--help"]):
        example.print_help()
    elif rest:
        where = {"examples": "; options of an example come after its name",
                 "run": "; options of a script come after it"}  # fmt: skip
        parser.error(f"unknown option {rest[0]}{where.get(chosen.command, '')}")
    elif chosen.command == "doctor":
        from .blas.doctor import examine

        examine(chosen.env)
    elif chosen.command == "run":
        if not (chosen.module or os.path.exists(chosen.script)):
            parser.error(f"there is no script {chosen.script!r}")
        from .blas.launcher import start

        start(chosen.script, chosen.arguments, chosen.module, chosen.threads)
    elif chosen.name is None:
        list_examples()
    else:
        run_example(chosen.name, chosen.arguments)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # as in `python -m chainrule examples | head -3`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell tells it of a program that Ctrl-C ended
