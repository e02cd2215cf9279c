"""A real Slurm for tests: one node, its daemons and files in a temporary folder of their own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.waiting import wait_for

PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
MAX_ARRAY_SIZE = 2

# cred_expire: a requeued job starts again only when its old credential has expired.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
MaxArraySize={max_array_size}
KillWait=60
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=short Nodes={host} Default=YES State=UP
"""


def missing() -> str | None:
    """Why Slurm cannot be started here; None if it can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if absent:
        return f"needs Slurm (apt install slurm-wlm munge); not here: {', '.join(absent)}"
    return None if os.geteuid() == 0 else "needs root, to start munged and slurmd"


class Cluster:
    """A running cluster; `environment` is what Slurm's commands need to find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        conf = str(folder / "slurm.conf")
        self.environment = os.environ | {"PATH": PATH, "SLURM_CONF": conf}

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints; empty if it fails."""
        return subprocess.run(
            command, env=self.environment, text=True, capture_output=True, check=False
        ).stdout.strip()

    def jobs(self) -> list[str]:
        """The jobs in the queue that are not over: ["12_0", ...]."""
        return self.ask("squeue", "-h", "-r", "-o", "%i").split()

    def _write_files(self) -> None:
        ports = free_ports(2)
        text = CONFIGURATION.format(
            host=socket.gethostname(),
            folder=self.folder,
            controller_port=ports[0],
            node_port=ports[1],
            max_array_size=MAX_ARRAY_SIZE,
        )
        (self.folder / "slurm.conf").write_text(text)
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(mode=0o755)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        for path in (key, key.parent):  # munged refuses files of others
            shutil.chown(path, "munge")

    def _start(self, stack: ExitStack, *command: str, user: str = "root") -> None:
        """Start a daemon in the foreground; it is stopped when the stack is closed."""
        log = stack.enter_context((self.folder / f"{Path(command[0]).name}.log").open("ab"))
        daemon = subprocess.Popen(
            command, env=self.environment, stdout=log, stderr=log, user=user, extra_groups=()
        )
        stack.callback(daemon.wait)
        stack.callback(daemon.terminate)

    def start(self, stack: ExitStack) -> None:
        self._write_files()
        munge = self.folder / "munge"
        options = {"key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._start(
            stack,
            *("munged", "--foreground", "--num-threads=2", f"--socket={munge}/socket"),
            *(f"--{option}={munge}/{name}" for option, name in options.items()),
            user="munge",
        )
        wait_for((munge / "socket").exists)
        self._start(stack, "slurmctld", "-D")
        self._start(stack, "slurmd", "-D")
        stack.callback(self._kill_jobs)
        wait_for(lambda: self.ask("sinfo", "-h", "-o", "%T") == "idle")

    def _kill_jobs(self) -> None:
        """End what jobs left: processes of a job that found its Slurm here, and their parents."""
        mark = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                variables = (process / "environ").read_bytes().split(b"\0")
                in_job = any(variable.startswith(b"SLURM_JOB_ID=") for variable in variables)
                parent = (process / "cmdline").read_bytes().startswith(b"slurmstepd")
                if mark in variables and (in_job or parent):
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:  # gone meanwhile
                continue


@contextmanager
def slurm_cluster() -> Iterator[Cluster]:
    """A cluster of this machine alone, which is gone afterwards."""
    with ExitStack() as stack:
        # A short path, since a socket's name has no more than 107 bytes.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp"))
        Path(folder).chmod(0o755)
        cluster = Cluster(Path(folder))
        cluster.start(stack)
        yield cluster


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
