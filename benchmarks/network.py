"""A loopback of the benchmark's own, so that neither other traffic nor pacing is measured."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final

CLONE_NEWNET: Final = 0x40000000
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1
CONGESTION_CONTROL: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def enter_own_network() -> None:
    """Move this process, and those that it starts, to a network with nothing but a loopback.

    Congestion control is Reno there, which every Linux has: BBR, where it is the default, paces
    the loopback too, and bulk figures are then those of its timers.

    :raises OSError: when this user may not, or Linux has no network namespaces.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    CONGESTION_CONTROL.write_text("reno")
