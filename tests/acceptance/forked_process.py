"""What a process of forked.py does: `gridproof` with ARGUMENTS, over ENVIRON; what it says goes into LOG."""

import os
import sys

from interfaces.cli import main

if __name__ == "__main__":
    told = globals()
    os.environ.update(told["ENVIRON"])
    with told["LOG"].open("ab", buffering=0) as said:
        os.dup2(said.fileno(), sys.stdout.fileno())
        os.dup2(said.fileno(), sys.stderr.fileno())
    main(args=told["ARGUMENTS"], prog_name="gridproof")
