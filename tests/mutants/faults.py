"""The faults: those of mutmut, less what it does to text that people read, and statements left out.

mutmut's own runner puts every fault into one file and chooses one while the tests run, with a wrapper
around each function. Ours must stay what they are: some are found by their name, their kind or their
frame, and servers that tests start would need the tool. So each fault is a file of its own here.
"""

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import file_mutation
from mutmut.mutation.mutators import OPERATORS_TYPE, mutation_operators, operator_string
from mutmut.mutation.pragma_handling import IgnoredCode, get_ignored_lines


@dataclass(frozen=True)
class Fault:
    module: str  # the path of the module, from the project's folder
    line: int  # where it is in the sound module
    change: str  # "old line -> new line", which outlives edits of other lines
    text: str  # the whole module with the fault in it
    key: str  # changes with the function that the fault is in


def changed_strings(node: cst.BaseString) -> Iterator[cst.BaseString]:
    """One change of each string that a program reads, and none of prose."""
    if not (isinstance(node, cst.SimpleString) and " " in node.value):
        yield from list(operator_string(node))[:1]


def left_out(node: cst.SimpleStatementLine) -> Iterator[cst.SimpleStatementLine]:
    """A call whose result nobody wants, `await` or not; and `raise`."""
    match node.body:
        case [cst.Expr(cst.Call() | cst.Await()) | cst.Raise()]:
            yield node.with_changes(body=[cst.Pass()])


OPERATORS: OPERATORS_TYPE = [
    *((kind, made) for kind, made in mutation_operators if made is not operator_string),
    (cst.BaseString, changed_strings),
]
LEAVING_OUT: OPERATORS_TYPE = [(cst.SimpleStatementLine, left_out)]


class Module:
    """The faults in the functions of a module. What stands outside of them is mostly names and tables."""

    def __init__(self, path: str, code: str) -> None:
        self.path = path
        self.code = code
        wrapper = MetadataWrapper(cst.parse_module(code))
        # A message is not changed (pyproject.toml says which lines have some), but may be left out.
        visitors = [
            file_mutation.MutationVisitor(OPERATORS, get_ignored_lines(path, code, wrapper)),
            file_mutation.MutationVisitor(LEAVING_OUT, IgnoredCode(set(), set(), set())),
        ]
        for visitor in visitors:
            self._tree = wrapper.visit(visitor)
        self._positions = wrapper.resolve(PositionProvider)
        self._mutations = [
            mutation
            for visitor in visitors
            for mutation in visitor.mutations
            if isinstance(mutation.contained_by_top_level_function, cst.FunctionDef)
            and not makes_no_difference(mutation.original_node, mutation.mutated_node)
        ]

    def __len__(self) -> int:
        return len(self._mutations)

    def fault(self, number: int) -> Fault | None:
        """One of them; None if it is no Python. To write it out takes a while."""
        mutation = self._mutations[number]
        tree = file_mutation.deep_replace(self._tree, mutation.original_node, mutation.mutated_node)
        text = cast("cst.Module", tree).code
        if not compiles(text):
            return None
        change = described(self.code, text)
        function = self._tree.code_for_node(
            cast("cst.FunctionDef", mutation.contained_by_top_level_function)
        )
        key = hashlib.sha256(f"{self.path} {function} {change}".encode()).hexdigest()
        line = self._positions[mutation.original_node].start.line
        return Fault(self.path, line, change, text, key)


FALSE = m.Name("False") | m.Name("None")


def makes_no_difference(old: cst.CSTNode, new: cst.CSTNode) -> bool:
    """Whether a fault has None in the place of False, which code like ours tells apart nowhere."""
    match old, new:
        case ((cst.Assign() | cst.AnnAssign()), _):
            return m.matches(old, m.Assign(value=FALSE) | m.AnnAssign(value=FALSE))
        case cst.Call(), cst.Call():
            gone = [arg for arg in old.args if arg not in new.args]
            return len(gone) == 1 and gone[0] is old.args[-1] and m.matches(gone[0].value, FALSE)
    return False


def described(old: str, new: str) -> str:
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm=""))[3:]
    return " -> ".join(joined(line[1:] for line in lines if line[0] == sign) for sign in "-+")


def joined(lines: Iterable[str]) -> str:
    return " ".join(line.strip() for line in lines)


def compiles(text: str) -> bool:
    try:
        compile(text, "fault", "exec")
    except SyntaxError:
        return False
    return True
