"""The command line: `minicnn VERB`. Results go to stdout, progress and notes to stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Bad input ends in one line on stderr.
Each module of this folder has `add(verbs)`, which declares its verbs; what a verb needs is
imported when it runs, so that `--help` is quick.
"""

import importlib
import sys
from collections.abc import Sequence

from minicnn.errors import MinicnnError
from minicnn.runs.estimate import option
from minicnn.terminal.parser import Parser
from minicnn.terminal.report import drop, say

MODULES = (
    "methods.style.verb",
    "methods.texture.verb",
    "methods.inversion.verb",
    "methods.deconvnet.verb",
    "methods.classes.saliency_verb",
    "methods.classes.class_model_verb",
    "methods.classes.occlusion_verb",
    "methods.features.verb",
    "cli.verbs.rerun",
    "methods.style.demo_verb",
    "cli.verbs.models",
    "methods.classes.classify_verb",
    "methods.training.verb",
    "methods.evolution.verb",
    "methods.comparison.verb",
    "methods.training.curves_verb",
    "cli.verbs.weights",
    "cli.verbs.gradcheck",
    "cli.verbs.info",
)
FAILED, INTERRUPTED = 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; those of the process by default.
    """
    try:
        args = _parser().parse_args(argv)
        if getattr(args, "gpu_memory", None):
            _limit_gpu(args.gpu_memory)
        return args.run(args) or 0
    except SystemExit as end:  # argparse: --help, --version, wrong usage
        return end.code
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was saved", INTERRUPTED)
    except MinicnnError as error:
        return _fail(str(error))
    except BrokenPipeError:  # of argparse and tqdm; all else is said by `report`
        drop(sys.stderr)
        return FAILED
    except MemoryError as error:
        return _fail(f"{option.lack(str(error))}; use a smaller size")
    except RuntimeError as error:
        if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends"):
            raise
        return _fail(f"the GPU gave up: {error}; try again, or use --device cpu")
    except OSError as error:
        return _fail(f"{error.strerror or error}: {error.filename or 'input or output'}")
    finally:
        _flush()


def _parser() -> Parser:
    import minicnn

    parser = Parser(
        prog="minicnn",
        description="A convolutional network with every gradient written out, for making pictures.",
        epilog="Example:\n  minicnn demo",
    )
    parser.add_argument("--version", action="version", version=f"minicnn {minicnn.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in MODULES:
        importlib.import_module(f"minicnn.{name}").add(verbs)
    return parser


def _flush():
    """Write out what argparse has printed, unless its reader has left, as `head` does."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop(sys.stdout)


def _limit_gpu(memory):
    from minicnn.backend import limit_memory

    limit_memory(memory)


def _fail(message, code=FAILED):
    say(f"minicnn: error: {' '.join(message.split())}", sys.stderr)
    return code
