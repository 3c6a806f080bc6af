"""The configuration files of the private Slurm, as text, and writing them.

Where a line is not obvious, a comment beside it says what it is for; those comments end up in the
generated files, where someone who debugs a test reads them.
"""

from __future__ import annotations

import os
from pathlib import Path

from .layout import MEMBERS, Layout, Member, Settings

CPUS, MEMORY_MB, GPUS = 64, 20000, 4

_SLURM_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={munge}
SlurmctldPort={port}
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool/%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd-%n.pid
SlurmdParameters=config_overrides
# Mails are written to a file, so that tests can read them.
MailProg={home}/mail

# No cgroups: works in containers and as a normal user.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdTimeout=300
InactiveLimit=0
KillWait=2
OverTimeLimit=0
CompleteWait=0

# Quick: look for startable jobs at once and again every second.
SchedulerType=sched/backfill
SchedulerParameters={scheduler}
PriorityType=priority/basic
JobRequeue=1
MinJobAge={min_job_age}
MaxArraySize={max_array_size}
MaxJobCount=50000

SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=256
GresTypes=gpu

# Memory limits are enforced by polling, for want of cgroups.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill

AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd_port}
# Connections to slurmdbd take the munge socket from here, not from AuthInfo.
AccountingStoragePass={munge}
AccountingStorageTRES=gres/gpu,gres/gpu:a100

{nodes}
PartitionName=DEFAULT Nodes={node_list} MaxTime=7-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=batch Default=YES
PartitionName=gpu_a100 Default=NO
"""
SCHEDULER = "sched_interval=1,bf_interval=1,batch_sched_delay=0"

_SLURMDBD_CONF = """\
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={munge}
PidFile={root}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""

_MAIL = """\
#!/bin/sh
# Stands in for mail(1): one line per mail, its arguments as Slurm gave them.
echo "$@" >> '{home}/mails'
"""


def slurm_conf(layout: Layout, member: Member, settings: Settings) -> str:
    """The slurm.conf of one cluster."""
    port = settings.base_port + member.first_port
    nodes = [
        f"NodeName={node} NodeHostname={settings.host} NodeAddr=127.0.0.1 Port={port + 1 + index}"
        f" CPUs={CPUS} RealMemory={MEMORY_MB} Gres=gpu:a100:{GPUS} State=UNKNOWN"
        for index, node in enumerate(member.nodes)
    ]
    return _SLURM_CONF.format(
        name=member.name,
        host=settings.host,
        user=settings.user,
        munge=layout.munge_socket,
        port=port,
        dbd_port=settings.base_port,
        home=layout.home(member),
        scheduler=SCHEDULER,
        min_job_age=settings.min_job_age,
        max_array_size=settings.max_array_size,
        nodes="\n".join(nodes),
        node_list=",".join(member.nodes),
    )


def write_all(layout: Layout, settings: Settings) -> None:
    """Create every folder and configuration file of a private Slurm."""
    for folder in (layout.root / "log", layout.root / "munge", layout.root / "tmp"):
        folder.mkdir(mode=0o700)
    # munged insists that others may pass through its folder, to reach the socket.
    (layout.root / "munge").chmod(0o711)
    _write(layout.root / "munge" / "key", os.urandom(1024))
    settings.save(layout.root)
    for member in MEMBERS:
        home = layout.home(member)
        for folder in (home, home / "state", home / "spool", home / "gpus"):
            folder.mkdir(mode=0o700)
        for index in range(GPUS):
            # Slurm numbers GPUs by the name, and sets CUDA_VISIBLE_DEVICES only for a character
            # device; it follows links, and those need no root as mknod would.
            (home / "gpus" / f"gpu{index}").symlink_to("/dev/null")
        gpus = f"Name=gpu Type=a100 File={home}/gpus/gpu[0-{GPUS - 1}]\n"
        _write(home / "gres.conf", f"AutoDetect=off\n{gpus}".encode())
        _write(home / "mail", _MAIL.format(home=home).encode(), 0o700)
        _write(layout.conf(member), slurm_conf(layout, member, settings).encode())
    # slurmdbd looks for its file beside the slurm.conf it is given, and insists on mode 600.
    dbd = _SLURMDBD_CONF.format(
        port=settings.base_port,
        user=settings.user,
        munge=layout.munge_socket,
        root=layout.root,
    )
    _write(layout.home(MEMBERS[0]) / "slurmdbd.conf", dbd.encode())


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Create a file that only its owner can read."""
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_bytes(content)
