"""The scan of `scan` on a Dask cluster: parts go out, what they find is merged.

A part is a run of blocks, done as a shard does them, so the result is that of a single process bit
for bit where the machines round alike. A part whose worker dies is done again elsewhere; the
network is kept by the scheduler, so that a lone worker may die and come back. All workers must find
the data set under the same path.
"""

import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from minicnn.data.picture_set import PictureSet
from minicnn.errors import MinicnnError
from minicnn.methods.features import results_file
from minicnn.methods.features import scan as features_scan
from minicnn.network.network import Network
from minicnn.runs.dask_client import RETRIES, connected, unfinished

PICTURES_A_PART = 64


def scan(
    features,
    net,
    address,
    *,
    blocks=None,
    strict=False,
    save=None,
    progress=None,
    blocks_a_part=None,
):
    """Scan the blocks that are not done yet on the workers of a scheduler; see `scan.scan`.

    Parameters
    ----------
    features : Features
        Not changed.
    net : Network
    address : str
        Of a running scheduler, as tcp://10.0.0.1:8786.
    blocks_a_part : int, optional
        It does not change the result; by default blocks of `PICTURES_A_PART` pictures.

    Returns
    -------
    Features

    Raises
    ------
    MinicnnError
        If Dask is not installed, there is no scheduler or it has no workers, a part fails, or the
        scheduler goes away; what has been found was saved.
    KeyboardInterrupt
        After what has been found was saved.
    """
    settings, save = features.settings, save or (lambda _: None)
    todo, total = features_scan.blocks_left(features, blocks)
    step = blocks_a_part or max(1, PICTURES_A_PART // settings.group)
    parts = [todo[i : i + step] for i in range(0, len(todo), step)]
    count, saved = 0, time.monotonic()
    # a relative path means another folder to a worker
    there = replace(settings, data=str(Path(settings.data).resolve()))
    with connected(address) as client, _failures_told(address, lambda: save(features)):
        from distributed import as_completed

        sent = _sent(client, net)
        futures = {
            client.submit(scan_part, sent, there, part, strict, pure=False, retries=RETRIES): part
            for part in parts
        }
        try:
            for future in as_completed(futures):
                part, found = futures.pop(future), future.result()
                found.skipped = {
                    n: _as_here(why, there, settings) for n, why in found.skipped.items()
                }
                features = results_file.merge(features, found)
                count += sum(len(settings.block(b)) for b in part)
                future.release()
                if progress:
                    progress(count, total, features.skipped)
                if time.monotonic() - saved > features_scan.SAVE_SECONDS:
                    save(features)
                    saved = time.monotonic()
        finally:
            client.cancel(list(futures))
    features_scan.check_some(features)
    save(features)
    return features


def _as_here(reason, there, settings):
    """Return why a picture was skipped, with its path as a scan on this machine writes it."""
    # what stands before a name: for the folder where we are, nothing
    before = [str(Path(data, "_"))[:-1] for data in (there.data, settings.data)]
    return reason.replace(*before).replace(there.data, str(Path(settings.data)))


@contextmanager
def _failures_told(address, save):
    """Save, and say in one line what went wrong, whatever comes from the cluster."""
    try:
        yield
    except (KeyboardInterrupt, MinicnnError):
        save()
        raise
    except Exception as error:  # whatever a worker raises is raised here
        save()
        raise unfinished(address, error, "--resume") from None


def _sent(client, net):
    """Return a future of what a network is made of, which pickles."""
    packed = [tuple(node) for node in net.nodes], dict(net.params), net.input_shape, net.attrs
    with warnings.catch_warnings():
        # advises to scatter, but what is scattered is lost with the last worker that has it
        warnings.filterwarnings("ignore", "Sending large graph")
        return client.submit(tuple, packed, pure=False, retries=RETRIES)


def scan_part(packed, settings, blocks, strict):
    """Scan some blocks on a worker."""
    net = Network(*packed)
    features = features_scan.begin(net, settings)
    try:
        pictures = _opened(settings.data, settings.split, settings.pictures, settings.fingerprint)
    except MinicnnError as error:
        raise MinicnnError(f"{error}; all workers need the data set under this path") from None
    features_scan.scan(features, net, pictures, blocks=blocks, strict=strict, threads=1)
    return features


@lru_cache(1)
def _opened(data, split, limit, fingerprint):
    """Return the pictures, which a worker looks for once; the fingerprint tells a changed set."""
    return PictureSet(data, split, limit)
