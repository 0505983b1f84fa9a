"""Figures 9, 12, 13 and 14: pictures that are searched for, by the methods behind the verbs."""

from dataclasses import replace

from minicnn.figures.material import Figure
from minicnn.methods.inversion import findings
from minicnn.methods.inversion.settings import InvertSettings
from minicnn.methods.inversion.verb import INVERT
from minicnn.methods.style.settings import StyleSettings
from minicnn.methods.style.verb import STYLE
from minicnn.methods.texture.run import steps_of_sweep
from minicnn.methods.texture.verb import TEXTURE
from minicnn.network.layers import Dropout, ReLU, Softmax
from minicnn.pictures.arrays import fit
from minicnn.pictures.reader import load_image
from minicnn.pictures.sheets import column, grid, labelled, table

RESTARTS = 5
SHOWN = 200  # pixels to which the pictures of figure 9 are enlarged
SHARES = (0.02, 1.0)  # of the style's usual weight


def figure_9(material):
    """One layer from several seeds."""
    s, deep = material.settings, _last_before_classes(material.painter())
    made, told, cells = [], [], []
    for seed in range(s.seed, s.seed + RESTARTS):
        settings = InvertSettings(
            str(material.files[0]),
            layers=[deep],
            iterations=s.iterations,
            **{**material.network, "seed": seed},
        )
        job = INVERT.open_job(settings)
        outcome = job.run()
        made.append(outcome.picture)
        told.append(outcome.findings["layers"][0]["picture_errors"][0])
        text = f"seed {seed}, error {told[-1]:.2g}"
        cells.append(labelled(fit(outcome.picture, SHOWN), text, paper=s.paper))
    cells.insert(0, labelled(fit(job.picture, SHOWN), "the picture", paper=s.paper))
    return Figure(
        "Figure 9. Five inversions of one code",
        grid(cells, 3, gap=10, paper=s.paper),
        f"What {deep} keeps of a picture: {RESTARTS} others, searched for from noise by "
        f"{s.iterations} iterations, so that the layer gets nearly the same activations. The error "
        "is the squared distance of the activations over the square of the picture's. Two of them "
        f"differ by {findings.diversity(made):.0f} grey levels (RMS), which it does not see.",
        f"minicnn invert PICTURE --layer {deep} --restarts {RESTARTS} -o figure-9.png",
    )


def figure_12(material):
    """Textures from more and more layers."""
    s = material.settings
    sources = [*material.files[1][:2], material.files[0]]
    first = TEXTURE.open_job(material.texture(sources[0])).settings
    size = {"width": first.width, "height": first.height}
    jobs = [
        TEXTURE.open_job(material.texture(source, layers=some, **size))
        for some in steps_of_sweep(first.layers)
        for source in sources
    ]
    made = [job.run().picture for job in jobs]
    made += [job.pictures[0] for job in jobs[-len(sources) :]]
    lowest, *more = first.layers
    rows = [lowest, *(f"+ {name}" for name in more), "source"]
    return Figure(
        "Figure 12. Textures from more and more layers",
        table(made, rows, [""] * len(sources), paper=s.paper),
        f"By {jobs[0].net.attrs['name']}, {s.iterations} iterations each. Downwards the Gram "
        f"matrices of one more layer are matched: {', '.join(first.layers)}. The sources stand in "
        "the last row; the last column is of a picture that is no texture.",
        "minicnn texture STYLE PICTURE --sweep layers -o figure-12.png",
    )


def figure_13(material):
    """One content in several styles, by two weights."""
    s = material.settings
    content, styles = material.files
    how = {"size": s.size, "iterations": s.iterations, **material.network, "network": s.network}
    shown = []
    for style in styles:
        settings = StyleSettings(str(content), str(style), **how)
        known = STYLE.open_job(settings).settings
        shown.append(fit(load_image(style).pixels, s.size))
        for share in SHARES:
            one = replace(settings, style_weight=known.style_weight * share)
            shown.append(STYLE.open_job(one).run().picture)
    weights = [f"style weight {known.style_weight * share:g}" for share in SHARES]
    rows = [f"{letter}: {style.stem}" for letter, style in zip("BCDEFGHI", styles, strict=False)]
    above = labelled(fit(material.content, s.size), "A: the content", size=14, paper=s.paper)
    below = table(shown, rows, ["", *weights], gap=8, paper=s.paper)
    return Figure(
        "Figure 13. One content in several styles",
        column([above, below], gap=12, paper=s.paper),
        f"Neural style transfer (equation 8) by {known.network}, {s.size} pixels, "
        f"{s.iterations} iterations: content by {', '.join(known.content_layers)} with the weight "
        f"{known.content_weight:g}, style by {', '.join(known.style_layers)}. The more weight the "
        "style has, the less is left of the content.",
        "minicnn style PICTURE STYLE -o figure-13.png",
    )


def figure_14(material):
    """Each layer's reconstruction, and under it the texture of the layers up to there."""
    s = material.settings
    texture = material.texture(material.files[1][0])
    layers = TEXTURE.open_job(texture).settings.layers
    inversion = InvertSettings(
        str(material.files[0]), layers=list(layers), iterations=s.iterations, **material.network
    )
    shown = {"content": INVERT.open_job(inversion).picture}
    for layer in layers:
        shown[layer] = INVERT.open_job(replace(inversion, layers=[layer])).run().picture
    shown["style"] = material.style
    for some in steps_of_sweep(layers):
        made = TEXTURE.open_job(replace(texture, layers=some)).run().picture
        shown[f"up to {list(some)[-1]}"] = made
    cells = [labelled(_shown(rgb, s), label, paper=s.paper) for label, rgb in shown.items()]
    return Figure(
        "Figure 14. Content and style, layer by layer",
        grid(cells, len(layers) + 1, paper=s.paper),
        "Above: the picture as each layer keeps it (equations 1 to 3). Below: the style, searched "
        "for from noise by the Gram matrices of the layers up to there (equation 7). "
        f"{s.iterations} iterations each.",
        "minicnn invert PICTURE --layer relu2_1 -o kept.png",
    )


def _last_before_classes(net):
    """Return the layer that stands below the softmax, or the last one."""
    passed = (Softmax, Dropout, ReLU)
    return [node.name for node in net.nodes if not isinstance(node.layer, passed)][-1]


def _shown(rgb, settings):
    """Return a picture enlarged or shrunk, in the middle of an empty square."""
    small, side = fit(rgb, settings.size), settings.size
    square = settings.paper.sheet(side, side)
    top, left = ((side - length) // 2 for length in small.shape[:2])
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square
