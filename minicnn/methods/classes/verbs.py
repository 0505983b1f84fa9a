"""The verbs `saliency`, `class-model` and `occlusion`."""

from minicnn.methods.classes.settings import (
    ClassModelOutputs,
    ClassModelSettings,
    OcclusionSettings,
    SaliencySettings,
)
from minicnn.runs.look_run import LookVerb
from minicnn.runs.picture_run import PictureVerb

SALIENCY = LookVerb(
    "saliency",
    SaliencySettings,
    "minicnn.methods.classes.saliency",
    """
minicnn demo --size 64 --iterations 1
minicnn saliency minicnn-demo/content.jpg -o map.png --overlay where.png
""",
)
CLASS_MODEL = PictureVerb(
    "class-model",
    ClassModelSettings,
    ClassModelOutputs,
    "minicnn.methods.classes.class_model",
    "minicnn class-model --class goldfish --jitter 4 --blur 0.7 --iterations 150 -o goldfish.png",
)
OCCLUSION = LookVerb(
    "occlusion",
    OcclusionSettings,
    "minicnn.methods.classes.occlusion",
    """
minicnn demo --size 64 --iterations 1
minicnn occlusion minicnn-demo/content.jpg -o covered.png --step 8
""",
)
