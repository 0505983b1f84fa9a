"""What a scan takes, from some of its pictures, for `runs.estimate`."""

from minicnn.backend import resolve_device
from minicnn.data.picture_set import PictureSet
from minicnn.methods.features import scan
from minicnn.runs.estimate.sample_run import cut_short
from minicnn.runs.inputs import load_network


def measure(s, seconds):
    """Scan for so many seconds; yield what all of it would take.

    Parameters
    ----------
    s : FeaturesSettings
    seconds : float
    """
    device = resolve_device(s.device)

    def run(**watched):
        net = load_network(s.network, s.weights, s.pool, seed=s.seed)
        layers = scan.choose_layers(net, s.layers)
        pictures = PictureSet(s.data[0], s.split, s.limit)
        begun = scan.begin(net, scan.settings_for(net, pictures, layers, top=s.top, size=s.size))
        how = {"batch": s.batch, "threads": s.threads, "device": device}
        scan.scan(begun, net, pictures, **how, **watched)

    whole, done, pictures = cut_short(run, seconds)
    what = f"{done} pictures of {pictures}; drawing the sheets comes on top"
    yield {"seconds": whole, "device": device, "what": what}
