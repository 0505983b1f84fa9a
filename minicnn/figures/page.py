"""The page that walks through the lecture notes with the figures that are there."""

from html import escape

FILE = "index.html"
NOTES = "Javier Zazo, Visualization of convolutional networks and neural style transfer (2018)"
# (section, what it says, equations as text, figures)
SECTIONS = (
    (
        "1.1 Architecture",
        "A convolutional network alternates convolutions, rectification and max pooling. To see "
        "what excites a unit, the deconvnet goes the same way back: every value returns to where "
        "its maximum was, what is negative is left out, and the transposed filters paint it into "
        "the layer below, down to the pixels. Nothing is inverted: it is backpropagation, with "
        "another rule at the rectifications.",
        ("y = max(x, 0)        gradient dx = dy (x > 0)        deconvnet dx = max(dy, 0)",),
        (2, 3),
    ),
    (
        "1.2 Feature visualization",
        "All pictures of a data set go through the network. Of every unit the nine strongest "
        "activations are kept, at most one a picture, and projected with all other units at zero. "
        "Beside the projection stands the patch that the unit sees. Low layers answer to edges and "
        "colours, higher ones to parts of things.",
        (),
        (4, 5),
    ),
    (
        "1.3 Feature evolution during training",
        "The same at several moments of a training. A unit whose strongest picture changes jumps. "
        "Low layers settle soon, high ones late.",
        (),
        (6,),
    ),
    (
        "1.4 Architecture comparison",
        "Zeiler and Fergus found that large first filters with a large stride fold high "
        "frequencies onto low ones, and leave units dead. Two networks stand side by side, a "
        "coarse one and a finer one. Whether it holds here is said under the figures.",
        (),
        (7, 8),
    ),
    (
        "2 Image reconstruction",
        "How much of a picture does a layer keep? Other pictures are searched for that give the "
        "layer the same activations, smooth and within bounds by the regularizers.",
        (
            "(1)   x' = argmin over y of  J(x, y) + R(y)",
            "(2)   J(x, y) = |a(y) - a(x)|^2",
            "(3)   R(y) = sum of ((y[i,j+1] - y[i,j])^2 + (y[i+1,j] - y[i,j])^2)^(beta/2)",
        ),
        (9,),
    ),
    (
        "3 Texture synthesis",
        "Where a thing is does not matter to a texture, only what occurs together. The Gram matrix "
        "of a layer holds that: products of all pairs of maps, summed over the places. A picture "
        "with the same Gram matrices in several layers looks like the same texture.",
        (
            "(4)   G[k,k'] = sum over i, j of  a[i,j,k] a[i,j,k']",
            "(5)   G = A A^T",
            "(6)   J(S, G) = |G(S) - G(G)|^2 / (4 (n_W n_H)^2)",
            "(7)   the sum of (6) over layers, with weights",
        ),
        (10, 11, 12),
    ),
    (
        "4 Neural style transfer",
        "Both at once: activations of one picture in a higher layer, Gram matrices of another in "
        "several. L-BFGS changes the pixels until the weighted sum is small. Average instead of "
        "max pooling lets the gradient through more evenly.",
        ("(8)   J = alpha J_content + beta J_style",),
        (13, 14),
    ),
)
STYLE = """
:root { color-scheme: light dark; }
body { font: 17px/1.55 system-ui, sans-serif; max-width: 1120px; margin: 2em auto;
       padding: 0 1.2em; }
h1 { font-size: 1.7em; } h2 { margin-top: 2.2em; border-bottom: 1px solid #8886; }
p { max-width: 46em; } pre { background: #8882; padding: .7em 1em; overflow-x: auto; }
figure { margin: 1.4em 0; } img { max-width: 100%; border: 1px solid #8884; }
figcaption { opacity: .75; } nav a { margin-right: 1.1em; }
"""


def html(found):
    """Return the page; `found` is {number: (file, Figure)}."""
    parts, links = [], []
    for heading, words, equations, numbers in SECTIONS:
        here = [number for number in numbers if number in found]
        if not here:
            continue
        anchor = heading.partition(" ")[0]
        links.append(f'<a href="#s{anchor}">{escape(heading)}</a>')
        parts.append(f'<h2 id="s{anchor}">{escape(heading)}</h2><p>{escape(words)}</p>')
        if equations:
            parts.append(f"<pre>{escape(chr(10).join(equations))}</pre>")
        for number in here:
            file, figure = found[number]
            parts.append(
                f'<figure id="f{number}"><img src="{file}" alt="{escape(figure.caption)}">'
                f"<figcaption>Alike: <code>{escape(figure.command)}</code></figcaption></figure>"
            )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>The figures of the notes</title><style>{STYLE}</style>"
        "<h1>Looking inside convolutional networks: the figures of the notes</h1>"
        f"<p>The sections follow {escape(NOTES)}. Every figure is computed by minicnn; its caption "
        "has the numbers, and the command below it makes one like it from your own pictures.</p>"
        f"<nav>{' '.join(links)}</nav>{''.join(parts)}</html>\n"
    )
