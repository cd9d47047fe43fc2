"""Mutants of formulas by rules over the syntax tree: each takes one node and gives what a slip of
the pen could put in its place. No list by hand names a place: new code is covered as it comes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

Node = ast.AST

# Arguments that say where things lie or what is refused, and change no number.
NO_NUMBERS = ("copy", "order", "strict")

SIGNS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add}
FACTORS: dict[type, type] = {
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}  # fmt: skip
ORDERED = (ast.Sub, ast.Div, ast.MatMult, ast.Pow, ast.FloorDiv, ast.Mod)
COMPARISONS: dict[type, list[type]] = {
    ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt], ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt], ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is], ast.In: [ast.NotIn], ast.NotIn: [ast.In],
}  # fmt: skip
OTHER_NAME = {
    "maximum": "minimum", "minimum": "maximum", "max": "min", "min": "max", "sum": "mean",
    "mean": "sum", "exp": "expm1", "expm1": "exp", "log": "log1p", "log1p": "log",
    "multiply": "divide", "divide": "multiply", "add": "subtract", "subtract": "add",
    "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "ones_like": "zeros_like",
    "all": "any", "any": "all", "greater_equal": "greater", "cos": "sin", "sin": "cos",
}  # fmt: skip
COMMUTE = {"maximum", "minimum", "max", "min", "multiply", "add"}
FLAGS = {"need_dx", "training", "trainable", "learns"}
# Calls that only look at something, or give the same numbers as another kind.
LOOKS = {"len", "str", "type", "id", "repr", "range", "list", "dict", "tuple", "set", "next",
         "reversed", "enumerate", "iter", "isinstance", "callable", "super", "float", "int", "bool",
         "ascontiguousarray", "copy"}  # fmt: skip


def name_of(call: ast.Call) -> str:
    f = call.func
    return f.attr if isinstance(f, ast.Attribute) else f.id if isinstance(f, ast.Name) else ""


def change(node: Any, **fields: Any) -> Any:
    """A copy of a node with other fields."""
    return type(node)(**{**{f: getattr(node, f, None) for f in node._fields}, **fields})


def signs(node: Node) -> Iterator[Node]:
    """a + b and a - b; -a and a; += and -=."""
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in SIGNS:
        yield change(node, op=SIGNS[type(node.op)]())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield node.operand


def factors(node: Node) -> Iterator[Node]:
    """a * b and a / b, a ** b and a * b."""
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in FACTORS:
        yield change(node, op=FACTORS[type(node.op)]())


def operands(node: Node) -> Iterator[Node]:
    """b - a for a - b, and so for / @ ** and the first two arguments of a call."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ORDERED):
        yield change(node, left=node.right, right=node.left)
    if isinstance(node, ast.Call) and name_of(node) not in COMMUTE and len(node.args) > 1:
        yield change(node, args=[node.args[1], node.args[0], *node.args[2:]])


def transposes(node: Node) -> Iterator[Node]:
    """X for X.T, and X.T for a factor of a matrix product."""
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield change(node, left=ast.Attribute(node.left, "T", ast.Load()))
        yield change(node, right=ast.Attribute(node.right, "T", ast.Load()))


def dropped(node: Node) -> Iterator[Node]:
    """A term of a sum, a factor of a product, a part of a condition; = for +=."""
    if isinstance(node, ast.BinOp):
        yield node.left
        if isinstance(node.op, ast.Sub):
            yield ast.UnaryOp(ast.USub(), node.right)
        elif not isinstance(node.op, ast.Div):
            yield node.right
        elif not (isinstance(node.left, ast.Constant) and node.left.value == 1):
            yield change(node, left=ast.Constant(1))
    if isinstance(node, ast.BoolOp):
        for i in range(len(node.values)):
            rest = node.values[:i] + node.values[i + 1 :]
            yield change(node, values=rest) if len(rest) > 1 else rest[0]
        yield change(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.AugAssign):
        yield ast.Assign([node.target], node.value)


def keywords(node: Node) -> Iterator[Node]:
    """A call without one of its keywords: axis, keepdims, initial; out, where it is all it does.

    What says only where a result lies in memory, and whether it is copied, changes no number.
    """
    written = isinstance(node, ast.Expr)
    call = node.value if isinstance(node, ast.Expr) else node
    if isinstance(call, ast.Call):
        for i, keyword in enumerate(call.keywords):
            if (keyword.arg == "out") is written and keyword.arg not in NO_NUMBERS:
                less = change(call, keywords=call.keywords[:i] + call.keywords[i + 1 :])
                yield change(node, value=less) if written else less


def constants(node: Node) -> Iterator[Node]:
    """n + 1 for n, 2 x for x, False for True."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, int):
            yield ast.Constant(node.value + 1)
        elif isinstance(node.value, float):
            yield ast.Constant(2 * node.value or 1.0)


def comparisons(node: Node) -> Iterator[Node]:
    """Neighbour and opposite: >= and <= for >."""
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in COMPARISONS[type(op)]:
                yield change(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])


def functions(node: Node) -> Iterator[Node]:
    """min for max, exp for expm1, x for f(x), x for x.clip(a, b)."""
    if not isinstance(node, ast.Call):
        return
    name = name_of(node)
    if name in OTHER_NAME and isinstance(node.func, ast.Attribute):
        yield change(node, func=change(node.func, attr=OTHER_NAME[name]))
    if name in LOOKS:
        return
    if isinstance(node.func, ast.Attribute) and not is_module(node.func.value):
        yield node.func.value
    elif len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]


def is_module(node: Node) -> bool:
    """Whether methods of it are functions: np.exp, np.add.reduce, numerics.sigmoid, self.gate."""
    while isinstance(node, ast.Attribute):
        node = node.value
    known = {"np", "math", "numerics", "self", "backprop"}
    return isinstance(node, ast.Name) and node.id in known


def flags(node: Node) -> Iterator[Node]:
    """Not need_dx for need_dx; a condition turned round."""
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    if name in FLAGS and isinstance(getattr(node, "ctx", None), ast.Load):
        yield ast.UnaryOp(ast.Not(), node)  # type: ignore[arg-type]
    if isinstance(node, (ast.If, ast.While)) and not isinstance(node.test, ast.Compare):
        yield change(node, test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse


def items(node: Node) -> Iterator[Node]:
    """(b, a) for (a, b), where values are returned or given names."""
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
        for i in range(len(node.elts) - 1):
            a, b = node.elts[i : i + 2]
            yield change(node, elts=[*node.elts[:i], b, a, *node.elts[i + 2 :]])


def deletions(node: Node) -> Iterator[Node]:
    """A statement that is not there."""
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr, ast.Return, ast.For, ast.If,
                         ast.While, ast.Continue, ast.Break)):  # fmt: skip
        yield ast.Pass()


RULES: list[Callable[[Node], Iterator[Node]]] = [
    signs, factors, operands, transposes, dropped, keywords, constants, comparisons, functions,
    flags, items, deletions,
]  # fmt: skip
