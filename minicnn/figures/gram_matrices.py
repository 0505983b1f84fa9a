"""Figures 10 and 11: a layer's output as a matrix, and how a texture is searched for, in arrays."""

import numpy as np

from minicnn.figures.material import Figure
from minicnn.methods.texture.verb import TEXTURE
from minicnn.objectives.gram import style_targets
from minicnn.pictures.arrays import fit
from minicnn.pictures.arrays import picture as shown
from minicnn.pictures.diagrams import Board, heat

CARDS, SHIFT = 9, 13  # maps of the stack that are drawn, and by how many pixels each is moved
SIDE = 150
SHOWN = 40  # channels of a Gram matrix that are drawn at most


def figure_10(material):
    """The maps of a layer, as rows of a matrix, and the products of these."""
    job = _texture(material)
    source, layer = job.sources[0], list(job.settings.layers)[1]
    (maps,) = job.net.forward(source, [layer])[layer]
    channels, rows, columns = maps.shape
    order = np.argsort(-maps.mean(axis=(1, 2)))
    (gram,) = style_targets({layer: maps[None]})[layer]
    most = float(np.quantile(maps, 0.995))
    board = Board(420, 1060, material.settings.paper)
    for number in reversed(range(CARDS)):
        card = heat(maps[order[number]], SIDE, most)
        place = (90 + (CARDS - number) * SHIFT - SHIFT, 40 + number * SHIFT)
        board.put(card, place)
        board.box((place[0] - 1, place[1] - 1), (card.shape[0] + 1, card.shape[1] + 1))
    tall, wide = card.shape[:2]
    bottom = 90 + (CARDS - 1) * SHIFT + tall
    board.text(f"{layer}: {channels} maps", (40, 40 + (wide + CARDS * SHIFT) / 2), size=18)
    board.text(f"n_W = {columns}", (bottom + 18, 40 + wide / 2))
    board.text(
        f"n_H = {rows}", (bottom - tall / 2 - 10, 52 + wide + (CARDS - 1) * SHIFT), anchor="lm"
    )
    board.text(f"n_C = {channels}", (72, 40 + (CARDS - 1) * SHIFT / 2 + 10))
    unrolled = heat(
        maps[order[:SHOWN]].reshape(min(channels, SHOWN), -1)[:, : 2 * SHOWN], 300, most
    )
    board.put(unrolled, (130, 420))
    board.box((129, 419), (unrolled.shape[0] + 1, unrolled.shape[1] + 1))
    board.text("A: a map is a row", (100, 420 + unrolled.shape[1] / 2), size=18)
    under = 130 + unrolled.shape[0] + 22
    board.text(f"{channels} x {rows * columns}, its first columns", (under, 570))
    board.arrow((200, 360), (200, 412))
    strongest = float(np.quantile(gram, 0.999))
    matrix = heat(gram[np.ix_(order[:SHOWN], order[:SHOWN])], 240, strongest)
    board.put(matrix, (110, 790))
    board.box((109, 789), (matrix.shape[0] + 1, matrix.shape[1] + 1))
    board.text("G = A A^T", (84, 910), size=18)
    board.text(f"{channels} x {channels}", (110 + 262, 910))
    board.arrow((200, 728), (200, 782))
    return Figure(
        "Figure 10. The output of a layer, and its Gram matrix",
        board.picture(),
        f"{layer} of {job.net.attrs['name']} for the first style, {source.shape[3]} x "
        f"{source.shape[2]} pixels: n_C = {channels} maps of n_H x n_W = {rows} x {columns}. "
        "Equations 4 and 5: each map becomes a row of A; the entry (k, k') of G is the product of "
        "rows k and k', large where two units fire at the same places. Units in the order of their "
        f"mean; the first {min(channels, SHOWN)} are drawn. White is 0, full blue {most:.2g} in "
        f"the maps, {strongest:.2g} in G / (n_H n_W).",
        "minicnn derive style",
    )


def figure_11(material):
    """Gram matrices of source, noise and texture, layer by layer, with their distances."""
    job = _texture(material)
    outcome = job.run()
    layers, net = list(job.settings.layers), job.net
    found = {
        "source": job.sources[0],
        "noise, the start": job.start,
        "texture, the end": outcome.result.x,
    }
    grams = {name: style_targets(net.forward(x, layers)) for name, x in found.items()}
    side, step = 104, 136
    lefts = dict(zip(found, (120, 470, 820), strict=True))
    board = Board(200 + step * len(layers), 1060, material.settings.paper)
    for name, x in found.items():
        board.centred(fit(shown(x, net), 130), (95, lefts[name] + side / 2))
        board.text(name, (14, lefts[name] + side / 2), size=18)
    for number, layer in enumerate(layers):
        row = 190 + number * step
        (target,) = grams["source"][layer]
        most = float(np.quantile(target, 0.98))
        board.text(
            f"G of\n{layer}\n{len(target)} x {len(target)}", (row + side / 2, 14), anchor="lm"
        )
        for name, left in lefts.items():
            board.put(heat(grams[name][layer][0], side, most), (row, left))
            board.box((row - 1, left - 1), (side + 1, side + 1))
        for name, start, end in (("noise, the start", 236, 462), ("texture, the end", 586, 812)):
            gap = np.linalg.norm(grams[name][layer][0] - target) / np.linalg.norm(target)
            board.text(
                f"|G - G(source)|\n= {gap:.1%} of |G(source)|", (row + side / 2, (start + end) / 2)
            )
    result = outcome.result
    return Figure(
        "Figure 11. Texture synthesis, in its Gram matrices",
        board.picture(),
        f"From noise to a texture by {result.iterations} iterations of L-BFGS with "
        f"{job.net.attrs['name']}: the pixels are changed until the Gram matrices of all "
        f"{len(layers)} layers are near those of the source. The loss (equation 7) falls from "
        f"{result.trace[0]['value']:.4g} to {result.value:.4g}. One scale of colour a row.",
        f"minicnn texture STYLE -o texture.png --iterations {material.settings.iterations}",
    )


def _texture(material):
    """Return the job that synthesises the first style."""
    return TEXTURE.open_job(material.texture(material.files[1][0]))
