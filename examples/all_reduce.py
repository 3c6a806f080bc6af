"""One step as several Slurm tasks: two nodes with two tasks each add up what they have.

    python examples/all_reduce.py

On a cluster each task is a process of its own, started by srun, and has what torch.distributed
reads: MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE. Without torch the
tasks meet over a plain socket, by the same variables.
"""

from __future__ import annotations

import logging
import os
import socket
import time

from planit import Plan, SlurmArgs, Step

TWO_BY_TWO = SlurmArgs(time="00:10:00", partition="batch", nodes=2, tasks_per_node=2)
_PATIENCE_S = 60.0


def main(value: float = 1.0) -> dict[str, float]:
    """Add up ``value * (rank + 1)`` over all tasks; what each of them returns."""
    logging.info("rank %s of %s", os.environ["RANK"], os.environ["WORLD_SIZE"])
    mine = value * (int(os.environ["RANK"]) + 1)
    try:
        total = by_torch(mine)
    except ImportError:
        total = by_socket(mine)
    return {"rank": int(os.environ["RANK"]), "total": total}


def by_torch(mine: float) -> float:
    """The sum over all ranks, by torch.distributed on CPUs."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")  # all it needs is in the environment
    try:
        tensor = torch.tensor([mine])
        dist.all_reduce(tensor)
        return float(tensor.item())
    finally:
        dist.destroy_process_group()


def by_socket(mine: float) -> float:
    """The same by a socket: the first rank adds up, and tells all."""
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    world = int(os.environ["WORLD_SIZE"])
    if os.environ["RANK"] != "0":
        with _connected(address) as connection, connection.makefile("rw") as stream:
            stream.write(f"{mine}\n")
            stream.flush()
            return float(stream.readline())
    with socket.create_server(("", address[1])) as server:
        server.settimeout(_PATIENCE_S)
        streams = [server.accept()[0].makefile("rw") for _ in range(world - 1)]
        total = mine + sum(float(stream.readline()) for stream in streams)
        for stream in streams:
            stream.write(f"{total}\n")
            stream.close()
    return total


def _connected(address: tuple[str, int]) -> socket.socket:
    """A connection to the first rank, which may not be there yet."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return socket.create_connection(address, timeout=_PATIENCE_S)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    import submitit

    plan = Plan("all_reduce", Step("add_up", main, TWO_BY_TWO, value=2.0))
    jobs = plan.submit(submitit.AutoExecutor(folder="planit_runs"))
    plan.wait()
    print(jobs[0].results())  # of each rank
