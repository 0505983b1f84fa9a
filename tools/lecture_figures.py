"""Remake figures 9, 12, 13 and 14 of the lecture notes from any picture, with any network.

    figure 9    a picture, and what one layer keeps of it, reconstructed from five seeds
    figure 12   textures: layers added one by one downwards, a column for each source; the last one
                is a picture without texture
    figure 13   style transfer: layers added one by one downwards, the weight of the style rising
                to the right (figure 3 of Gatys et al. 2015, arXiv 1508.06576)
    figure 14   a picture as each layer keeps it: the reconstruction from one layer after another,
                and under it the style reconstructed from the layers up to there

    python tools/lecture_figures.py FOLDER [--figures 9,12] [--picture P] [--style S] [--network N]

writes FOLDER/figure-09.jpg and so on: the pictures of the README, with the demo's pictures and the
embedded network. Everything is done by the tasks behind the verbs `invert`, `texture` and `style`.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from minicnn.methods.inversion.settings import InvertSettings
from minicnn.methods.inversion.verb import INVERT
from minicnn.methods.style import demo
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE
from minicnn.methods.texture.run import steps_of_sweep
from minicnn.methods.texture.settings import TextureSettings
from minicnn.methods.texture.verb import TEXTURE
from minicnn.pictures.arrays import fit
from minicnn.pictures.reader import load_image
from minicnn.pictures.sheets import grid, labelled, table
from minicnn.pictures.writer import save_image

RESTARTS = 5
KEPT = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_3", "fc5")  # of minivgg, figure 14
DEEP = "fc5"  # figure 9: the layer before the softmax
RATIOS = (0.01, 0.1, 1.0, 10.0)  # of the style's weight to the default
SHOWN = 128  # pixels to which small reconstructions are enlarged


def figure_9(args):
    """One layer from several seeds."""
    settings = InvertSettings(
        args.picture,
        layers=[args.deep],
        restarts=RESTARTS,
        iterations=args.iterations,
        **network_of(args),
    )
    return INVERT.open_job(settings).run().picture


def figure_12(args):
    """Textures from more and more layers."""
    settings = TextureSettings(
        [args.style, *(args.texture or [args.picture])],
        source_size=args.size,
        sweep=True,
        iterations=args.iterations,
        **network_of(args),
    )
    return TEXTURE.open_job(settings).run().picture


def figure_13(args):
    """Layers of the style downwards, its weight to the right."""
    settings = StyleSettings(
        args.picture, args.style, size=args.size, iterations=args.iterations, **network_of(args)
    )
    known = STYLE.open_job(settings).settings
    rows = steps_of_sweep(known.style_layers)
    rows = [rows[i] for i in sorted({round(k * (len(rows) - 1) / 3) for k in range(4)})]
    made = []
    for layers in rows:
        for ratio in RATIOS:
            one = StyleSettings(
                args.picture,
                args.style,
                size=args.size,
                iterations=args.iterations,
                style_layers=layers,
                style_weight=known.style_weight * ratio,
                **network_of(args),
            )
            made.append(STYLE.open_job(one).run().picture)
    ratios = [known.style_weight * ratio / known.content_weight for ratio in RATIOS]
    columns = [f"beta/alpha {ratio:g}" for ratio in ratios]
    return table(made, [f"up to {list(layers)[-1]}" for layers in rows], columns)


def figure_14(args):
    """Each layer's reconstruction, and under it the texture of the layers up to there."""
    inversion = InvertSettings(
        args.picture, layers=list(args.kept), iterations=args.iterations, **network_of(args)
    )
    row = INVERT.open_job(inversion)
    content = [labelled(shown(row.picture), "content")]
    for layer in args.kept:
        one = replace(inversion, layers=[layer])
        content.append(labelled(shown(INVERT.open_job(one).run().picture), layer))
    painted = load_image(args.style)[0]
    style = [labelled(shown(painted), "style")]
    fields = row.net.receptive_fields()
    spread = [layer for layer in args.kept if fields[layer].size is not None]
    for layers in steps_of_sweep(dict.fromkeys(spread, 1.0)):
        one = TextureSettings(
            [args.style],
            source_size=SHOWN,
            layers=layers,
            iterations=args.iterations,
            **network_of(args),
        )
        style.append(
            labelled(shown(TEXTURE.open_job(one).run().picture), f"up to {list(layers)[-1]}")
        )
    return grid([*content, *style], len(content))


FIGURES = {9: figure_9, 12: figure_12, 13: figure_13, 14: figure_14}


def network_of(args):
    """Return the settings that all tasks have."""
    return {"network": args.network, "weights": args.weights, "seed": args.seed}


def shown(rgb):
    """Return a picture enlarged or shrunk to `SHOWN`, in the middle of a white square."""
    small = fit(rgb, SHOWN)
    square = np.full((SHOWN, SHOWN, 3), 255, np.uint8)
    top, left = ((SHOWN - side) // 2 for side in small.shape[:2])
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


def arguments():
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where the figures go; made if it is not there")
    parser.add_argument("--figures", default="9,12,13,14", help="numbers (default: all four)")
    parser.add_argument("--picture", help="content (default: the demo's)")
    parser.add_argument("--style", help="style, and first texture (default: the demo's)")
    parser.add_argument(
        "--texture",
        nargs="*",
        default=[],
        help="further columns of figure 12 (default: the content)",
    )
    parser.add_argument("--network", help="default: minivgg")
    parser.add_argument("--weights", help="file of weights")
    parser.add_argument("--deep", default=DEEP, help="layer of figure 9")
    parser.add_argument(
        "--kept", type=lambda text: text.split(","), default=KEPT, help="layers of figure 14"
    )
    parser.add_argument("--size", type=int, default=160, help="pixels (default: 160)")
    parser.add_argument("--iterations", type=int, default=100, help="(default: 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suffix", default=".jpg", help="of the figures, .jpg or .png")
    return parser.parse_args()


def main():
    """Draw the figures."""
    args, folder = arguments(), None
    wanted = [int(number) for number in args.figures.split(",")]
    unknown = sorted(set(wanted) - set(FIGURES))
    if unknown:
        raise SystemExit(f"no figure {unknown[0]}; the figures are {', '.join(map(str, FIGURES))}")
    folder = Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        if args.picture is None or args.style is None:
            content, painted = demo.unpack(place)
            args.picture = args.picture or str(content)
            args.style = args.style or str(painted)
        for number in wanted:
            started = time.monotonic()
            path = folder / f"figure-{number:02d}{args.suffix}"
            save_image(path, FIGURES[number](args), force=True)
            print(f"{path}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
