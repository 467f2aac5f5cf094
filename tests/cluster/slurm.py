"""A Slurm cluster of one machine for tests: `python -m tests.cluster.slurm` runs it till its
standard input ends.

Nodes of virtual CPUs on loopback, without systemd and cgroups; with the argument `accounting` a
database of its own stands behind it (accounting.py). Needs root, and Debian's packages slurmctld,
slurmd, slurm-client and munge. All daemons and all that
they start are descendants of this process, so that it can end every one of them by its pid; it
ends with whoever holds the other end of its standard input, even if that one is killed. What a
killed predecessor left is ended and removed at the start, by the pids that it wrote down.

One line on standard input is one order: `stop controller`, `start controller`; each is answered
by one line.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.cluster import accounting

# Slurm looks for its configuration here; the executor plugin strips SLURM_CONF from its jobs.
CONFIG = Path("/etc/slurm/slurm.conf")
STATE = Path("/run/flopline-test-slurm")
PIDS = STATE / "pids"
LOCK = Path("/run/flopline-test-slurm.lock")
# Daemons lie where not every PATH leads.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scontrol", "setpriv")
CLUSTER = "flopline-test"
FIRST_PORT = 17818
PARTITIONS = {
    "main": ("alpha", "beta"),
    # Tests take nodes of these away from under the jobs of nobody else.
    "drained": ("gamma", "delta"),
    "lost": ("epsilon", "zeta"),
    # One job at a time: a second one waits in the queue.
    "narrow": ("eta",),
}
NODES = [node for nodes in PARTITIONS.values() for node in nodes]
MARK = "# Written by Flopline's tests (tests/cluster/slurm.py), removed when they end."

TEMPLATE = """{mark}
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=17817
AuthInfo=socket={state}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={state}/controller
SlurmdSpoolDir={state}/node-%n
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd-%n.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd-%n.log
# No cgroups, no systemd.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
{accounting}
# Jobs that hold more memory than they asked for are found by polling and killed.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=1
# The machine may be so busy that its daemons answer late.
MessageTimeout=60
TCPTimeout=30
BatchStartTimeout=300
# Finished jobs stay known while the tests run.
MinJobAge=3600
NodeName=DEFAULT RealMemory=16000
PartitionName=DEFAULT MaxTime=1-0 State=UP
{nodes}
{partitions}
"""


def why_not(with_accounting: bool) -> str | None:
    """Why no cluster can be started here, in one sentence, or None if one can."""
    if os.geteuid() != 0:
        return "only root can start a Slurm cluster"
    programs = PROGRAMS + (accounting.PROGRAMS if with_accounting else ())
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        packages = "slurm-wlm munge" + with_accounting * f" {accounting.PACKAGES}"
        return f"{', '.join(missing)} not installed (Debian and Ubuntu: apt install {packages})"
    for config in (CONFIG, accounting.CONFIG):
        if config.exists() and MARK not in config.read_text():
            return f"this machine has a Slurm of its own: {config} is not ours"
    return None


def descendants(root: int) -> list[int]:
    """Pids of all processes below `root`, nearest first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The command's name is in brackets and may itself hold blanks and brackets.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    tree = [root]
    for pid in tree:
        tree += children.get(pid, [])
    return tree[1:]


def started_at(pid: int) -> str | None:
    """When a process started, in the kernel's clock ticks, or None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait till `condition()` holds; a TimeoutError names `what` if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


class Daemons:
    """The daemons of the cluster, children of this process."""

    def __init__(self) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> None:
        """Start one that ends when this process does, and write down its pid."""
        log = (STATE / f"{name}.out").open("ab")
        self.running[name] = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.write_pids()

    def write_pids(self) -> None:
        """Write down every process below this one, each with its start to tell it by."""
        lines = [f"{pid} {started_at(pid)}\n" for pid in [os.getpid(), *descendants(os.getpid())]]
        PIDS.write_text("".join(lines))

    def stop(self, name: str) -> None:
        """End one and wait for its end."""
        daemon = self.running.pop(name)
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def start_controller(self) -> None:
        """Start slurmctld and wait till it answers."""
        self.start("slurmctld", "slurmctld", "-D")
        wait_for(node_states, "slurmctld ready", 300)


def node_states() -> list[str]:
    """The states of all nodes; nothing as long as no controller answers."""
    listed = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%N %T"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line.split()[1] for line in listed.stdout.splitlines()]


def nodes_ready() -> bool:
    """Whether no node is unknown, down or silent."""
    states = node_states()
    return len(states) == len(NODES) and not any(
        state.endswith("*") or state.startswith(("unk", "down")) for state in states
    )


def end_all(pids: list[int]) -> None:
    """Kill processes."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def clear_leftovers() -> None:
    """End what a killed predecessor left running and remove its files."""
    if PIDS.exists():
        for line in PIDS.read_text().splitlines():
            pid, start = line.split()
            # A pid may have been given to another process since.
            if int(pid) != os.getpid() and started_at(int(pid)) == start:
                end_all([*descendants(int(pid)), int(pid)])
    for config in (CONFIG, accounting.CONFIG):
        if config.exists() and MARK in config.read_text():
            config.unlink()
    shutil.rmtree(STATE, ignore_errors=True)


def write_key() -> None:
    """A key for munge that nobody else has."""
    key = STATE / "munge.key"
    key.touch(mode=0o400)
    key.write_bytes(os.urandom(128))


def write_config(with_accounting: bool) -> None:
    """Slurm's configuration."""
    host = socket.gethostname().split(".")[0]
    nodes = (
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
        f"CPUs={1 if node in PARTITIONS['narrow'] else 8}"
        for port, node in enumerate(NODES, FIRST_PORT)
    )
    partitions = (
        f"PartitionName={name} Nodes={','.join(nodes)} Default={'YES' if name == 'main' else 'NO'}"
        for name, nodes in PARTITIONS.items()
    )
    CONFIG.write_text(
        TEMPLATE.format(
            mark=MARK,
            cluster=CLUSTER,
            host=host,
            state=STATE,
            accounting=accounting.KEPT.format(socket=f"{STATE}/munge.socket")
            if with_accounting
            else accounting.NONE,
            nodes="\n".join(nodes),
            partitions="\n".join(partitions),
        )
    )


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Wait till no other test cluster runs on this machine."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        LOCK.unlink(missing_ok=True)


def serve(with_accounting: bool) -> None:
    """Run the cluster and follow orders till standard input ends."""
    # Whatever a daemon leaves behind becomes a child of this process and is found below it.
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    clear_leftovers()
    daemons = Daemons()
    try:
        STATE.mkdir(mode=0o755)
        (STATE / "controller").mkdir()
        CONFIG.parent.mkdir(exist_ok=True)
        write_key()
        write_config(with_accounting)
        daemons.start(
            "munged", "munged", "--foreground", "--force", f"--key-file={STATE}/munge.key",
            f"--socket={STATE}/munge.socket", f"--pid-file={STATE}/munged.pid",
            f"--log-file={STATE}/munged.log", f"--seed-file={STATE}/munged.seed",
        )  # fmt: skip
        wait_for((STATE / "munge.socket").exists, "munged ready")
        if with_accounting:
            database, keeper = accounting.prepare(STATE, MARK)
            daemons.start("database", *database)
            daemons.start("slurmdbd", *keeper)
            wait_for(accounting.answers, "slurmdbd ready", 300)
            accounting.enrol(CLUSTER)
        for node in NODES:
            daemons.start(f"slurmd-{node}", "slurmd", "-D", "-N", node)
        daemons.start_controller()
        wait_for(nodes_ready, "nodes ready", 300)
        answer("ready")
        for order in sys.stdin:
            if order.strip() == "stop controller":
                daemons.stop("slurmctld")
            elif order.strip() == "start controller":
                daemons.start_controller()
            else:
                raise ValueError(f"unknown order {order!r}")
            answer("done")
    finally:
        # What daemons left behind is ours to reap: elsewhere nobody might.
        while left := descendants(os.getpid()):
            end_all(left)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)
        clear_leftovers()


def answer(word: str) -> None:
    """Say one word to whoever gives the orders."""
    with contextlib.suppress(BrokenPipeError):
        print(word, flush=True)


if __name__ == "__main__":
    wanted = sys.argv[1:] == ["accounting"]
    hindrance = why_not(wanted)
    if hindrance:
        sys.exit(hindrance)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with only_one():
        serve(wanted)
