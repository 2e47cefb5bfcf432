"""`gridproof bench`: what this machine reaches, each figure beside its floor and beside the stock library, in one run.

A benchmark is a function `(bed: Bed) -> list[Figure]` in a file of its own, named in `REGISTRY`:

    # interfaces/bench/rebuild.py
    def rebuild(bed: Bed) -> list[Figure]:
        '''Rebuild of a read model against COPY out of the same rows.'''
        events = bed.sized(1_000_000, least=200)       # fewer when somebody only tries it: `--scale 0.01`
        with bed.database() as database:               # a fresh one, migrated: app_url, owner_url, admin_url
            ...
            bed.tell("folding 1,000,000 events")        # progress, to stderr
        return [figure("rebuild, folded", unit="events/s", ours=..., floor=..., stock=None)]

    # interfaces/bench/registry.py
    REGISTRY["rebuild"] = "interfaces.bench.rebuild:rebuild"

`figure(..., lower_is_better=True)` is for times: its ratio is floor / ours then, so that 1.0 is always as good as the
floor. Floors are honest: same rows and bytes, as many clients, fsync and synchronous_commit on (the server is started
so, `bed.database()` refuses another one). Name in `details` what a reader needs to judge (events, bytes, p99_ms).

Adapters come from `interfaces.bootstrap` only: factories for benchmarks are in `interfaces/bootstrap/bench.py`
(the event store) or in a file `interfaces/bootstrap/bench_<name>.py` beside it. psycopg may be used here for floors.
"""

from interfaces.bench.bed import Bed, BenchDatabase
from interfaces.bench.figures import Figure, figure

__all__ = ["Bed", "BenchDatabase", "Figure", "figure"]
