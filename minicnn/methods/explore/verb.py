"""The verb `explore`."""

from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from minicnn.errors import MinicnnError
from minicnn.methods.explore.settings import ExploreSettings
from minicnn.runs.options import add_settings
from minicnn.runs.settings import settings_of
from minicnn.storage.interrupts import INTERRUPTED
from minicnn.terminal.report import Report

example = """
minicnn explore
minicnn explore minivgg random:minivgg --port 8000
"""
MOST = 2  # networks side by side
RANDOM = "random:"


def add(parser) -> None:
    """Declare the options."""
    add_settings(parser, ExploreSettings)


def run(args) -> int:
    """Serve the page until Ctrl-C."""
    settings = settings_of(ExploreSettings, args)
    with TemporaryDirectory(prefix="minicnn-explore-") as folder:
        server = opened(settings, folder)
        text = f"{server.url}\nopen this address in a browser; Ctrl-C ends"
        Report(settings.json).result(text, url=server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            server.answers.searches.stop_all()
            server.server_close()


def opened(settings, folder):
    """Return the `PageServer` of settings, which listens; uploaded files go into `folder`.

    Raises
    ------
    MinicnnError
        If a network, a file or the port is not what it should be.
    """
    from minicnn.methods.explore.answers import Answers
    from minicnn.methods.explore.searches import Searches
    from minicnn.methods.explore.seen import Explored
    from minicnn.methods.explore.server import PageServer
    from minicnn.runs.inputs import load_network

    settings.check()
    if len(settings.networks) > MOST:
        raise MinicnnError(
            f"{len(settings.networks)} networks; give one, or {MOST} to compare them"
        )
    named, explored = [_named(name) for name in settings.networks], []
    for name, own in zip(settings.networks, named, strict=True):
        net = load_network(own["network"], own["weights"], seed=settings.seed)
        explored.append(Explored(net, name, settings.size, settings.threads))
    scans = _scans(explored, settings.features or [])
    searches = Searches(named, folder, settings.seed, settings.threads)
    answers = Answers(explored, scans, folder, searches)
    if settings.picture is None:
        first = resources.files("minicnn.demo").joinpath("content.jpg")
        answers.first = answers.add("the lake of the demo", first.read_bytes())
    else:
        answers.first = answers.open(settings.picture)
    return PageServer(answers, settings.port)


def _named(name):
    """Return the settings that name a network as the command line does."""
    from minicnn.network import build

    if name.startswith(RANDOM):
        return {"network": name.removeprefix(RANDOM), "weights": "random"}
    known = name in build.names()
    return {"network": name if known else None, "weights": None if known else name}


def _scans(explored, files):
    """Return for each network its (Features, folder of the drawings), or None."""
    from minicnn.methods.features import results_file
    from minicnn.weights.checkpoint import weights_hash

    scans, hashes = [None] * len(explored), [weights_hash(one.net) for one in explored]
    for file in files:
        features = results_file.load(file)
        if features.settings.weights not in hashes:
            raise MinicnnError(
                f"{file} is a scan of {features.settings.network} with other weights than "
                f"{', '.join(one.name for one in explored)}; give the scan of a network explored"
            )
        for number, found in enumerate(hashes):
            if found == features.settings.weights:
                scans[number] = (features, Path(file).parent)
    return scans
