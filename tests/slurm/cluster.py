"""A Slurm of two nodes on this machine, for a test: own ports, own folder, the user who starts it, no other service.

Debian's Slurm runs several slurmd on one machine, so that a node can die while another works. auth/none stands in for
munge, so that nothing runs as root and nothing of the system's own Slurm is touched.
"""
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time

PROGRAMS = ["slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scontrol", "scancel"]
NODES = ["n0", "n1"]
PATIENCE = 180  # seconds: a wait that takes longer means that something hangs
PAUSE = 0.1  # between two looks


def missing_programs():
    return [p for p in PROGRAMS if shutil.which(p, path=search_path()) is None]


def search_path():
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def free_ports(n):
    """Below those that the kernel gives to clients: one of these could have a daemon's while that one is dead."""
    sockets = []
    try:
        for port in random.sample(range(20000, 30000), 200):
            sockets.append(socket.socket())
            try:
                sockets[-1].bind(("127.0.0.1", port))
            except OSError:
                sockets.pop().close()
            if len(sockets) == n:
                return [s.getsockname()[1] for s in sockets]
        raise RuntimeError("no free ports between 20000 and 30000")
    finally:
        for s in sockets:
            s.close()


CONF = """\
ClusterName=taut
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
MpiDefault=none
TmpFS={dir}/tmp/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmUser={user}
SlurmdUser={user}
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.%n.pid
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool/%n
SlurmctldLogFile={dir}/log/slurmctld.log
SlurmdLogFile={dir}/log/slurmd.%n.log
SlurmctldPort={port}
SchedulerParameters=batch_sched_delay=0,sched_interval=1
KillWait=5
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.daemons = {}
        outer = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH", "SQUEUE", "SINFO"))}
        self.environment = dict(outer, SLURM_CONF=str(self.dir / "slurm.conf"), PATH=search_path())
        for name in ["state", "log", *(f"{top}/{n}" for top in ("spool", "tmp") for n in NODES)]:
            (self.dir / name).mkdir(parents=True)
        host = socket.gethostname().split(".")[0]
        ports = free_ports(1 + len(NODES))
        nodes = "\n".join(f"NodeName={n} NodeHostname={host} NodeAddr=127.0.0.1 Port={p} CPUs=1 RealMemory=100 State=UNKNOWN"
                          for n, p in zip(NODES, ports[1:]))
        (self.dir / "slurm.conf").write_text(CONF.format(host=host, dir=self.dir, user=pwd.getpwuid(os.getuid()).pw_name,
                                                         port=ports[0], nodes=nodes))

    def __enter__(self):
        self.leave_a_guard()
        try:
            self.start("slurmctld")
            for node in NODES:
                self.start(node)
            self.wait(lambda: self.states() == {n: "IDLE" for n in NODES}, "both nodes to be idle")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def leave_a_guard(self):
        """A process that is no child of this one stops the cluster where this one was killed."""
        end, self.leash = os.pipe()  # closed with this process, however it ends; daemons do not inherit it
        child = os.fork()
        if child:
            os.close(end)
            os.waitpid(child, 0)
            return
        try:
            os.setsid()
            if os.fork() == 0:
                os.close(self.leash)
                null = os.open(os.devnull, os.O_RDWR)
                for fd in (0, 1, 2):
                    os.dup2(null, fd)
                os.read(end, 1)
                self.stop()
        finally:
            os._exit(0)

    def start(self, name):
        """The controller, "slurmctld", or the daemon of a node."""
        words = ["slurmctld", "-D"] if name == "slurmctld" else ["slurmd", "-D", "-N", name]
        with open(self.dir / "log" / f"{name}.out", "ab") as out:
            self.daemons[name] = subprocess.Popen(words, env=self.environment, stdin=subprocess.DEVNULL, stdout=out,
                                                  stderr=out, cwd=self.dir, start_new_session=True)

    def kill(self, name):
        """SIGKILL: the controller, or a node with all that runs on it."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait()
        if name != "slurmctld":
            self.kill_processes(name)

    def kill_processes(self, node=None):
        end = time.monotonic() + PATIENCE
        while found := self.processes(node):  # what starts a process may have done so meanwhile
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if time.monotonic() > end:
                raise RuntimeError(f"processes {found} do not end")
            time.sleep(0.02)

    def processes(self, node=None):
        """What belongs to this cluster (to one node): daemons, job scripts, their children and slurmstepd."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # another user's, or gone
            if f"SLURM_CONF={self.dir}/slurm.conf".encode() not in words:
                continue
            on_node = node is None or f"SLURMD_NODENAME={node}".encode() in words
            if not on_node and b"slurmstepd" in command:
                on_node = self.step_is_of(entry, node)
            if on_node:
                found.append(int(entry.name))
        return found

    def step_is_of(self, process, node):
        try:
            return any(f"slurmd.{node}.log" in os.readlink(fd) or f"/spool/{node}/" in os.readlink(fd)
                       for fd in (process / "fd").iterdir())
        except OSError:
            return False

    def stop(self):
        """All at once: nobody needs this cluster's state."""
        self.kill_processes()
        for daemon in self.daemons.values():
            daemon.wait()
        self.daemons = {}

    def run(self, *words, check=True, **environment):
        done = subprocess.run(words, env=dict(self.environment, **environment), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def states(self):
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %T", check=False).stdout.split("\n")
        return {line.split()[0]: line.split()[1].upper() for line in lines if line.strip()}

    def queue(self):
        """Rows of what is pending, running or ending: (task, state, node or reason), a task as "array_index"."""
        done = self.run("squeue", "--noheader", "--array", "--format=%i %T %R", check=False)
        if done.returncode:
            return None  # the controller is away
        return [(*line.split(maxsplit=2), "", "")[:3] for line in done.stdout.split("\n") if line.strip()]

    def kept_at(self):
        """When the controller wrote down its jobs; None before, and between one file and the next."""
        try:
            return (self.dir / "state" / "job_state").stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def hurry(self):
        """Slurm holds a task that is queued again for two minutes, which says nothing about us."""
        for task, state, why in self.queue() or []:
            if (state, why) == ("PENDING", "(BeginTime)"):
                self.run("scontrol", "update", f"jobid={task}", "starttime=now", check=False)

    def wait(self, condition, what, pause=PAUSE):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(pause)
        raise RuntimeError(f"waited {PATIENCE} s for {what}; queue {self.queue()}, nodes {self.states()}\n{self.logs()}")

    def logs(self):
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-1500:]}" for p in sorted((self.dir / "log").iterdir()))
