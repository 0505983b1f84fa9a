"""A client of a running Dask scheduler (extra `distributed`)."""

import logging

from minicnn.errors import MinicnnError

RETRIES = 5  # of a part of the work, where workers die
TIMEOUT = 10  # seconds to find the scheduler


def connected(address):
    """Return the client of the scheduler at an address, as tcp://10.0.0.1:8786.

    Raises
    ------
    MinicnnError
        If Dask is not installed, there is no scheduler or it has no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MinicnnError(
            "--scheduler needs Dask; install it with: pip install dask distributed"
        ) from None
    # pages of what it tried when the scheduler went away; `unfinished` has the one line
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=TIMEOUT)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MinicnnError(f"no Dask scheduler at {address!r}: {reason}") from None
    if not client.scheduler_info().get("workers"):
        client.close()
        raise MinicnnError(f"the scheduler at {address} has no workers; start some: dask worker")
    return client


def unfinished(address, error, again):
    """Return the line that says that a cluster did not finish, and how to do it `again`."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return MinicnnError(
        f"the cluster at {address} did not finish: {reason}; see that it runs, with this "
        f"version of minicnn on its workers, then go on with {again}"
    )
