"""argparse with one-line errors, and the types of our options."""

import argparse
import dataclasses
import difflib
import math
import sys
import textwrap

from minicnn.terminal.report import say


class Parser(argparse.ArgumentParser):
    """A parser that says what was wrong in one line."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)

    def parse_args(self, args=None, namespace=None):
        """Return the arguments; an unknown option is answered with the nearest one there is."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            verb = getattr(found, "parser", self)
            verb.error(verb.unknown(unknown))
        return found

    def parse_known_args(self, args=None, namespace=None):
        """As argparse does; an option that once took no value gets the only one there is."""
        args = sys.argv[1:] if args is None else list(args)
        for action in self._actions:
            value = getattr(action, "alone", None)
            option = action.option_strings[0] if value else None
            for i in reversed(range(len(args))):
                if args[i] == option and args[i + 1 : i + 2] != [value]:
                    say(f"minicnn: {option} is called {option} {value} now", sys.stderr)
                    args.insert(i + 1, value)
        return super().parse_known_args(args, namespace)

    def shorten_usage(self):
        """Show what must be given, and of the rest that there are options."""
        must = [a for a in self._actions if not a.option_strings and a.nargs != "?"]
        words = [a.metavar + (" ..." if a.nargs == "+" else "") for a in must]
        words += [
            f"{a.option_strings[0]} {a.metavar}"
            for a in self._actions
            if a.required and a.option_strings
        ]
        self.usage = " ".join([self.prog, *words, "[options]"])

    def unknown(self, words):
        """Return what is wrong with words that no option takes."""
        option = next((word for word in words if word.startswith("-")), None)
        if option is None:
            return f"{' '.join(words)!r} is one argument too many"
        option = option.partition("=")[0]
        options = [text for action in self._actions for text in action.option_strings]
        begins = [text for text in options if text.startswith(option)]
        near = begins or difflib.get_close_matches(option, options, 1)
        return f"no option {option}" + (f"; did you mean {near[0]}?" if near else "")

    def error(self, message):
        """Exit with 2 after one line."""
        message = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {message}; {self.prog} --help lists the options\n")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of examples, and leaves room for the options."""

    def __init__(self, *args, **options):
        super().__init__(*args, **{**options, "max_help_position": 30, "width": 100})

    def _split_lines(self, text, width):
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def add_verb(verbs, name: str, run, summary: str, example: str) -> Parser:
    """Declare the verb `name`, done by `run(args)`; its help ends with the example."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"Example:\n{_indented(example)}",
    )
    verb.set_defaults(run=run, parser=verb)
    return verb


def add_network_options(verb, pool: str = "the network's") -> None:
    """Declare which network looks at the pictures."""
    verb.add_argument("--network", metavar="NAME", help="see `minicnn models` (default: minivgg)")
    verb.add_argument("--weights", metavar="FILE", help="HDF5 file of weights, or `random`")
    verb.add_argument("--pool", choices=("average", "max"), help=f"pooling (default: {pool})")


def add_optimizer_options(verb) -> None:
    """Declare how to search."""
    verb.add_argument(
        "--optimizer",
        choices=("lbfgs", "lbfgs-device", "adam", "momentum", "gradient-descent"),
        default="lbfgs",
        help="SciPy's L-BFGS, our own where the picture is, or another (default: lbfgs)",
    )
    verb.add_argument(
        "--learning-rate",
        metavar="R",
        type=rate,
        help="first step in grey levels of 0..255; not for L-BFGS",
    )
    add_evaluations(verb)


def add_evaluations(verb) -> None:
    """Declare the budget that is fair between optimizers."""
    verb.add_argument(
        "--evaluations",
        metavar="N",
        type=count,
        help="stop after N evaluations of the loss, each time (default: go by iterations)",
    )


def settings_of(kind, args, **others):
    """Return the settings of class `kind` of the arguments; `others` are those not named there."""
    names = [field.name for field in dataclasses.fields(kind)]
    named = {name: getattr(args, name) for name in names if hasattr(args, name)}
    return kind(**{**named, **others})


def add_device_options(verb) -> None:
    """Declare where to compute, and how much of it may be used."""
    verb.add_argument(
        "--device", metavar="auto|cpu|cuda|cuda:1", default="auto", help="(default: auto)"
    )
    verb.add_argument(
        "--gpu-memory",
        metavar="SIZE",
        type=gpu_memory,
        help="at most so much of each GPU: 8G, 500M or 50%% (default: all)",
    )


def add_machine_options(verb, low_memory: bool = False) -> None:
    """Declare where and how to compute; `low_memory` for verbs to which it makes a difference."""
    add_device_options(verb)
    engine = verb.add_mutually_exclusive_group()
    engine.add_argument(
        "--engine",
        metavar="auto|explicit|fast",
        default="auto",
        help="how to compute (default: auto)",
    )
    if low_memory:
        engine.add_argument(
            "--low-memory",
            dest="engine",
            action="store_const",
            const="low-memory",
            help="keep less on the CPU: what the first layer of VGG or minivgg makes is computed "
            "again where it is needed",
        )
    verb.add_argument(
        "--threads", metavar="N", type=count, help="worker threads (default: one a processor)"
    )


def add_output_options(verb) -> None:
    """Declare how to write."""
    verb.add_argument("--force", action="store_true", help="replace files that exist")
    verb.add_argument("--quiet", action="store_true", help="no progress")
    verb.add_argument("--json", action="store_true", help="progress and result as JSON lines")


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    return _number(text, int, lambda n: n >= 1, "a whole number of at least 1")


def seed(text: str) -> int:
    """Read a whole number of at least 0."""
    return _number(text, int, lambda n: n >= 0, "a whole number of at least 0")


def weight(text: str) -> float:
    """Read a finite number that is not negative."""
    return _number(text, float, lambda w: 0 <= w < math.inf, "a finite number that is not negative")


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    return _number(text, float, lambda f: 0 <= f <= 1, "a number from 0 to 1")


def weights(text: str) -> list:
    """Read "2,1" as [2.0, 1.0]: finite numbers that are not negative."""
    return [weight(part) for part in text.split(",")]


def counts(text: str) -> int | list:
    """Read "512" as 512 and "512,256" as [512, 256]: whole numbers of at least 1."""
    found = [count(part) for part in text.split(",")]
    return found if len(found) > 1 else found[0]


def rate(text: str) -> float:
    """Read a positive finite number."""
    return _number(text, float, lambda r: 0 < r < math.inf, "a positive finite number")


def gpu_memory(text: str) -> str:
    """Read "8G", "500M" or "50%" as CuPy takes it."""
    from minicnn.backend import memory_limit
    from minicnn.errors import MinicnnError

    try:
        return memory_limit(text)
    except MinicnnError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def size(text: str) -> tuple:
    """Read "512" as (512, 512) and "640x480" as (640, 480): width, height."""
    width, x, height = text.partition("x")
    try:
        return count(width), count(height if x else width)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 512 or 640x480") from None


def layers(text: str) -> dict:
    """Read "relu1_1,relu2_1=0.5" as {"relu1_1": 1.0, "relu2_1": 0.5}; a colon does as well."""
    found = {}
    for part in text.split(","):
        name, colon, factor = part.strip().replace(":", "=").partition("=")
        if not name or name in found:
            what = f"names {name} twice" if name else "has an empty name"
            raise argparse.ArgumentTypeError(f"{text!r} {what}; write relu1_1,relu2_1=0.5")
        found[name] = weight(factor) if colon else 1.0
    return found


def _number(text, kind, allowed, wanted):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not allowed(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


def _indented(example):
    return "\n".join(f"  {line.strip()}" for line in example.strip().splitlines())
