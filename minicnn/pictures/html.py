"""Pictures in pages and notebooks: as addresses that hold them, with their labels below."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from minicnn.pictures.overlays import magnified

FIGURE = '<figure style="display:inline-block;margin:4px;vertical-align:top">'


def data_uri(rgb, kind="PNG", **options):
    """Return a picture uint8 (H, W, 3) as a `data:` address."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def coloured(page, dark):
    """Return a page that follows its reader's choice of light or dark, or one that is dark."""
    return page.replace("color-scheme: light dark", "color-scheme: dark") if dark else page


def figures(row):
    """Return {label: picture uint8 (H, W, 3)} as HTML, side by side, labels as plain text."""
    return "".join(
        f'{FIGURE}<img src="{data_uri(magnified(rgb))}" alt="">'
        f"<figcaption>{escape(label)}</figcaption></figure>"
        for label, rgb in row.items()
    )
