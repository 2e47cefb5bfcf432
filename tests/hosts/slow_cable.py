"""A cable between a host and the switch on which each frame takes a fixed time.

For kernels that can delay no frames: without netem and the `queue` of nft. The end of the cable leaves the bridge, and
a TAP device takes its place and its name; a thread carries each frame from one to the other when it is due.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from collections import deque
from ctypes import addressof, create_string_buffer
from select import select
from threading import Event, Thread
from typing import NamedTuple

PACKET_OUTGOING = 4
LONGEST_FRAME = 65_536
STOPPED_WITHIN_S = 20.0
_ALL_PROTOCOLS = 0x0003
_TUNSETIFF, _TAP, _WITHOUT_HEADER = 0x400454CA, 0x0002, 0x1000
_SIOCETHTOOL = 0x8946
_SET_TX_CHECKSUMS, _SET_TSO, _SET_GSO = 0x17, 0x1F, 0x24


class _Frame(NamedTuple):
    due_at: float
    """Monotonic seconds."""
    to_host: bool
    content: bytes


class SlowCable:
    """From its start to its end; in the namespace of the thread that makes it. `wire` leads to the host, and the TAP
    device `port`, which is made here and ends with this, to the switch."""

    def __init__(self, wire: str, port: str, delay_s: float) -> None:
        """`delay_s`: seconds for each direction."""
        self._delay_s = delay_s
        self._tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._tap, _TUNSETIFF, struct.pack("16sH", port.encode(), _TAP | _WITHOUT_HEADER))
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
        self._wire.bind((wire, _ALL_PROTOCOLS))
        self._wire.setblocking(False)
        self._under_way: deque[_Frame] = deque()
        self._stop = Event()
        self._thread = Thread(target=self._carry, name=f"cable {port}")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """What is under way is lost."""
        self._stop.set()
        self._thread.join(STOPPED_WITHIN_S)
        self._wire.close()
        os.close(self._tap)

    def _carry(self) -> None:
        while not self._stop.is_set():
            wait_s = self._under_way[0].due_at - time.monotonic() if self._under_way else 0.1
            ready = select([self._tap, self._wire.fileno()], [], [], min(max(wait_s, 0.0), 0.1))[0]
            due_at = time.monotonic() + self._delay_s
            if self._tap in ready:
                self._under_way.append(_Frame(due_at, True, os.read(self._tap, LONGEST_FRAME)))
            if self._wire.fileno() in ready:
                content, about = self._wire.recvfrom(LONGEST_FRAME)
                if about[2] != PACKET_OUTGOING:
                    self._under_way.append(_Frame(due_at, False, content))
            while self._under_way and self._under_way[0].due_at <= time.monotonic():
                self._deliver(self._under_way.popleft())

    def _deliver(self, frame: _Frame) -> None:
        try:
            if frame.to_host:
                self._wire.send(frame.content)
            else:
                os.write(self._tap, frame.content)
        except OSError:
            return  # lost, as on a cable whose end is down


def set_offloads(interface: str, *, on: bool) -> None:
    """Whether the kernel leaves checksums and the cutting of long frames to `interface` of this thread's namespace: a
    frame that a program carries needs both done."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in (_SET_TX_CHECKSUMS, _SET_TSO, _SET_GSO):
            value = create_string_buffer(struct.pack("II", command, on), 8)
            request = struct.pack("16sP", interface.encode(), addressof(value))
            fcntl.ioctl(control, _SIOCETHTOOL, request)
