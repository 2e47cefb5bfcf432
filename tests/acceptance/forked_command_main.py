"""The main program of a process of forked_commands.py: `gridproof` with ARGUMENTS and ENVIRON; output goes to LOG."""

import os
import select
import sys
import threading

from interfaces.cli import main


def end_with(test: int) -> None:
    """End this process as soon as the test's process has ended."""
    select.select([os.pidfd_open(test)], [], [])
    os._exit(1)


if __name__ == "__main__":
    told = globals()
    threading.Thread(target=end_with, args=(told["TEST"],), daemon=True).start()
    os.environ.update(told["ENVIRON"])
    with told["LOG"].open("ab", buffering=0) as said:
        os.dup2(said.fileno(), sys.stdout.fileno())
        os.dup2(said.fileno(), sys.stderr.fileno())
    main(args=told["ARGUMENTS"], prog_name="gridproof")
