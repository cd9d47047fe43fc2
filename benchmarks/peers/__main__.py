"""chainrule beside its peers: python benchmarks/peers installs them and measures everything.
With --report it makes the tables and the picture from a file of timings, and measures nothing.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path

import environment
from measure import PLANS, Measurements, measure

HERE = Path(__file__).parent


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python benchmarks/peers")
    parser.add_argument("--env", type=Path, help="a folder for the environment, to keep and reuse")
    parser.add_argument("--only", help=f"some of the comparisons: {','.join(PLANS)}")
    parser.add_argument("--threads", type=int, choices=(1, 2), help="one of the settings alone")
    parser.add_argument("--rounds", type=int, default=15, help="of the training steps (15)")
    parser.add_argument("--quick", action="store_true", help="a short trial: its figures are noise")
    parser.add_argument("--out", type=Path, help="the file of timings (results/PROCESSOR.json)")
    parser.add_argument("--report", type=Path, help="make tables and picture from this file")
    parser.add_argument("--readme", action="store_true", help="put the report into the README")
    parser.add_argument("--installed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--wheel", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def file_of_this_machine() -> Path:
    import machine

    name = re.sub(r"[^a-z0-9]+", "-", machine.processor()[0].lower()).strip("-")
    return HERE / "results" / f"{name}.json"


def in_environment(folder: Path, arguments: argparse.Namespace) -> None:
    """Make the environment, and go on inside it."""
    python = environment.make(folder)
    wheel = next((folder / "wheel").glob("*.whl"))
    command = [python, HERE, "--installed", "--wheel", wheel, "--rounds", arguments.rounds]
    command += ["--only", arguments.only] if arguments.only else []
    command += ["--threads", arguments.threads] if arguments.threads else []
    command += ["--quick"] if arguments.quick else []
    command += ["--out", arguments.out] if arguments.out else []
    command += ["--readme"] if arguments.readme else []
    raise SystemExit(subprocess.run([str(part) for part in command], check=False).returncode)


def main() -> None:
    arguments = options()
    names = arguments.only.split(",") if arguments.only else list(PLANS)
    unknown = [name for name in names if name not in PLANS]
    if unknown:
        raise SystemExit(f"--only takes {', '.join(PLANS)}, not {', '.join(unknown)}.")
    if arguments.report:
        import report

        report.make(arguments.report, readme=arguments.readme)
    elif arguments.installed:
        import report

        start = time.perf_counter()
        path = arguments.out or file_of_this_machine()
        rounds = 2 if arguments.quick else arguments.rounds
        measure(
            Measurements(path, rounds, arguments.quick, arguments.wheel), names, arguments.threads
        )
        print(f"{(time.perf_counter() - start) / 60:.1f} minutes; the timings are in {path}\n")
        report.make(path, readme=arguments.readme)
    elif arguments.env:
        in_environment(arguments.env.resolve(), arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            in_environment(Path(folder), arguments)


if __name__ == "__main__":
    main()
