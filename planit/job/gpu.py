"""Peak GPU memory of this process, where nvidia-smi is there to ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading

_INTERVAL_S = 10.0


class GpuMemory:
    """Asks nvidia-smi now and then, in a thread, and keeps the most that was seen."""

    def __init__(self, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._peak: int | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Start to look, if this job has GPUs and nvidia-smi is on PATH."""
        if os.environ.get("CUDA_VISIBLE_DEVICES") and shutil.which("nvidia-smi"):
            threading.Thread(target=self._watch, daemon=True, name="planit-gpu").start()

    def peak_bytes(self) -> int | None:
        """The largest sum of this process's memory over its GPUs; None if nothing was seen."""
        self._stop.set()
        return self._peak

    def _watch(self) -> None:
        while True:
            self._look()
            if self._stop.wait(self._interval_s):
                return

    def _look(self) -> None:
        query = ["nvidia-smi", "--query-compute-apps=pid,used_memory"]
        try:
            done = subprocess.run(
                [*query, "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
                timeout=self._interval_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        rows = [line.split(",") for line in done.stdout.splitlines() if line.count(",") == 1]
        mine = [
            int(used)
            for pid, used in rows
            if pid.strip() == str(os.getpid()) and used.strip().isdigit()
        ]
        if mine:
            self._peak = max(self._peak or 0, sum(mine) * 2**20)
