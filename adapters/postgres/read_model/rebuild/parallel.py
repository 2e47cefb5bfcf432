"""A fold shared out over processes, each with the streams of its part; they end with the one that began them."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from adapters.postgres.read_model.rebuild.fold import Part, Progress, fold_part
from projections.engine.maintenance import ProjectionsUnavailable
from projections.engine.projection import AnyProjection


def fold_parts(dsn: str, projection: AnyProjection, parts: Sequence[Part], told: Progress) -> None:
    """Each part in a process of its own. Raises what one of them raised, or ProjectionsUnavailable if one died."""
    reached: dict[Pipe, int] = {}
    processes: list[BaseProcess] = []
    try:
        for part in parts:
            pipe, process = _started(dsn, projection, part)
            reached[pipe] = part.position
            processes.append(process)
        left = set(reached)
        while left:
            for ready in wait(list(left)):
                assert isinstance(ready, Pipe)  # noqa: S101 - for the type checker
                said = _said_by(ready)
                if said is None:
                    left.discard(ready)
                else:
                    reached[ready] = said
                    told(min(reached.values()))
    finally:
        for process in processes:
            process.kill()
            process.join()


def _started(dsn: str, projection: AnyProjection, part: Part) -> tuple[Pipe, BaseProcess]:
    spawning = multiprocessing.get_context("spawn")  # a fork would share this process's sockets
    ours, theirs = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_run_part, args=(dsn, projection, part, theirs), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _said_by(pipe: Pipe) -> int | None:
    """A position, or None at the end."""
    try:
        said = pipe.recv()
    except EOFError as error:
        raise ProjectionsUnavailable(
            "a process of the rebuild died; start the rebuild again, it goes on from there"
        ) from error
    if isinstance(said, BaseException):
        raise said
    return None if said is None else int(said)


def _run_part(dsn: str, projection: AnyProjection, part: Part, pipe: Pipe) -> None:
    """A parent that died closes the pipe: what this process says next ends it, before it stores anything more."""
    with suppress(BrokenPipeError, KeyboardInterrupt):
        try:
            fold_part(dsn, projection, part, pipe.send)
            pipe.send(None)
        except (BrokenPipeError, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001 - raised in the parent, which says it
            pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """As it is if it survives the way to the parent, else what it says."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in this very line
    except Exception:  # noqa: BLE001 - whatever keeps it from being sent
        return ProjectionsUnavailable(str(error))
    return error
