"""Where the rules of mutation_rules.py are used: on every function that forward and backward lead
to, and on the constants beside them. Each change is a `Mutant`, which can be made and undone."""

from __future__ import annotations
import __future__

import ast
import functools
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from mutation_rules import NO_NUMBERS, RULES, Node, name_of

# Formulas begin here, and with all of numerics.py; what they call in the files belongs to them.
ROOTS = {"forward", "backward", "terms", "formula", "step", "train_step", "change", "bound"}
WHOLE = "numerics.py"


def is_border(name: str, function: ast.FunctionDef) -> bool:
    """Whether a function declares, checks, or gives a shape, a text or a truth: no formula."""
    told = isinstance(function.returns, ast.Name) and function.returns.id in (
        "Shape",
        "str",
        "bool",
    )
    return told or name == "__init__" or name.lstrip("_").startswith(("check", "refuse"))


@dataclass
class Mutant:
    """One change: in `parent`, `field` (at `index`, if it is a list) becomes `new`."""

    file: str
    function: str  # "" for a constant of the module, "Class" for one of a class
    line: int
    lines: range  # that must run for the mutant to matter
    constant: bool  # of a module or a class
    before: str
    after: str
    statement: Node
    parent: Node
    field: str
    index: int | None
    new: Node | None

    @property
    def key(self) -> str:
        before, after = window(self.before, self.after)
        return f"{self.file}, {self.function or 'module'}: {before} -> {after}"

    def apply(self) -> Any:
        """Change the tree, and return what stood there before."""
        if self.index is None:
            old = getattr(self.parent, self.field)
            setattr(self.parent, self.field, self.new)
        else:
            items = getattr(self.parent, self.field)
            old, items[self.index] = items[self.index], self.new
        return old

    def undo(self, old: Any) -> None:
        """Put back what `apply` returned."""
        replace(self, new=old).apply()

    def unchanged(self) -> Mutant:
        """No mutant at all, to see that it is not the replacing that tests notice."""
        old = self.apply()
        self.undo(old)
        return replace(self, new=old, after=self.before)


def window(before: str, after: str) -> tuple[str, str]:
    """Of two long lines what differs, and a little round it."""
    if max(len(before), len(after)) < 240:
        return before, after
    start = same_letters(before, after)
    end = same_letters(before[start:][::-1], after[start:][::-1])
    start, end = max(start - 30, 0), max(end - 30, 0)
    return f"...{before[start : len(before) - end]}...", f"...{after[start : len(after) - end]}..."


def same_letters(one: str, other: str) -> int:
    """How many letters two texts have in common from the start."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


# ---- where they are used -------------------------------------------------------------------------


def refuses(node: Node) -> bool:
    """An error, or the call of a function that checks."""
    call = node.value if isinstance(node, ast.Expr) else node
    if isinstance(call, ast.Call):
        return name_of(call).lstrip("_").startswith(("check", "refuse"))
    return isinstance(node, ast.Raise)


def skipped(node: Any) -> bool:
    """Docstrings, annotations, and what refuses: a guard's condition is no formula."""
    if isinstance(node, ast.If) and not node.orelse:
        return refuses(node.body[-1])
    documented = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    kinds = (ast.JoinedStr, ast.arg, ast.ExceptHandler)
    named = isinstance(node, ast.keyword) and node.arg in NO_NUMBERS
    return documented or refuses(node) or isinstance(node, kinds) or named


def used_defaults(function: ast.FunctionDef) -> Iterator[tuple[Node, str, int, Node]]:
    """The defaults of arguments that the function looks at."""
    used = {n.id for part in function.body for n in ast.walk(part) if isinstance(n, ast.Name)}
    args, names = function.args, [arg.arg for arg in function.args.args]
    first = len(names) - len(args.defaults)
    for i, default in enumerate(args.defaults):
        if names[first + i] in used:
            yield args, "defaults", i, default
    for i, value in enumerate(args.kw_defaults):
        if value is not None and args.kwonlyargs[i].arg in used:
            yield args, "kw_defaults", i, value


def children(node: Node) -> Iterator[tuple[Node, str, int | None, Node]]:
    """What may be changed inside a node, each with its parent, field and index."""
    for field, value in ast.iter_fields(node):
        if field in ("decorator_list", "returns", "annotation"):
            continue
        if field == "args" and isinstance(node, ast.Call) and name_of(node) == "reshape":
            value = [v for v in value if not isinstance(v, ast.UnaryOp)]  # -1 is a mark
        if isinstance(node, ast.FunctionDef) and field == "args":
            yield from used_defaults(node)
        elif isinstance(value, ast.AST):
            yield node, field, None, value
        elif isinstance(value, list):
            yield from ((node, field, i, v) for i, v in enumerate(value) if isinstance(v, ast.AST))


def text(statement: Node) -> str:
    """A statement on one line; of a compound one the head."""
    if isinstance(statement, ast.Pass):
        return "pass"
    lines = ast.unparse(statement).split("\n")
    if hasattr(statement, "body"):
        lines = [line for line in lines if not line.startswith("@")][:1]
    return " ".join(line.strip() for line in lines)


def head(statement: Any) -> range:
    """The lines of a statement; of a compound one those before its body, of a function its body."""
    if isinstance(statement, ast.FunctionDef):
        return range(statement.body[0].lineno, (statement.end_lineno or 0) + 1)
    body = getattr(statement, "body", None)
    end = body[0].lineno if isinstance(body, list) else (statement.end_lineno or 0) + 1
    return range(statement.lineno, max(end, statement.lineno + 1))


def mutate(root: Node, file: str = "", function: str = "") -> list[Mutant]:
    """All mutants of a function, or of the value of a constant; no two are the same text."""
    found: list[Mutant] = []
    seen: dict[str, int] = {}

    def visit(inner: Node, statement: Node, number: str) -> None:
        for parent, field, index, node in children(inner):
            if skipped(node):
                continue
            inside, n = statement, number
            if isinstance(node, ast.stmt):
                inside, before = node, text(node)
                seen[before] = seen.get(before, 0) + 1
                n = f" ({seen[before]})" if seen[before] > 1 else ""
            for rule in RULES:
                for new in rule(node):
                    add(parent, field, index, node, new, inside, n)
            visit(node, inside, n)

    def add(parent: Any, field: str, index: int | None, node: Any, new: Any, inside: Any,
            number: str) -> None:  # fmt: skip
        new = ast.fix_missing_locations(ast.copy_location(new, node))
        before = text(inside)
        mutant = Mutant(file, function, inside.lineno, head(inside), isinstance(root, ast.Module),
                        before + number, "", inside, parent, field, index, new)  # fmt: skip
        old = mutant.apply()
        mutant.after = text(new if node is inside else inside)
        mutant.undo(old)
        if mutant.after != before:
            found.append(mutant)

    visit(root, root, "")
    unique = {mutant.key: mutant for mutant in reversed(found)}
    return list(reversed(unique.values()))


def functions_of(tree: Node, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods by qualified name; those inside others belong to these."""
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.ClassDef):
            yield from functions_of(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node


def constants_of(tree: Node, prefix: str = "") -> Iterator[tuple[str, ast.Assign | ast.AnnAssign]]:
    """Assignments of numbers and flags, of the module ("") and of its classes ("Class")."""
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.ClassDef):
            yield from constants_of(node, node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            kind = getattr(node, "annotation", None)
            if not (isinstance(kind, ast.Name) and kind.id == "TypeAlias"):
                yield prefix, node


def formulas(trees: dict[str, ast.Module]) -> set[str]:
    """Names of functions that forward and backward lead to, in all files together."""
    calls: dict[str, set[str]] = {}
    waiting = list(ROOTS)
    for file, tree in trees.items():
        for qualified, node in functions_of(tree):
            name = qualified.split(".")[-1]
            if is_border(name, node):
                continue
            used = calls.setdefault(name, set())
            used |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            used |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
            if file == WHOLE:
                waiting.append(name)
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in calls and name not in reached:
            reached.add(name)
            waiting += calls[name]
    return reached


def mutants_of(root: Path, files: Sequence[str]) -> tuple[dict[str, ast.Module], list[Mutant]]:
    """The trees of files below `root`, and the mutants of every formula in them."""
    trees = {file: ast.parse((root / file).read_text(encoding="utf-8")) for file in files}
    names, mutants = formulas(trees), []
    for file, tree in trees.items():
        for qualified, node in functions_of(tree):
            if qualified.split(".")[-1] in names:
                mutants += mutate(node, file, qualified)
        for owner, assign in constants_of(tree):
            constant = mutate(ast.Module([assign], []), file, owner)
            mutants += [m for m in constant if not isinstance(m.new, ast.Pass)]
    return trees, mutants


# ---- a mutant in the place of the original -------------------------------------------------------


def module_of(file: str) -> ModuleType:
    return importlib.import_module("chainrule." + file.removesuffix(".py").replace("/", "."))


def code_of(tree: ast.Module, function: ast.FunctionDef, path: str) -> CodeType:
    """The code of one function, from the compiled file; it knows its class and its closure."""
    waiting = [compile(tree, path, "exec", dont_inherit=True)]
    first = min([function.lineno, *(node.lineno for node in function.decorator_list)])
    while waiting:
        code = waiting.pop()
        if code.co_name == function.name and code.co_firstlineno == first:
            return code
        waiting += [const for const in code.co_consts if isinstance(const, CodeType)]
    raise LookupError(function.name)


def function_at(owner: Any, node: ast.FunctionDef) -> Any:
    """The living function behind a property, a cache, or a static method."""
    found = vars(owner)[node.name]
    if isinstance(found, property):
        setter = any(isinstance(d, ast.Attribute) and d.attr == "setter"
                     for d in node.decorator_list)  # fmt: skip
        found = found.fset if setter else found.fget
    found = getattr(found, "__func__", found)
    return getattr(found, "__wrapped__", found)


def install(mutant: Mutant, tree: ast.Module) -> None:
    """Change the living module; for a process that ends with this mutant."""
    module = module_of(mutant.file)
    mutant.apply()
    if not mutant.constant:
        node = next(n for name, n in functions_of(tree) if name == mutant.function
                    and mutant.line in range(n.lineno, (n.end_lineno or 0) + 1))  # fmt: skip
        owner: Any = functools.reduce(getattr, mutant.function.split(".")[:-1], module)
        function = function_at(owner, node)
        code = code_of(tree, node, module.__file__ or "")
        if code.co_freevars == function.__code__.co_freevars:
            function.__code__ = code
        else:  # a method without its super()
            function = FunctionType(code, vars(module), node.name)
            setattr(owner, node.name, function)

        def values(expressions: Iterable[ast.expr | None]) -> list[Any]:
            return [e and eval(ast.unparse(e), vars(module)) for e in expressions]

        function.__defaults__ = tuple(values(node.args.defaults)) or None
        names = [arg.arg for arg in node.args.kwonlyargs]
        given = zip(names, node.args.kw_defaults, strict=True)
        function.__kwdefaults__ = {n: values([e])[0] for n, e in given if e is not None} or None
    else:
        owner = getattr(module, mutant.function) if mutant.function else module
        flags, made = __future__.annotations.compiler_flag, dict[str, Any]()
        line = compile(ast.unparse(mutant.statement), "", "exec", flags, dont_inherit=True)
        exec(line, vars(module), made)
        for name, value in made.items():
            if name[:2] == "__":
                continue
            old = vars(owner).get(name)
            setattr(owner, name, value)
            for other in ours() if owner is module else ():
                if vars(other).get(name) is old:  # imported by name
                    setattr(other, name, value)
    for other in ours():
        for value in list(vars(other).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def ours() -> list[ModuleType]:
    return [m for name, m in list(sys.modules.items()) if name.split(".")[0] == "chainrule" and m]
