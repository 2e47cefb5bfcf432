"""Parallel fold: each process folds the streams of one part. The processes end with their parent."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from adapters.postgres.read_model.rebuild.fold import FoldPart, Progress, fold_part
from projections.engine.maintenance import ProjectionsUnavailable


def fold_parts(dsn: str, parts: Sequence[FoldPart], report: Progress) -> None:
    """Fold each part in a process of its own. Raises what one of them raised, or ProjectionsUnavailable if
    one died."""
    reached: dict[Pipe, int] = {}
    processes: list[BaseProcess] = []
    try:
        for part in parts:
            pipe, process = _start(dsn, part)
            reached[pipe] = part.position
            processes.append(process)
        running = set(reached)
        while running:
            for ready in wait(list(running)):
                assert isinstance(ready, Pipe)  # noqa: S101 - for the type checker
                message = _receive(ready)
                if message is None:
                    running.discard(ready)
                else:
                    reached[ready] = message
                    report(min(reached.values()))
    finally:
        for process in processes:
            process.kill()
            process.join()


def _start(dsn: str, part: FoldPart) -> tuple[Pipe, BaseProcess]:
    spawning = multiprocessing.get_context("spawn")  # a forked process would share the sockets of this one
    receiving, sending = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_run_part, args=(dsn, part, sending), daemon=True)
    process.start()
    sending.close()
    return receiving, process


def _receive(pipe: Pipe) -> int | None:
    """A position, or None at the end."""
    try:
        message = pipe.recv()
    except EOFError as error:
        raise ProjectionsUnavailable(
            "a process of the rebuild died; start the rebuild again, it goes on from there"
        ) from error
    if isinstance(message, BaseException):
        raise message
    return None if message is None else int(message)


def _run_part(dsn: str, part: FoldPart, pipe: Pipe) -> None:
    """Fold a part in a child process. If the parent dies, the pipe is closed and the next message ends this
    process before it stores more."""
    with suppress(BrokenPipeError, KeyboardInterrupt):
        try:
            fold_part(dsn, part, pipe.send)
            pipe.send(None)
        except (BrokenPipeError, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001 - raised in the parent process
            pipe.send(_picklable(error))


def _picklable(error: Exception) -> Exception:
    """The error itself if it can be pickled, otherwise a ProjectionsUnavailable with its text."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - data pickled in this same line
    except Exception:  # noqa: BLE001 - whatever prevents pickling
        return ProjectionsUnavailable(str(error))
    return error
