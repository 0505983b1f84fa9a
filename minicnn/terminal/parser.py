"""argparse with one-line errors, and the types of our options."""

import argparse
import difflib
import sys
import textwrap

from minicnn.terminal.report import say


class Parser(argparse.ArgumentParser):
    """A parser that says what was wrong in one line.

    `preset` is what is taken for options that are not given, in the place of their defaults.
    """

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)
        self.preset = {}

    def take_preset(self, values):
        """Take {destination: value} for what is not given, which then need not be."""
        self.preset.update(values)
        for action in self._actions:
            if action.dest in values:
                action.default, action.required = argparse.SUPPRESS, False
        for group in self._mutually_exclusive_groups:
            if any(action.dest in values for action in group._group_actions):
                group.required = False

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
        found, unknown = super().parse_known_args(args, namespace)
        for name, value in self.preset.items():
            if not hasattr(found, name):
                setattr(found, name, value)
        return found, unknown

    def shorten_usage(self):
        """Show what must be given, and of the rest that there are options."""
        must = [a for a in self._actions if not a.option_strings and a.nargs != "?"]
        several = {"+": "{} ...", "*": "[{} ...]"}
        words = [several.get(a.nargs, "{}").format(a.metavar) for a in must]
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
        """Exit with 2 after one line; the `SystemExit` has the message."""
        message = f"{' '.join(message.split())}; {self.prog} --help lists the options"
        say(f"{self.prog}: error: {message}", sys.stderr)
        end = SystemExit(2)
        end.message = message
        raise end


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


def _indented(example):
    return "\n".join(f"  {line.strip()}" for line in example.strip().splitlines())
