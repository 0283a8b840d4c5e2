#!/usr/bin/env python3
"""24 runs on a Slurm of two nodes, of which everything dies once; the store must be that of one machine.

usage: test_slurm.py TAUT FAULT_LIBRARY      exit code 77 where Slurm is not installed

While the gate is shut, a run goes from one checkpoint to the next only when the test says so: the library of the drills
(tests/drills/fault_library.cc) holds it before it names the next one. So a run never ends before the test has got at it,
however fast or busy the machine is.
"""
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import cluster  # noqa: E402

STUDY = """\
model.name = "vit_demo"
data.path = "procedural:easy"
data.train_limit = 64
attack.eps = "8/255"
attack.alpha = "2/255"
attack.steps = 4
train.steps = 120
train.batch = 16
train.lr = 3e-3
train.warmup = 2
train.log_every = 10
train.checkpoint_every = 5
eval.schedule = "list"
eval.points = [0, 60]
eval.n = 36
eval.batch = 12
[study]
title = "Slurm"
strategies = ["full", "lora", "bitfit", "lp"]
seeds = [0, 1, 2]
[[study.dataset]]
name = "easy"
[[study.dataset]]
name = "fine"
data.path = "procedural:fine"
"""
RUNS = 24
FAILING = 7  # this row's first task fails
YOUNG = 20  # steps; twenty checkpoints are still before such a run


def say(text, start=time.monotonic()):
    print(f"{time.monotonic() - start:6.1f} s  {text}", flush=True)


def need(condition, text):
    if not condition:
        raise AssertionError(text)


class Gate:
    """Shut as long as its folder is there; a run that stands before it has put a mark into it."""

    def __init__(self, folder, library):
        self.folder = folder
        folder.mkdir()
        self.environment = {"LD_PRELOAD": library, "ASAN_OPTIONS": "verify_asan_link_order=0",
                            "TAUT_FAULT_PATH": "/ckpt/step-", "TAUT_FAULT_CALLS": ",rename,",
                            "TAUT_FAULT_ACTION": "hang", "TAUT_FAULT_MARK": str(folder / "mark")}

    def let_one_through(self):
        (self.folder / "mark").unlink(missing_ok=True)

    def open(self):
        shutil.rmtree(self.folder)


class Test:
    def __init__(self, taut, library, slurm, folder):
        self.taut, self.slurm = taut, slurm
        self.out = folder / "a study"  # a path with a blank must do
        self.file = folder / "study.toml"
        self.file.write_text(STUDY)
        self.gate = Gate(folder / "gate", library)

    def rows(self, *words):
        # sbatch hands the environment on to the tasks.
        done = self.slurm.run(self.taut, *words, "-o", "json", **self.gate.environment)
        return json.loads(done.stdout)

    def submit(self):
        rows = self.rows("study", "submit", str(self.out), "--executor", "slurm")
        count = {state: sum(r["state"] == state for r in rows) for state in ("sent", "queued", "running")}
        say(f"submit: {len(rows)} runs are not done, {count}")
        return count, rows

    def states(self):
        return {r["run_id"]: r["state"] for r in self.rows("study", "status", str(self.out))}

    def log(self, run_id):
        path = self.out / "runs" / run_id / "log.txt"
        return path.read_text() if path.exists() else ""

    def last_step(self, run):
        """Of its newest checkpoint; 0 without one."""
        try:
            return int((self.out / "runs" / run / "ckpt" / "last").readlink().name.split("-")[1])
        except FileNotFoundError:
            return 0

    def pick(self, node=None):
        """A run at work (on a node) that has a checkpoint and most of its way before it: (run id, task)."""
        found = []

        def look():
            self.gate.let_one_through()
            at_work = [(task, where) for task, state, where in self.slurm.queue() or [] if state == "RUNNING"]
            runs = [(self.ids[int(task.split("_")[1])], task) for task, where in at_work if node in (None, where)]
            found.extend((run, task) for run, task in runs if 0 < self.last_step(run) <= YOUNG)
            return found

        self.slurm.wait(look, f"a run with a checkpoint on {node or 'a node'}")
        return found[0]

    def lost_submission(self):
        """sbatch has answered, and the controller dies before it could keep what it was told."""
        count, _ = self.submit()
        need(count["sent"] == RUNS, f"the first submission sent {count}")
        self.slurm.kill("slurmctld")
        self.slurm.start("slurmctld")
        self.slurm.wait(lambda: self.slurm.queue() is not None, "the controller")
        kept = [task for task, state, _ in self.slurm.queue() if state in ("PENDING", "RUNNING")]
        say(f"the controller was killed at once: {RUNS - len(kept)} tasks are lost")
        for job in {task.split("_")[0] for task in kept}:
            self.slurm.run("scancel", job)  # this time it had kept them: they are lost all the same

        def gone():  # nodes end what their controller does not know
            self.gate.let_one_through()
            return self.slurm.queue() == [] and not any(self.slurm.processes(node) for node in cluster.NODES)

        self.slurm.wait(gone, "the end of what was lost")

    def warning(self):
        """The time is nearly up: Slurm sends the warning signal, and the script asks to be queued again."""
        run, task = self.pick()
        self.slurm.run("scontrol", "update", f"jobid={task}", "timelimit=2")  # minutes, of which the last two are warned of
        self.wait_until_queued_again(run, task)
        self.slurm.run("scontrol", "update", f"jobid={task}", "timelimit=UNLIMITED")
        say(f"the time was nearly up: {run} is queued again")
        return run

    def preemption(self):
        """Slurm takes a task back and queues it again: SIGTERM, a checkpoint, and on from there."""
        run, task = self.pick()
        self.slurm.run("scontrol", "requeue", task)
        self.wait_until_queued_again(run, task)
        say(f"preempted: {run} is queued again")
        return run

    def wait_until_queued_again(self, run, task):
        def queued_again():
            self.gate.let_one_through()
            need(self.states()[run] != "done", f"{run} was done before the signal came")
            return any(t == task and state == "PENDING" for t, state, _ in self.slurm.queue() or [])

        # Slurm looks at the time every half a minute. By then the run must not be done, so it is let through seldom.
        self.slurm.wait(queued_again, f"{task} to be queued again", pause=3)

    def node_dies(self):
        run, _ = self.pick("n1")
        self.slurm.kill("n1")
        self.slurm.run("scontrol", "update", "nodename=n1", "state=down", "reason=killed")  # it would notice in minutes
        say(f"n1 was killed with {run}")
        need(self.states()[run] == "todo", f"{run} of a killed node is {self.states()[run]}")
        self.slurm.start("n1")
        self.slurm.wait(lambda: self.slurm.states().get("n1") in ("IDLE", "MIXED", "ALLOCATED"), "n1 to be back")
        return run

    def controller_dies(self):
        """What runs goes on meanwhile. Returns that run."""
        run, task = self.pick()
        before = self.slurm.kept_at()
        self.slurm.run("scontrol", "update", f"jobid={task}", "comment=changed")
        # It keeps what it knows every few seconds; a job that it does not know when it is back is killed.
        self.slurm.wait(lambda: self.slurm.kept_at() not in (None, before), "the controller to keep its state")
        self.slurm.kill("slurmctld")
        step = self.last_step(run)

        def goes_on():
            self.gate.let_one_through()
            return self.last_step(run) > step

        self.slurm.wait(goes_on, f"{run} to go on without a controller")
        self.slurm.start("slurmctld")
        self.slurm.wait(lambda: self.slurm.queue() is not None, "the controller")
        say(f"the controller was killed, and {run} went on")
        return run

    def empty_queue(self):
        left = RUNS + 1

        def fewer():
            nonlocal left
            self.slurm.hurry()
            queue = self.slurm.queue()
            if queue is None or len(queue) >= left:
                return False
            left = len(queue)
            return True

        while left:  # patience is for one task, not for all of them
            self.slurm.wait(fewer, f"fewer than {left} tasks in the queue")

    def everything(self):
        self.ids = [row["run_id"] for row in self.rows("study", "submit", str(self.file), "--out", str(self.out))]
        in_the_way = self.out / "runs" / self.ids[FAILING]
        in_the_way.write_text("no folder")
        self.lost_submission()
        count, rows = self.submit()
        need(count["sent"] == len(rows) == RUNS, f"after the loss {count} were sent, not all {RUNS}")
        count, _ = self.submit()
        need(count["sent"] == 0, f"{count}: what is in the queue was sent again")
        interrupted = {self.warning(), self.node_dies(), self.preemption()}
        undisturbed = self.controller_dies()
        before = self.log(undisturbed)
        self.gate.open()
        for attempt in range(1, 9):
            self.empty_queue()
            if in_the_way.is_file():
                in_the_way.unlink()
            _, left = self.submit()
            if not left:
                break
        need(not left, f"not done after {attempt} more submissions: {left}")
        need(attempt > 1, "the run that failed was done without being sent again")
        states = self.states()
        need(len(states) == RUNS and set(states.values()) == {"done"}, f"states {states}")
        for run in states:
            need(self.log(run).count(" done, ") == 1, f"{run} was done other than once:\n{self.log(run)}")
        resumed = [run for run in states if "resumed at step" in self.log(run)]
        need(interrupted <= set(resumed), f"interrupted {interrupted}, but only {resumed} went on from a checkpoint")
        need("resumed" not in self.log(undisturbed)[len(before):], f"{undisturbed} died with the controller")
        say(f"all done, {len(resumed)} of them resumed, {attempt} submissions at the end")


def store_of(taut, study, store):
    done = subprocess.run([taut, "study", "merge", str(study), "--db", str(store), "-o", "json"], check=True,
                          capture_output=True, text=True)
    merged = json.loads(done.stdout)[0]
    need(merged["runs"] == merged["done"] == RUNS, f"merged {merged}")
    return store.read_bytes()


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    missing = cluster.missing_programs()
    if missing:
        print(f"skipped: Slurm is not installed ({', '.join(missing)} missing; apt-get install slurm-wlm)")
        return 77
    taut, library = (str(pathlib.Path(a).resolve()) for a in arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    folder = pathlib.Path(tempfile.mkdtemp(prefix="taut-slurm-"))
    try:
        with cluster.Cluster(folder / "slurm") as slurm:
            say("two nodes are up")
            test = Test(taut, library, slurm, folder)
            test.everything()
        one = folder / "one machine"
        subprocess.run([taut, "study", "run", str(test.file), "--out", str(one), "-t", "1", "--progress", "none"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        say("the same runs are done by one process")
        stores = [store_of(taut, study, folder / name) for study, name in ((test.out, "a.sqlite"), (one, "b.sqlite"))]
        need(stores[0] == stores[1], "the store of the cluster is not that of one machine")
        say(f"the stores are the same, {len(stores[0])} bytes")
    except (AssertionError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        logs = folder / "a study" / "slurm"
        for log in sorted(logs.glob("*.log"))[-3:] if logs.is_dir() else []:
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


sys.exit(main(sys.argv[1:]))
