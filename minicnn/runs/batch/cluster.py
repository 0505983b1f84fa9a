"""The rows of a batch on a Dask cluster.

A row is a job of its own. One whose worker dies is done again elsewhere; what was done stays. All
workers must find pictures, weights and the folder of the results under the same names.
"""

import os
from collections import Counter
from functools import partial

from minicnn.errors import MinicnnError
from minicnn.runs.batch import work
from minicnn.runs.dask_client import RETRIES, connected, unfinished


def workers(rows, do, address):
    """Do rows on the workers of a scheduler; yield records in the order in which they are done.

    Raises
    ------
    MinicnnError
        If there is no such cluster, or it goes away; finished rows are passed over next time.
    """
    with connected(address) as client:
        from distributed import KilledWorker, as_completed

        beside = Counter()  # machine -> rows that it does at a time, which share its memory
        for worker, count in client.nthreads().items():
            beside[worker.rpartition(":")[0]] += count
        # a relative name means another file to a worker
        do = partial(do, folder=os.getcwd(), processes=max(beside.values()))
        futures = dict(zip(client.map(do, rows, pure=False, retries=RETRIES), rows, strict=True))
        try:
            for future in as_completed(list(futures)):
                row = futures.pop(future)
                try:
                    record = future.result()
                except KilledWorker:
                    record = work.killed(row)
                yield record
        except (MinicnnError, KeyboardInterrupt, GeneratorExit):
            raise
        except Exception as error:  # whatever a worker raises is raised here
            raise unfinished(address, error, "the same command") from None
        finally:
            client.cancel(list(futures))
