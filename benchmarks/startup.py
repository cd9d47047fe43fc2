"""What `import chainrule` costs over `import numpy`: time, memory and modules, in fresh processes
that take turns. Run it on an installed package, whose bytecode is compiled."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

PROBE = """
import sys, time, json
import numpy
before, start = set(sys.modules), time.perf_counter()
{}
seconds = time.perf_counter() - start
try:
    import resource
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
except ImportError:
    kilobytes = 0
new = [name for name in set(sys.modules) - before if name.split(".")[0] != "chainrule"]
print(json.dumps([seconds, kilobytes, new]))
"""


def probe(statement: str) -> tuple[float, float, list[str]]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    code = PROBE.format(statement)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    seconds, kilobytes, modules = json.loads(done.stdout)
    return seconds, kilobytes, modules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    probe("import chainrule")  # compiles the bytecode
    pairs = [(probe("pass"), probe("import chainrule")) for _ in range(rounds)]
    milliseconds = statistics.median(ours[0] - numpy[0] for numpy, ours in pairs) * 1e3
    megabytes = statistics.median(ours[1] - numpy[1] for numpy, ours in pairs) / 1e3
    foreign = {m.split(".")[0] for m in pairs[0][1][2]} - sys.stdlib_module_names - {"numpy"}
    print(f"import chainrule, over import numpy: {milliseconds:.1f} ms, {megabytes:.1f} MB,")
    print(f"modules from outside NumPy and the standard library: {sorted(foreign) or 'none'}")


if __name__ == "__main__":
    main()
