"""The verbs `attribute` and `fool`."""

from minicnn.methods.attribution.settings import AttributionSettings, FoolSettings
from minicnn.runs.look_run import LookVerb

EXAMPLE = """
minicnn demo --size 64 --iterations 1
minicnn attribute minicnn-demo/content.jpg --method grad-cam -o cam.png --overlay where.png
"""
ATTRIBUTE = LookVerb("attribute", AttributionSettings, "minicnn.methods.attribution.run", EXAMPLE)
FOOL = LookVerb(
    "fool",
    FoolSettings,
    "minicnn.methods.attribution.fool_run",
    """
minicnn demo --size 64 --iterations 1
minicnn fool minicnn-demo/content.jpg -o fooled.png --sheet sheet.png
""",
)
