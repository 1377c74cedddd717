"""A SLURM cluster of one node on this machine. Its configuration, spool and sockets are in one temporary folder."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """Daemons munged, slurmctld and slurmd. `stop` ends the processes that this object started."""

    def __init__(self, folder: Path, cores: int) -> None:
        self.folder, self.host = folder, socket.gethostname().split(".")[0]
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder / 'programs'}{os.pathsep}{os.environ['PATH']}",
        }
        self._daemons: list[subprocess.Popen] = []
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        for name in ("state", "spool"):
            (folder / name).mkdir()
        text = CONFIGURATION.format(host=self.host, folder=folder, ports=free_ports(2), cores=cores, memory=memory)
        (folder / "slurm.conf").write_text(text)
        self._wrap_srun()

    def start(self) -> None:
        """Start the daemons and wait until the node is idle."""
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        files = {name: f"--{name}={self.folder}/munge.{name}" for name in ("socket", "pid-file", "seed-file")}
        self._daemon("munged", "--foreground", "--force", f"--key-file={key}", *files.values())
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._daemon("slurmctld", "-D", "-i")
        self._daemon("slurmd", "-D", "-N", self.host)
        self._wait(lambda: self.command("sinfo", "--noheader", "--format=%T").stdout.strip() == "idle", "slurmd")

    def stop(self) -> None:
        """Cancel all jobs, and end the daemons in reverse order."""
        self.command("scancel", "--user=root")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _wrap_srun(self) -> None:
        """Write a program srun that finds the configuration. The executor removes SLURM_CONF from the environment."""
        path = self.folder / "programs/srun"
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
        path.chmod(0o755)

    def command(self, *command: str) -> subprocess.CompletedProcess:
        """Run a program of SLURM against this cluster."""
        return subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, timeout=60)

    def jobs(self, *options: str) -> Mapping[str, str]:
        """Return job id -> comment, which names rule and wildcards, of the queued and running jobs."""
        lines = self.command("squeue", "--noheader", "--format=%i|%k", *options).stdout.splitlines()
        return dict(line.split("|", 1) for line in lines)

    def _daemon(self, name: str, *options: str) -> None:
        program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert program is not None, f"{name} is not installed"
        with (self.folder / f"{name}.log").open("w") as log:
            environment = os.environ | self.environment
            command = ["setpriv", "--pdeathsig", "TERM", program, *options]  # a killed test leaves no daemon
            self._daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    def _wait(self, condition, name: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{name} did not start: {self._log(name)}"
            time.sleep(0.1)

    def _log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-2000:]


def free_ports(count: int) -> list[int]:
    """Return TCP ports that no program uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
