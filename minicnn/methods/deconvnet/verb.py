"""The verb `deconv`."""

from minicnn.methods.deconvnet.settings import DeconvSettings
from minicnn.runs.look_run import LookVerb

EXAMPLE = """
minicnn demo --size 64 --iterations 1
minicnn deconv minicnn-demo/content.jpg --layer relu3_3 --unit max:9 -o deconv.png --sheet sheet.png
"""
DECONV = LookVerb("deconv", DeconvSettings, "minicnn.methods.deconvnet.run", EXAMPLE)
