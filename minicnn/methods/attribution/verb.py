"""The verb `attribute`."""

from minicnn.methods.attribution.settings import AttributionSettings
from minicnn.runs.look_run import LookVerb

EXAMPLE = """
minicnn demo --size 64 --iterations 1
minicnn attribute minicnn-demo/content.jpg --method grad-cam -o cam.png --overlay where.png
"""
ATTRIBUTE = LookVerb("attribute", AttributionSettings, "minicnn.methods.attribution.run", EXAMPLE)
