"""Where the time of one evaluation goes, operation by operation, on one thread.

    python benchmarks/profile_evaluation.py [--network vgg19] [--size 256] [--engine fast]

Every function of minicnn and every larger NumPy call is timed by the processor time of its thread,
so that a busy machine disturbs little; of several evaluations the fastest is shown. An operator
(`a @ b`, `a += b`, `a[...] = b`) cannot be told from the function around it and counts there.
"""

import os
import sys

THREADS = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
os.environ.update(THREADS)

from cases import OBJECTIVES, Case, pictures  # noqa: E402 - after the environment
from options import Parser  # noqa: E402
from profiler import THROUGH, Profile, best_of, by_layer, by_operation, by_part  # noqa: E402

from minicnn.engine.cpu.plan import Plan  # noqa: E402
from minicnn.errors import MinicnnError  # noqa: E402


def main(argv=None):
    parser = Parser(
        description=__doc__.partition("\n\n")[0],
        epilog="example: python benchmarks/profile_evaluation.py --network minivgg --size 128",
    )
    parser.add_argument("--network", default="vgg19", choices=sorted(OBJECTIVES))
    parser.add_argument("--size", type=int, default=256, help="side of the picture, 256")
    parser.add_argument("--pool", default="", choices=("max", "average"))
    parser.add_argument("--engine", default="fast", choices=("fast", "explicit"))
    parser.add_argument("--repeats", type=int, default=5, help="evaluations timed, 5")
    parser.add_argument("--layers", action="store_true", help="a table by layer and direction too")
    parser.add_argument("--parts", type=int, default=25, help="rows of the table of functions, 25")
    parser.add_argument(
        "--through",
        nargs="+",
        default=[],
        metavar="MODULE",
        help=f"modules that call operations and are none, beside {', '.join(THROUGH)}",
    )
    args = parser.parse_args(argv)
    if args.size < 1 or args.repeats < 1 or args.parts < 0:
        parser.error("--size and --repeats are whole numbers from 1, --parts from 0")
    case = Case("gradient", args.network, args.size, threads=1, pool=args.pool)
    try:
        report(case, args)
    except MinicnnError as error:
        sys.exit(f"profile_evaluation: {error}")


def report(case, args):
    from peers.ours import style_function

    profile = Profile()
    # as the first evaluation does: through the units, whose names are the layers
    Plan._pass = lambda plan, name, stamp, walk: walk()
    with profile.watching_numpy():  # also while plans are made: they keep the functions they call
        fun = style_function(case, args.engine)
        x = pictures(case)[2]
        fun(x)
        bare = best_of(lambda: fun(x), args.repeats)
        found = min((profile.of(lambda: fun(x)) for _ in range(args.repeats)), key=lambda r: r.ms)
    print(f"{case.name}, engine {args.engine}: {found.ms:.1f} ms, {bare:.1f} ms when not watched")
    print(f"watching took another {found.watched_ms - found.ms:.1f} ms, which is in no row")
    print(f"of which the kernel {found.kernel_ms:.1f} ms, with {found.faults} page faults\n")
    print(table(by_operation(found, THROUGH + tuple(args.through)), found.ms, "operation"))
    if args.layers:
        print("\n" + table(by_layer(found), found.ms, "layer"))
    if args.parts:
        print("\n" + table(by_part(found)[: args.parts], found.ms, "part"))


def table(rows, total, title):
    """Return lines: name, milliseconds, share, calls, and the rate of products where there are."""
    lines = [f"{title:<64}{'ms':>8}{'%':>6}{'calls':>7}{'GFLOP/s':>9}"]
    for name, row in rows:
        rate = f"{row.flop / row.ms / 1e6:.0f}" if row.flop else ""
        share = 100 * row.ms / total
        lines.append(f"{name:<64}{row.ms:>8.1f}{share:>6.1f}{row.calls:>7}{rate:>9}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
