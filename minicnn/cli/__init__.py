"""The command line: `minicnn VERB`. Results go to stdout, progress and notes to stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage; interrupted: 130 by Ctrl-C, 143 by SIGTERM, 129 by
SIGHUP. Bad input ends in one line on stderr; with --json as an object on stdout as well.
`register` has the verbs; of these, the one that is asked for is imported.
"""

import errno
import sys
import warnings
from collections.abc import Sequence

from minicnn.cli.register import VERBS, verb_of
from minicnn.storage.interrupts import INTERRUPTED, signals
from minicnn.terminal.parser import Parser, add_verb
from minicnn.terminal.report import Log, Report, say, streams

FAILED = 1
PICTURES = ("output", "sheet", "overlay", "plot")  # options that may be "-", stdout


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; those of the process by default.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    with streams() as stdout, signals() as ending, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an overflow, which a verb tells itself
        code, error = _run(argv)
        if error and "--json" in argv:
            Report(as_json=True).event("error", message=error)
        stdout.flush()
        if code == 0 and getattr(stdout.lost, "errno", errno.EPIPE) != errno.EPIPE:
            code, _ = _fail(f"cannot write to stdout: {stdout.lost.strerror}")
    return 128 + ending.numbers[0] if code == INTERRUPTED and ending.numbers else code


def _run(argv):
    """Run one command; return (exit code, error in words or None), whatever comes."""
    try:
        args = command_parser(argv).parse_args(argv)
        _prepare(args, argv)
        if getattr(args, "gpu_memory", None):
            from minicnn.backend import limit_memory

            limit_memory(args.gpu_memory)
        from minicnn.engine.cpu.threads import one_blas_thread

        with one_blas_thread():  # sums by several differ in the last digits
            return args.run(args) or 0, None
    except SystemExit as end:  # argparse: --help, --version, wrong usage
        return end.code, getattr(end, "message", None)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was saved", INTERRUPTED)
    except Exception as error:
        from minicnn.runs.failures import in_words

        if (message := in_words(error)) is None:
            raise
        return _fail(message)


def command_parser(argv: Sequence[str] = ()) -> Parser:
    """Return the parser: of all verbs the names, of the one that is asked for the options."""
    import minicnn

    parser = Parser(
        prog="minicnn",
        description="A convolutional network with every gradient written out, for making pictures.",
        epilog="Example:\n  minicnn demo",
    )
    parser.add_argument("--version", action="version", version=f"minicnn {minicnn.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    asked = next((word for word in argv if not word.startswith("-")), None)
    for name, (_, summary) in VERBS.items():
        if name != asked:
            verbs.add_parser(name, help=summary)
            continue
        found = verb_of(name)
        verb = add_verb(verbs, name, found.run, summary, found.example)
        found.add(verb)
        if (file := _value_of("--config", argv)) and "--config" in verb._option_string_actions:
            from minicnn.cli.config import preset

            verb.take_preset(preset(file, name, verb.declared))
        verb.shorten_usage()
    return parser


def _value_of(option, argv):
    """Return the last value of an option, before the options are known."""
    found = None
    for word, following in zip(argv, [*argv[1:], None], strict=True):
        if word == option:
            found = following
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found


def _prepare(args, argv):
    """Open the log that is asked for; leave stdout to a picture that goes there."""
    if getattr(args, "log_file", None):
        log = Log(args.log_file)
        log.add(f"minicnn {' '.join(argv)}")
        sys.stdout.log = sys.stderr.log = log
    if "-" in [getattr(args, name, None) for name in PICTURES]:
        sys.stdout = sys.stderr


def _fail(message, code=FAILED):
    message = " ".join(message.split())
    say(f"minicnn: error: {message}", sys.stderr)
    return code, message
