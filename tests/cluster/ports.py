"""Free TCP ports that two clusters started at the same moment never share.

Binding a port, closing it and telling a daemon its number leaves a gap in which another cluster
picks the same one. So a whole block of ports is claimed first by a lock that belongs to the same
network namespace as the ports: an abstract Unix socket named after the block. It needs no file,
no permission on another user's file, and the kernel drops it when its last holder ends. The
supervisor keeps it, so the ports stay claimed while a test has a daemon stopped.
"""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass

from .errors import ClusterError

BLOCK = 10
# Below the kernel's ephemeral range (32768 and up), where outgoing connections take their ports.
_LOWEST, _HIGHEST = 18000, 32000


@dataclass(frozen=True)
class PortBlock:
    """BLOCK consecutive free ports from `base` on, ours for as long as `lock` is open somewhere."""

    base: int
    lock: socket.socket


def claim() -> PortBlock:
    """Claim a block of free ports. Raises ClusterError when the machine has none left."""
    bases = list(range(_LOWEST, _HIGHEST, BLOCK))
    random.shuffle(bases)
    for base in bases:
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0planit-slurm-ports-{base}")
        except OSError:
            lock.close()
            continue
        if all(_is_free(port) for port in range(base, base + BLOCK)):
            return PortBlock(base, lock)
        lock.close()
    raise ClusterError(f"no {BLOCK} free ports in a row between {_LOWEST} and {_HIGHEST}")


def _is_free(port: int) -> bool:
    """Whether a daemon could listen here now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
