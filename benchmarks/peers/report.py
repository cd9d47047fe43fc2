"""Tables of ratios, made from a file of timings alone, with the machine and the goals beside them.
A ratio is a peer's time over ours, so that we lose where it is below 1; bold misses its goal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from timings import BEST, COMES, KERNELS, Timings, count

HERE = Path(__file__).parent
BEGIN, END = "<!-- made by --report -->\n", "<!-- end of the report -->\n"

PICTURE = (
    "Bars on a logarithmic axis: for each network and peer, how many times as fast as the peer "
    "chainrule is; the tables below have the same ratios."
)
GOALS: dict[str, dict[str, float]] = {
    "steps": {"PyTorch": 2.0, "scikit-learn": 2.5, "JAX": 1.0},
    "row": {"ONNX Runtime": 1.0, "PyTorch": 2.0},
    "epoch": {
        "PyTorch, slices": 2.0,
        "scikit-learn": 2.0,
        "Keras on PyTorch": 3.0,
        "Keras on JAX": 1.0,
    },
    "process": {"PyTorch": 5.0, "Keras on JAX": 8.0},
}
RATE_GOALS = {
    "784-1024-1024-10, batch 256": 0.80,
    "784-2048-2048-2048-10, batch 512": 0.88,
}
WORKERS_GOALS = {False: 1.6, True: 1.0}  # with the cores free, and with a busy neighbour
WITHOUT_GOAL = "784-512-256-10, batch 128"  # of workers
TITLES = {
    "row": "One row, {}",
    "epoch": "An epoch, {}",
    "process": "The whole process, {}",
}


def shown(seconds: float | None) -> str:
    if seconds is None:
        return ""
    unit, scale = ("µs", 1e6) if seconds < 1e-3 else ("ms", 1e3) if seconds < 1 else ("s", 1)
    value = seconds * scale
    return f"{value:.3g} {unit}" if value < 100 else f"{value:,.0f} {unit}"


def judged(ratio: float | None, goal: float | None = None, *, percent: bool = False) -> str:
    """A ratio, bold where it misses its goal."""
    if ratio is None:
        return "missing"
    digits = 2 if ratio < 10 else 1 if ratio < 100 else 0
    text = f"{ratio:.0%}" if percent else f"{ratio:,.{digits}f}"
    reached = goal is None or round(ratio, 2) >= goal
    return text if reached else f"**{text}**"


def table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def steps(t: Timings) -> Iterator[str]:
    """A table for each number of threads and choice of kernels; of PyTorch its fastest way."""
    for threads in sorted({threads for _, threads in t.groups("steps")}):
        for kernels in t.kernels("steps"):
            yield f"#### A training step, {count(threads)}, {KERNELS[kernels]}"
            yield ""
            head = ["network", "chainrule"]
            head += [f"{peer} (goal {goal})" for peer, goal in GOALS["steps"].items()]
            head += ["of the bare products' rate", "`train_on_batch`"]
            cases = [case for case, n in t.groups("steps") if n == threads]
            rows = [step_row(t, case, threads, kernels) for case in cases]
            yield from table(head, rows)


def step_row(t: Timings, case: str, threads: int, kernels: str) -> list[str]:
    key = "steps", case, threads, False
    row = [case, shown(t.seconds((*key, "chainrule", kernels)))]
    for peer, goal in GOALS["steps"].items():
        best = t.best((*key, peer, kernels))
        way = best[4].partition(", ")[2] if best else ""
        row.append(judged(t.ratio(best) if best else None, goal) + f" ({way})" * bool(way))
    rate_goal = RATE_GOALS.get(case)
    rate = judged(t.ratio((*key, "products", kernels)), rate_goal, percent=True)
    row.append(rate + (f" (goal {rate_goal:.0%})" if rate_goal else ""))
    return [*row, judged(t.ratio((*key, "train_on_batch", kernels)))]


def beside(t: Timings, comparison: str) -> Iterator[str]:
    """A table of all peers and their ways for each case and number of threads."""
    kinds, goals = t.kernels(comparison), GOALS[comparison]
    for case, threads in t.groups(comparison):
        yield f"#### {TITLES[comparison].format(count(threads))}: {case}"
        yield ""
        head = ["peer", *(h for k in kinds for h in (KERNELS[k], "ratio")), "goal"]
        head += ["first epoch"] if comparison == "epoch" else []
        rows = []
        for peer in [
            k[4] for k in t.rows if k[:3] == (comparison, case, threads) and k[5] == COMES
        ]:
            goal = goals.get(peer, goals.get(peer.split(",")[0]))
            row = [peer]
            for kernels in kinds:
                key = comparison, case, threads, False, peer, kernels
                row += [shown(t.seconds(key)), judged(t.ratio(key), goal)]
            row.append(str(goal or ""))
            if comparison == "epoch":
                row.append(shown(t.rows[comparison, case, threads, False, peer, COMES]["check"][2]))
            rows.append(row)
        yield from table(head, rows)


def workers(t: Timings) -> Iterator[str]:
    """How many times as fast as one thread; both cores may be used, whatever the threads."""
    names = dict.fromkeys(key[4] for key in t.rows if key[0] == "workers")
    others = [name for name in names if name != "one thread"]
    rows = []
    for case, threads in t.groups("workers"):
        for busy in (False, True):
            for kernels in t.kernels("workers"):
                key = "workers", case, threads, busy
                row = [case, "one is busy" if busy else "free", KERNELS[kernels]]
                row.append(shown(t.seconds((*key, "one thread", kernels))))
                for peer in others:
                    slower = t.ratio((*key, peer, kernels))
                    has_goal = peer == "workers=2" and case != WITHOUT_GOAL
                    goal = WORKERS_GOALS[busy] if has_goal else None
                    row.append(judged(1 / slower if slower else None, goal))
                rows.append(row)
    if rows:
        yield "#### `fit(workers=2)` on two cores: how many times as fast as one thread"
        yield ""
        wanted = f"(goal {WORKERS_GOALS[False]}, busy {WORKERS_GOALS[True]:.0f})"
        heads = [f"`{p}` {wanted}" if p == "workers=2" else p for p in others]
        yield from table(["network", "the cores", "kernels", "one thread", *heads], rows)


def sizes(t: Timings) -> Iterator[str]:
    installed, wheel = t.data["sizes"]["installed_MB"], t.data["sizes"]["wheel_kB"]
    rows = []
    for key, measured in t.rows.items():
        if key[0] == "import":
            size = f"{installed[key[4]]:,.0f}" if key[4] in installed else ""
            rows.append([key[4], shown(t.seconds(key)), f"{measured['check'][0]:.1f}", size])
    if rows:
        yield "#### Import, over `import numpy`, and size"
        yield ""
        head = ["peer", "time", "memory, MB", "installed with what it needs, MB"]
        yield from table(head, rows)
        yield "The goals of chainrule are 20 ms and 5 MB."
        yield ""
    if wheel:
        yield (
            f"The wheel has {wheel['whole']:.0f} kB, and {wheel['without data']:.0f} kB without "
            "the data that it carries (goal 300)."
        )
        yield ""


def machine(t: Timings) -> Iterator[str]:
    m = t.data["machine"]
    yield (
        f"{m['processor']}, {m['cores']} cores, {'' if m['avx512'] else 'no '}AVX-512; "
        f"{m['system']}, Python {m['python']}; {m['date']}; {t.data['rounds']} rounds."
    )
    yield ", ".join(f"`{name}` {version}" for name, version in m["versions"].items()) + "."
    yield ""
    if t.data["quick"]:
        yield "**A short trial: these figures are noise.**"
        yield ""
    for name, kernels in t.data["kernels"].items():
        variables = "".join(f" `{k}={v}`" for k, v in kernels["set"].items())
        chosen = ", ".join(kernels["chosen"]) or "unknown"
        title = KERNELS[name][0].upper() + KERNELS[name][1:]
        yield f"- {title}{variables}: OpenBLAS runs its kernels for {chosen}."
    if BEST not in t.data["kernels"]:
        yield "- These are the best it has for this processor, so that there is one table, not two."
    yield ""


def losses(t: Timings) -> Iterator[str]:
    """Where a peer is faster, one after the other; each peer's fastest way counts."""
    all_of_them = [pair for comparison in GOALS for pair in t.verdicts(comparison)]
    if not all_of_them:
        return
    lost = [(key, ratio) for key, ratio in all_of_them if round(ratio, 2) < 1]
    verb = "is" if len(lost) == 1 else "are"
    end = f"{len(lost)} {verb} below 1:" if lost else "none is below 1."
    yield f"Of {len(all_of_them)} ratios to the peers' fastest ways {end}"
    yield ""
    for (comparison, case, threads, _, peer, kernels), ratio in lost:
        yield f"- {peer}, {comparison}, {case}, {count(threads)}, {KERNELS[kernels]}: {ratio:.2f}"
    yield ""


def text(data: dict[str, Any]) -> str:
    """The whole report, as Markdown."""
    t = Timings(data)
    parts = [*machine(t), *steps(t)]
    for comparison in TITLES:
        parts += beside(t, comparison)
    parts += [*workers(t), *sizes(t), *losses(t)]
    if data["missing"]:
        parts += ["Missing:", ""]
        places: dict[tuple[str, str], list[str]] = {}
        for m in data["missing"]:
            places.setdefault((m["peer"], m["reason"]), []).append(m["where"])
        for (peer, reason), found in places.items():
            parts.append(f"- {peer}: {reason} ({'; '.join(dict.fromkeys(found))})")
        parts.append("")
    return "\n".join(parts)


def make(path: Path, *, readme: bool = False) -> None:
    """Print the report, draw it, and put it into the README if wanted."""
    data = json.loads(path.read_text(encoding="utf-8"))
    report = text(data)
    print(report)
    try:
        import picture

        print(f"The picture is in {picture.draw(data, path.with_suffix('.png'))}")
    except ImportError as error:
        print(f"No picture: {error}; install matplotlib.")
    if readme:
        page = HERE / "README.md"
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        place = Path(os.path.relpath(path.with_suffix(".png"), HERE)).as_posix()
        made = f"![{PICTURE}]({place})\n\n{report}"
        page.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")
