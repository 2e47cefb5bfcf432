"""The name under which a process states what only it sees, such as its disk or the breakers of its calls."""

from os import getpid
from socket import gethostname


def this_process() -> str:
    """One that is started again is another observer: what its predecessor stated ends with the silence of that one."""
    return f"{gethostname()}, pid {getpid()}"
