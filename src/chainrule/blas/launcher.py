"""`python -m chainrule run SCRIPT` starts a script with the kernels that are fastest here.
They can be chosen only before NumPy is loaded, so the script gets a process of its own.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from typing import NoReturn

from ..threads import VARIABLES
from .doctor import try_all
from .kernels import CORETYPE, choose, recall


def recommended() -> str | None:
    """The kernels to ask for, as they are remembered, else measured now; None for NumPy's own."""
    known, name = recall()
    if known:
        return name
    chosen = choose(try_all())
    name = chosen.asked if chosen else None
    told = f"{CORETYPE}={name} is faster" if name else "NumPy's own choice stays"
    print(f"chainrule: {told}; `python -m chainrule doctor` says more.", file=sys.stderr)
    return name


def environment(threads: int | None) -> dict[str, str]:
    """The variables for the script; those that the user has set stay as they are."""
    variables = dict(os.environ)
    if CORETYPE not in variables and (name := recommended()):
        variables[CORETYPE] = name
    for name in VARIABLES if threads else ():
        if variables.setdefault(name, str(threads)) != str(threads):
            print(
                f"chainrule: {name}={variables[name]} is set already and stays, beside --threads "
                f"{threads}.",
                file=sys.stderr,
            )
    return variables


def interpreter_options() -> list[str]:
    """The options of this Python, as -W error, which the script's Python gets too."""
    given = sys.orig_argv[1:]
    for i, (option, name) in enumerate(itertools.pairwise([*given, ""])):
        if (option, name) == ("-m", "chainrule") or option == "-mchainrule":
            return given[:i]
        if name == "chainrule" and re.fullmatch("-[a-zA-Z]+m", option):  # as in -Im
            return [*given[:i], option[:-1]]
    return []


def start(script: str, arguments: list[str], module: bool, threads: int | None) -> NoReturn:
    """Become Python with that script. Signals, input and exit status are then the script's."""
    command = [sys.executable, *interpreter_options(), *(["-m"] if module else []), script]
    command += arguments
    variables = environment(threads)
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(sys.executable, command, variables)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the script, which gets it too
    sys.exit(subprocess.call(command, env=variables))
