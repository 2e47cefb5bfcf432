"""`gridproof` in a process that kills itself with SIGKILL after the first call of one function has returned.

`killed_command.py MODULE:NAME ARGUMENT...`; NAME is that of a function or `Class.method`.
"""

import os
import signal
import sys
from importlib import import_module
from typing import Any


def kill_after(place: str) -> None:
    module, _, name = place.partition(":")
    owner: Any = import_module(module)
    *path, last = name.split(".")
    for one in path:
        owner = getattr(owner, one)
    whole = getattr(owner, last)

    def killed(*arguments: Any, **options: Any) -> None:
        whole(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, last, killed)


if __name__ == "__main__":
    from interfaces.cli import main

    kill_after(sys.argv[1])
    main(args=sys.argv[2:], prog_name="gridproof")
