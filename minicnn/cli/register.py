"""The verbs of the command line: name -> where it is, and what it does in a line.

Where it is: a module with `add(parser)`, `run(args)` and `example`, or an object of a module that
has these (`module:name`). A module is imported when its verb is asked for.
"""

from importlib import import_module

VERBS = {
    "style": ("methods.style.verb:STYLE", "paint the content of one picture like another"),
    "texture": ("methods.texture.verb:TEXTURE", "make a texture that looks like that of a picture"),
    "invert": ("methods.inversion.verb:INVERT", "show what a layer keeps of a picture"),
    "deconv": ("methods.deconvnet.verb:DECONV", "show what in a picture excites a unit of a layer"),
    "saliency": ("methods.classes.verbs:SALIENCY", "show which pixels decide a class"),
    "class-model": ("methods.classes.verbs:CLASS_MODEL", "make the picture that scores highest"),
    "attribute": ("methods.attribution.verb:ATTRIBUTE", "share a score out among the pixels"),
    "fool": ("methods.attribution.verb:FOOL", "change a picture least, so that its class turns"),
    "occlusion": ("methods.classes.verbs:OCCLUSION", "cover a picture, and map what is lost"),
    "explore": ("methods.explore.verb", "look through a network in a browser, unit by unit"),
    "classify": ("methods.classes.classify_verb", "say what is in pictures"),
    "features": ("methods.features.verb", "show what excites the units of a network in a data set"),
    "figures": ("figures.verb", "draw the figures of the lecture notes, with a page"),
    "data": ("cli.verbs.data", "draw labelled pictures to train on"),
    "train": ("methods.training.verb", "train a classifier on labelled pictures"),
    "distill": ("methods.distillation.verb", "teach a small network to see as VGG-19 does"),
    "curves": ("methods.training.curves_verb", "draw loss and accuracy of training runs"),
    "evolution": ("methods.evolution.verb", "show how features come about during training"),
    "compare": ("methods.comparison.verb", "compare two networks: filters, dead units, aliasing"),
    "video": ("methods.style.video", "paint the frames of a video, each near the one before"),
    "demo": ("methods.style.demo", "paint two pictures that come with minicnn"),
    "batch": ("cli.verbs.batch", "make many pictures by one command"),
    "rerun": ("cli.verbs.rerun", "make a picture again from the settings in it"),
    "models": ("cli.verbs.models", "list the networks, or the layers of one"),
    "weights": ("cli.verbs.weights", "look into weight files, convert, fetch and change them"),
    "derive": ("cli.verbs.derive", "derive a gradient step by step, with its lines of code"),
    "completion": ("cli.verbs.completion", "print a script that completes options in a shell"),
    "lab": ("cli.verbs.lab", "copy a lab: a step of the lecture notes with blanks to fill"),
    "gradcheck": ("cli.verbs.gradcheck", "check every gradient against central differences"),
    "info": ("cli.verbs.info", "print versions, processors, devices and networks"),
}


def verb_of(name):
    """Return the module or object of a verb."""
    module, _, member = VERBS[name][0].partition(":")
    found = import_module(f"minicnn.{module}")
    return getattr(found, member) if member else found


def rerunnable():
    """Return the names of the verbs whose pictures can be made again."""
    return [name for name, (place, _) in VERBS.items() if ":" in place]
