"""Which mutants a Python file has: every small change that turns one line of its code into wrong code.

Excluded is what no test should have to notice: docstrings, imports, annotations and their type variables, decorators, asserts
(they tell the type checker what holds), the texts and arguments of errors and warnings, f-strings, `__all__`, `TYPE_CHECKING`
blocks, and methods that only print (`__repr__`, `__str__`, `extra_repr`). A `raise` may be dropped as a whole, its condition
may be changed.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitXor: ast.BitAnd,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_PAIRS = (
    "start stop", "rows columns", "rows cols", "first last", "dac adc", "amax amin", "max min", "any all", "ceil floor",
    "sum mean", "input_range adc_range", "g_max_us g_min_us", "zeros_like ones_like", "zeros ones", "train eval",
    "input output", "weight bias", "stride dilation", "now reference", "before after", "append extend", "Min Max",
)  # fmt: skip
TWINS: dict[str, str] = {}
for _pair in _PAIRS:
    for _a, _b in (_pair.split(), _pair.split()[::-1]):
        TWINS.setdefault(_a, _b)
ONE_TO_ONE = {"abs", "square", "sqrt", "clamp", "round", "exp", "log", "clone", "flatten", "contiguous", "transpose"}
"""Methods that give something like what they are called on, so that the call may be left out."""
SYMMETRIC = {"isinstance", "getattr", "transpose", "swapaxes", "max", "min", "maximum", "minimum"}
"""Functions whose first two arguments are not swapped: nothing would change, or nothing would run."""
ERRORS = re.compile(
    r"(Error|Warning|Exception|BadInput|WrongSetting|NotYet|NotPossible|UseInstead|MissingExtra)$|^warn"
)
PRINTING = {"__repr__", "__str__", "extra_repr"}


@dataclass(frozen=True)
class Mutant:
    """One change of one line.

    Attributes:
        file: Path below the source's root.
        scope: Dotted name of the function or class that holds it; "" at the top of the file.
        kind: What was done.
        before: The code that is replaced.
        after: The code in its place.
        source: The whole line it begins on, stripped.
        line: Number of that line in the file that was read; a help to the reader, never used to find it again.
        start, end: Offsets of `before` in the file's text.
    """

    file: str
    scope: str
    kind: str
    before: str
    after: str
    source: str
    line: int
    start: int
    end: int

    def applied(self, text: str) -> str:
        """The file's text with the change."""
        return text[: self.start] + self.after + text[self.end :]

    def key(self) -> tuple[str, str, str, str, str]:
        """What names it, whatever line it has come to stand on."""
        return self.file, self.scope, self.source, " ".join(self.before.split()), " ".join(self.after.split())


def mutants(file: str, text: str) -> list[Mutant]:
    """Every mutant of a file, in the order of the text.

    Args:
        file: Path, for the record.
        text: Its content.
    """
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        # ast counts columns in bytes of UTF-8.
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    found: list[Mutant] = []
    for node, scope in _code(tree, ""):
        for kind, place, after in _changes(node):
            start = offset(place.lineno, place.col_offset)
            end = offset(place.end_lineno or place.lineno, place.end_col_offset or 0)
            source = lines[place.lineno - 1].strip()
            one = Mutant(file, scope, kind, text[start:end], after, source, place.lineno, start, end)
            if _parses(one.applied(text)):
                found.append(one)
    return sorted(found, key=lambda m: (m.start, m.end, m.after))


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _code(node: ast.AST, scope: str) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    """Statements and expressions that may be changed, with the name of what holds them."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        if node.name in PRINTING:
            return
        scope = f"{scope}.{node.name}" if scope else node.name
        fields = ["args", "body"] if not isinstance(node, ast.ClassDef) else ["body"]
    elif isinstance(node, ast.arguments):
        fields = ["defaults", "kw_defaults"]
    elif isinstance(node, ast.AnnAssign):
        fields = ["value"]
        yield node, scope
    elif _hidden(node) or (isinstance(node, ast.keyword) and node.arg == "strict"):
        return
    else:
        fields = list(node._fields)
        if isinstance(node, (ast.stmt, ast.expr)):
            yield node, scope
        if isinstance(node, ast.Raise):
            return
    for name in fields:
        value = getattr(node, name, None)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child, scope)


def _hidden(node: ast.AST) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert, ast.JoinedStr, ast.Global, ast.Nonlocal)):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a docstring
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) in ("__all__", "__slots__")
    return isinstance(node, ast.Call) and bool(
        ERRORS.search(ast.unparse(node.func)) or ast.unparse(node.func) == "TypeVar"
    )


def _changes(node: ast.stmt | ast.expr) -> Iterator[tuple[str, ast.stmt | ast.expr, str]]:
    """(kind, what is replaced, new code) for everything that can be done to this very node."""
    found = [(kind, node, changed) for kind, changed in _VARIANTS.get(type(node), _nothing)(node)]
    if isinstance(node, (ast.If, ast.While, ast.IfExp)) and not isinstance(node.test, (ast.Compare, ast.UnaryOp)):
        found.append(("negated", node.test, ast.UnaryOp(ast.Not(), node.test)))
    for kind, place, changed in found:
        code = ast.unparse(ast.fix_missing_locations(changed))
        yield kind, place, code if isinstance(changed, (ast.stmt, *_ATOMIC)) else f"({code})"


_ATOMIC = (ast.Constant, ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Slice)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _nothing(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    yield from ()


def _operator(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    assert isinstance(node, (ast.BinOp, ast.AugAssign))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and _is_type(node.left) and _is_type(node.right):
        return
    if type(node.op) in OPERATORS:
        yield "operator", _with(node, op=OPERATORS[type(node.op)]())
    if isinstance(node, ast.AugAssign):
        yield "statement dropped", ast.Pass()


def _is_type(node: ast.AST) -> bool:
    """True for what looks like a type in `A | B`: a name in capitals, or None."""
    name = ast.unparse(node).split("[")[0].split(".")[-1]
    return (
        name == "None"
        or (name[:1].isupper() and name != name.upper())
        or name in ("int", "float", "str", "bool", "dict")
    )


def _comparison(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    assert isinstance(node, ast.Compare)
    for i, op in enumerate(node.ops):
        ops = [*node.ops[:i], COMPARISONS[type(op)](), *node.ops[i + 1 :]]
        yield "comparison", _with(node, ops=ops)
        if isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) and len(node.ops) == 1:
            yield "negated", ast.UnaryOp(ast.Not(), node)


def _and_or(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    assert isinstance(node, ast.BoolOp)
    yield "and / or", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for i in range(len(node.values)):
        rest = [*node.values[:i], *node.values[i + 1 :]]
        yield "a part of and / or removed", rest[0] if len(rest) == 1 else _with(node, values=rest)


def _unary(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    assert isinstance(node, ast.UnaryOp)
    if not isinstance(node.op, ast.UAdd):
        yield "not / minus removed", node.operand


def _constant(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    assert isinstance(node, ast.Constant)
    value = node.value
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int):
        yield "constant", ast.Constant(value + 1)
    elif isinstance(value, float):
        yield "constant", ast.Constant(2 * value if value else 1.0)
    elif isinstance(value, str):
        yield "constant", ast.Constant(f"{value}_")


def _call(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    assert isinstance(node, ast.Call)
    args, name = node.args, ast.unparse(node.func).rpartition(".")[2]
    plain = len(args) > 1 and not any(isinstance(a, ast.Starred) for a in args[:2])
    if plain and ast.unparse(args[0]) != ast.unparse(args[1]) and name not in SYMMETRIC:
        yield "arguments swapped", _with(node, args=[args[1], args[0], *args[2:]])
    for i, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg != "strict":  # zip(strict=True) only checks
            yield "keyword removed", _with(node, keywords=[*node.keywords[:i], *node.keywords[i + 1 :]])
    if (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in ONE_TO_ONE
        and ast.unparse(node.func.value) != "torch"
    ):
        yield "call removed", node.func.value


def _attribute(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    assert isinstance(node, ast.Attribute)
    if node.attr in TWINS and isinstance(node.ctx, ast.Load):
        yield "attribute swapped", _with(node, attr=TWINS[node.attr])


def _slice(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for bound in ("lower", "upper", "step"):
        if getattr(node, bound) is not None:
            yield "slice bound removed", _with(node, **{bound: None})


def _return(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    assert isinstance(node, ast.Return)
    # None for False would be as false as it: there the constant is changed instead.
    if node.value is not None and ast.unparse(node.value) not in ("None", "False"):
        yield "None returned", ast.Return(ast.Constant(None))


def _condition(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    assert isinstance(node, ast.IfExp)
    yield "branches swapped", _with(node, body=node.orelse, orelse=node.body)


def _dropped(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Raise) and node.exc is not None and ast.unparse(node.exc) == "NotImplementedError":
        return  # of a method that every subclass has
    if not (isinstance(node, ast.Expr) and isinstance(node.value, (ast.Yield, ast.YieldFrom))):
        yield "statement dropped", ast.Pass()


def _assignment(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """An assignment to an attribute or a place in a tensor may be left out; without a plain name nothing would run."""
    assert isinstance(node, ast.Assign)
    if all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets):
        yield "statement dropped", ast.Pass()


def _filter(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for i, generator in enumerate(node.generators):  # type: ignore[attr-defined]
        if generator.ifs:
            changed = [*node.generators]  # type: ignore[attr-defined]
            changed[i] = _with(generator, ifs=[])
            yield "filter removed", _with(node, generators=changed)


_VARIANTS: dict[type[ast.AST], Callable[[ast.AST], Iterator[tuple[str, ast.AST]]]] = {
    ast.BinOp: _operator, ast.AugAssign: _operator, ast.Compare: _comparison, ast.BoolOp: _and_or, ast.UnaryOp: _unary,
    ast.Constant: _constant, ast.Call: _call, ast.Attribute: _attribute, ast.Slice: _slice, ast.Return: _return,
    ast.IfExp: _condition, ast.Expr: _dropped, ast.Raise: _dropped, ast.Assign: _assignment, ast.Delete: _dropped,
    ast.Continue: _dropped, ast.Break: _dropped, ast.ListComp: _filter, ast.SetComp: _filter, ast.DictComp: _filter,
    ast.GeneratorExp: _filter,
}  # fmt: skip
