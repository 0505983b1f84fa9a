"""Judge the pictures that networks paint by the style and content losses of VGG-19.

    python tools/judge_pictures.py student.h5 minivgg vgg19 --teacher vgg19 --size 256 \
        --contents tubingen.jpg golden_gate.jpg --styles starry_night.jpg the_scream.jpg -o FOLDER

Every network paints every content like every style by `minicnn style`, with its own defaults. The
pictures go to FOLDER, with a sheet of them all; one that is there already is not painted again.
For each there is a row:

    style      the teacher's style loss: five Gram matrices by mean squares, average pooling
    ratio      the same, over that of the teacher's own picture, if the teacher is among them
    content    the teacher's content loss, mean square of relu4_2
    cosine     of the gradients of the network's and the teacher's style loss at the content
    seconds    of processor time
"""

import argparse
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np

from minicnn import cli
from minicnn.errors import MinicnnError
from minicnn.methods import network_defaults
from minicnn.methods.style.loss import style_objective
from minicnn.pictures.arrays import fit, preprocess
from minicnn.pictures.reader import load_image
from minicnn.pictures.sheets import column, side_by_side
from minicnn.pictures.writer import save_image
from minicnn.terminal.report import table
from minicnn.weights import checkpoint

TEACHER = network_defaults.STYLE["vgg19"]


def loss_of(net, content, style, row, **weights):
    """Return J of style transfer on a network, with the layers of a row of `network_defaults`."""
    return style_objective(
        net,
        content,
        style,
        content_layers=row.content_layers,
        style_layers=row.style_layers,
        tv_weight=0,
        gram=row.gram,
        **weights,
    )


def style_gradient(net, content, style, row):
    """Return dJ/d(pixel) of the style loss at the content, RGB, float64 (3, H, W)."""
    attrs = net.attrs["preprocess"]
    x, s = (preprocess(rgb, attrs) for rgb in (content, style))
    _, dx = loss_of(net, x, s, row, content_weight=0, style_weight=1)(x)
    dx = dx[0].astype(np.float64) * attrs["scale"] / np.reshape(attrs["std"], (3, 1, 1))
    return dx[::-1] if attrs["channel_order"] == "BGR" else dx


def cosine(a, b):
    """Return the cosine of the angle between two arrays."""
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def judged(teacher, picture, content, style):
    """Return the teacher's (style loss, content loss) of a picture, uint8 (H, W, 3)."""
    x, c, s = (preprocess(rgb, teacher.attrs["preprocess"]) for rgb in (picture, content, style))
    losses = []
    for weights in ((0, 1), (1, 0)):
        weights = dict(zip(("content_weight", "style_weight"), weights, strict=True))
        losses.append(loss_of(teacher, c, s, TEACHER, **weights)(x)[0])
    return losses


def painted(path, content, style, network, options):
    """Paint, unless the picture is there; return the seconds of processor time it took."""
    if path.exists():
        return None
    started = time.process_time()
    argv = ["style", content, style, "-o", str(path), "--quiet", "--weights", network, *options]
    if cli.main(argv):
        raise MinicnnError(f"{network} could not paint {path}")
    return time.process_time() - started


def main(argv=None):
    """Paint, judge, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="+", help="names of networks at hand, or weight files")
    parser.add_argument("--teacher", default="vgg19", help="weights of VGG-19")
    parser.add_argument("--contents", nargs="+", required=True)
    parser.add_argument("--styles", nargs="+", required=True)
    parser.add_argument("--size", type=int, default=512, help="long side in pixels")
    parser.add_argument("--output", "-o", required=True, metavar="FOLDER")
    parser.add_argument("--iterations", type=int, help="in all (default: those of `style`)")
    args = parser.parse_args(argv)
    budget = ["--iterations", str(args.iterations)] if args.iterations else []
    options = ["--size", str(args.size), *budget]
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    teacher = checkpoint.load(args.teacher, pool="average")
    rows, sheet = [], []
    for content, style in product(args.contents, args.styles):
        pair = f"{Path(content).stem}-{Path(style).stem}"
        small = [fit(load_image(path).pixels, args.size) for path in (content, style)]
        wanted = style_gradient(teacher, *small, TEACHER)
        views, own = {"style": small[1]}, None
        found = []
        for network in args.networks:
            path = folder / f"{pair}-{Path(network).stem}.png"
            seconds = painted(path, content, style, network, options)
            picture = load_image(path).pixels
            views[Path(network).stem] = picture
            losses = judged(teacher, picture, *small)
            net = checkpoint.load(network, pool="average")
            row = network_defaults.style_preset(net.attrs["name"])
            alike = cosine(style_gradient(net, *small, row), wanted)
            found.append((network, *losses, alike, seconds))
            if checkpoint.weights_hash(net) == checkpoint.weights_hash(teacher):
                own = losses[0]
        for network, style_loss, content_loss, alike, seconds in found:
            row = {"pair": pair, "network": Path(network).stem, "style": f"{style_loss:.4g}"}
            row["ratio"] = f"{style_loss / own:.2f}" if own else ""
            row |= {"content": f"{content_loss:.4g}", "cosine": f"{alike:.3f}"}
            row["seconds"] = "" if seconds is None else f"{seconds:.0f}"
            rows.append(row)
        sheet.append(side_by_side(list(views.values()), list(views), height=args.size // 2))
        save_image(folder / "sheet.png", column(sheet), force=True)
        print(table(rows[-len(args.networks) :]), flush=True)
    print(table(rows))


if __name__ == "__main__":
    try:
        main()
    except MinicnnError as error:
        sys.exit(f"judge_pictures: {error}")
