"""Pickles without pickle: a small machine that builds plain values and nothing else.

A pickle is a program for a stack machine. This one knows the instructions that make numbers, text,
tuples, lists and dictionaries, as far as protocols 2 to 5 write them; a function is only its name,
and calling it looks the name up in a table that the reader of a format gives. Nothing is ever
imported or run, so a hostile pickle has nothing to reach. `pickletools` of the standard library
splits the bytes into instructions.
"""

import pickletools
import warnings
from typing import NamedTuple

from minicnn.errors import MinicnnError
from minicnn.storage.limits import MAX_DEPTH

LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BYTEARRAY8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
MAX_ARGUMENTS = 32


class Global(NamedTuple):
    """The name of a class or function; never the thing itself."""

    module: str
    name: str


class Built:
    """A value that the pickle completes later, as NumPy arrays are; `build` may set it."""

    def __init__(self, value=None):
        self.value = value

    def build(self, state):
        """Take the state; by default it says nothing that matters."""


def shown(value) -> str:
    """Return a few words on a value; all of it may take for ever, where its parts are shared."""
    if isinstance(value, Global):
        return f"{value.module[:60]}.{value.name[:60]}"
    return repr(value[:60]) if isinstance(value, str) else type(value).__name__


def loads(file, calls: dict, budget, persistent=None, refusal: str = ""):
    """Run one pickle.

    Parameters
    ----------
    file : binary file, in memory
        Left behind the pickle.
    calls : {(module, name): function}
        What may be called.
    budget : Budget
    persistent : function, optional
        What makes a value of a persistent id.
    refusal : str
        What to add to the message about anything else that is called.

    Returns
    -------
    The value: numbers, text, bytes, tuples, lists, dictionaries, `Built`, `Global`.

    Raises
    ------
    MinicnnError
        If the pickle wants more than that.
    """
    machine = _Machine(calls, persistent, refusal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in damaged text
        for opcode, argument, _ in pickletools.genops(file):
            budget.step()
            machine.step(opcode.name, argument)
    if len(machine.stack) != 1 or machine.below:
        raise MinicnnError("the pickle ends in the middle")
    return machine.stack[0]


class _Machine:
    def __init__(self, calls, persistent, refusal):
        self.calls, self.persistent, self.refusal = calls, persistent, refusal
        self.stack, self.below, self.memo = [], [], {}  # `below`: the stacks under each mark

    def step(self, name, argument):
        """Do one instruction."""
        stack = self.stack
        if name in LITERALS:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name not in ("PROTO", "FRAME", "STOP"):
            self.build(name, argument, stack)

    def build(self, name, argument, stack):
        match name:
            case "MARK":
                self.below.append(stack)
                self.stack = []
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "TUPLE":
                self.above_mark().append(tuple(stack))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND":
                item = stack.pop()
                self.extend(stack[-1], [item])
            case "APPENDS":
                self.extend(self.above_mark()[-1], stack)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self.set_items(stack[-1], [key, value])
            case "SETITEMS":
                self.set_items(self.above_mark()[-1], stack)
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(Global(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                function, module = stack.pop(), stack.pop()
                if not isinstance(function, str) or not isinstance(module, str):
                    raise MinicnnError("the pickle wants a function whose name is no text")
                stack.append(Global(module, function))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self.call(function, arguments))
            case "BUILD":
                state, target = stack.pop(), stack[-1]
                if isinstance(target, Built):
                    target.build(state)
                elif not isinstance(target, dict):  # an OrderedDict may carry metadata
                    raise MinicnnError(f"the pickle gives a state to a plain value; {self.refusal}")
            case "BINPERSID" if self.persistent:
                stack.append(self.persistent(stack.pop()))
            case _:
                raise MinicnnError(f"the pickle uses {name}, which no array needs; {self.refusal}")

    def above_mark(self):
        """Go back to the stack under the last mark, and return it."""
        self.stack = self.below.pop()
        return self.stack

    def extend(self, target, items):
        if not isinstance(target, list):
            raise MinicnnError("the pickle appends to what is no list")
        target.extend(items)

    def set_items(self, target, items):
        if not isinstance(target, dict) or len(items) % 2:
            raise MinicnnError("the pickle sets items of what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int)):  # hashing a tuple takes for ever, as showing it
                raise MinicnnError("the pickle has a key that is neither text nor a number")
            target[key] = value

    def call(self, function, arguments):
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise MinicnnError("the pickle calls what is no function")
        if function not in self.calls or len(arguments) > MAX_ARGUMENTS:
            raise MinicnnError(f"the pickle wants to call {shown(function)}; {self.refusal}")
        return self.calls[function](*arguments)


def flatten(tree, budget) -> dict:
    """Return {name: array} of the arrays in nested dictionaries, lists and tuples.

    Names and places are joined by dots; numbers, text and the like are left out.

    Raises
    ------
    MinicnnError
        If it is nested too deeply, as in a circle, or the entries are too many.
    """
    found = {}
    _collect(tree, "", MAX_DEPTH, budget, found)
    return found


def _collect(tree, name, depth, budget, found):
    budget.step()
    budget.take(len(name), "the names of its arrays")
    if depth < 0:
        raise MinicnnError(f"too deeply nested, at {name[:60]}")
    if isinstance(tree, Built):
        _collect(tree.value, name, depth - 1, budget, found)
    elif hasattr(tree, "dtype"):
        budget.put(found, name or "array", tree)
    elif isinstance(tree, (dict, list, tuple)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            inner = f"{name}.{key}" if name else str(key)
            _collect(value, inner, depth - 1, budget, found)
