"""What a pixel of a photograph takes over one of a square: the style objective of one network.

    python benchmarks/shapes.py [--network vgg19] [--sizes 256 512] [--rounds 9] [--threads 2]

Value and gradient by the fast engine, all shapes in turn in one process: two processes differ by
more than what is to be seen. The longer side has --sizes pixels; medians of the ratios by rounds.
"""

import sys
from time import perf_counter

import numpy as np
from cases import OBJECTIVES, Case, pictures
from options import Parser
from peers.ours import style_function
from plan import SHAPES
from table import markdown

from minicnn.engine.cpu.threads import thread_count
from minicnn.errors import MinicnnError


def main(argv=None):
    parser = Parser(
        description=__doc__.partition("\n\n")[0],
        epilog="example: python benchmarks/shapes.py --network minivgg --sizes 128",
    )
    parser.add_argument("--network", default="vgg19", choices=sorted(OBJECTIVES), help="vgg19")
    parser.add_argument("--sizes", nargs="+", type=int, default=(256, 512), help="256 512")
    parser.add_argument("--rounds", type=int, default=9, help="9")
    parser.add_argument("--threads", help="as many as there are processors")
    args = parser.parse_args(argv)
    if min(*args.sizes, args.rounds) < 1:
        parser.error("--sizes and --rounds are whole numbers from 1")
    try:
        threads = thread_count(args.threads)
        rows = [row(args.network, size, threads, args.rounds) for size in args.sizes]
    except MinicnnError as error:
        sys.exit(f"shapes: {error}")
    print(markdown([["", "square, ms", *SHAPES], *rows]))


def row(network, size, threads, rounds):
    """Return [size, milliseconds of the square, ratio of every shape, ...]."""
    cases = [Case("gradient", network, size, threads, shape=shape) for shape in ("", *SHAPES)]
    evaluations = [prepared(case) for case in cases]
    pixels = [np.prod(case.sides) for case in cases]
    times = np.array([[seconds(one) for one in evaluations] for _ in range(rounds)])
    a_pixel = times / pixels
    ratios = np.median(a_pixel / a_pixel[:, :1], axis=0)[1:]
    return [f"{size} px", f"{1e3 * np.median(times[:, 0]):.1f}", *(f"{r:.2f}" for r in ratios)]


def prepared(case):
    """Return a function that evaluates the objective, which it has done twice."""
    fun, x = style_function(case), pictures(case)[2]
    for _ in range(2):
        fun(x)
    return lambda: fun(x)


def seconds(evaluation):
    """Return what an evaluation takes, right after another one: the other shape's is forgotten."""
    evaluation()
    start = perf_counter()
    evaluation()
    return perf_counter() - start


if __name__ == "__main__":
    main()
