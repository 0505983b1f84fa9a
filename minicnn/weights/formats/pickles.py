"""Pickles without pickle: a small machine that builds plain values and nothing else.

A pickle is a program for a stack machine. This one knows the instructions that make numbers, text,
tuples, lists and dictionaries; a function is only its name, and calling it looks the name up in a
table that the reader of a format gives. Nothing is ever imported or run, so a hostile pickle has
nothing to reach. `pickletools` of the standard library splits the bytes into instructions.
"""

import pickletools
import warnings
from typing import NamedTuple

from minicnn.errors import MinicnnError
from minicnn.storage.limits import MAX_DEPTH

LITERALS = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE",
    "BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
IGNORED = {"PROTO", "FRAME", "STOP"}


class Global(NamedTuple):
    """The name of a class or function; never the thing itself."""

    module: str
    name: str

    def __str__(self):
        return f"{self.module}.{self.name}"


class Built:
    """A value that the pickle completes later, as NumPy arrays are; `build` may set it."""

    def __init__(self, value=None):
        self.value = value

    def build(self, state):
        """Take the state; by default it says nothing that matters."""


def loads(file, calls: dict, persistent=None, refusal: str = ""):
    """Run one pickle.

    Parameters
    ----------
    file : binary file, in memory
        Left behind the pickle.
    calls : {(module, name): function}
        What may be called.
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
        for opcode, arg, _ in pickletools.genops(file):
            machine.step(opcode.name, arg)
    if len(machine.stack) != 1 or machine.marked:
        raise MinicnnError("the pickle ends in the middle")
    return machine.stack[0]


class _Machine:
    def __init__(self, calls, persistent, refusal):
        self.calls, self.persistent, self.refusal = calls, persistent, refusal
        self.stack, self.marked, self.memo = [], [], {}

    def step(self, name, arg):
        if name in LITERALS:
            self.stack.append(arg)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name not in IGNORED:
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                raise MinicnnError(f"the pickle uses {name}, which no array needs; {self.refusal}")
            method(arg)

    def _pop_mark(self):
        items, self.stack = self.stack, self.marked.pop()
        return items

    def _mark(self, _):
        self.marked.append(self.stack)
        self.stack = []

    def _empty_dict(self, _):
        self.stack.append({})

    def _empty_list(self, _):
        self.stack.append([])

    def _tuple(self, _):
        items = self._pop_mark()
        self.stack.append(tuple(items))

    def _tuple1(self, _):
        self.stack[-1:] = [(self.stack[-1],)]

    def _tuple2(self, _):
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def _tuple3(self, _):
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def _list(self, _):
        items = self._pop_mark()
        self.stack.append(items)

    def _dict(self, _):
        items = self._pop_mark()
        self.stack.append({})
        self._set(items)

    def _append(self, _):
        item = self.stack.pop()
        self._extend([item])

    def _appends(self, _):
        self._extend(self._pop_mark())

    def _extend(self, items):
        if not isinstance(self.stack[-1], list):
            raise MinicnnError("the pickle appends to what is no list")
        self.stack[-1].extend(items)

    def _setitem(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self, _):
        self._set(self._pop_mark())

    def _set(self, items):
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise MinicnnError("the pickle sets items of what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int)):  # hashing a nested tuple could exhaust the stack
                raise MinicnnError("the pickle has a key that is neither text nor a number")
            target[key] = value

    def _binput(self, index):
        self.memo[index] = self.stack[-1]

    _long_binput = _put = _binput

    def _memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def _binget(self, index):
        self.stack.append(self.memo[index])

    _long_binget = _get = _binget

    def _global(self, arg):
        module, _, name = arg.partition(" ")
        self.stack.append(Global(module, name))

    def _stack_global(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Global(str(module), str(name)))

    def _reduce(self, _):
        args, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self._call(function, args))

    _newobj = _reduce

    def _build(self, _):
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Built):
            target.build(state)
        elif not isinstance(target, dict):  # an OrderedDict may carry metadata
            raise MinicnnError(f"the pickle gives a state to a plain value; {self.refusal}")

    def _binpersid(self, _):
        if self.persistent is None:
            raise MinicnnError("the pickle refers to something outside")
        self.stack.append(self.persistent(self.stack.pop()))

    def _call(self, function, args):
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise MinicnnError("the pickle calls what is no function")
        if function not in self.calls:
            raise MinicnnError(f"the pickle wants to call {function}; {self.refusal}")
        return self.calls[function](*args)


def flatten(tree, budget, *, prefix="", depth=MAX_DEPTH) -> dict:
    """Return {name: array} of the arrays in nested dictionaries, lists and tuples.

    Names and places are joined by dots; numbers, text and the like are left out.

    Raises
    ------
    MinicnnError
        If the nesting is deeper than `depth`, as in a circle, or the entries are too many.
    """
    budget.count()
    if depth < 0:
        raise MinicnnError(f"too deeply nested, at {prefix[:60]}")
    if isinstance(tree, Built):
        return flatten(tree.value, budget, prefix=prefix, depth=depth - 1)
    if hasattr(tree, "dtype"):
        return {prefix or "array": tree}
    if isinstance(tree, (list, tuple)) and not isinstance(tree, Global):
        tree = dict(enumerate(tree))
    found = {}
    if isinstance(tree, dict):
        for key, value in tree.items():
            where = f"{prefix}.{key}" if prefix else str(key)
            for name, array in flatten(value, budget, prefix=where, depth=depth - 1).items():
                if name in found:
                    raise MinicnnError(f"two arrays are named {name[:60]}")
                found[name] = array
    return found
