#!/usr/bin/env python3
"""24 runs on a Slurm of two nodes, of which everything dies once; the store must be that of one machine.

usage: test_slurm.py TAUT      exit code 77 where Slurm is not installed
"""
import json
import pathlib
import shutil
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
train.steps = 150
train.batch = 16
train.lr = 3e-3
train.warmup = 2
train.log_every = 10
train.checkpoint_every = 2
eval.schedule = "list"
eval.points = [0, 75]
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


def say(text, start=time.monotonic()):
    print(f"{time.monotonic() - start:6.1f} s  {text}", flush=True)


def need(condition, text):
    if not condition:
        raise AssertionError(text)


class Test:
    def __init__(self, taut, slurm, folder):
        self.taut, self.slurm = taut, slurm
        self.asked_back = []
        self.out = folder / "a study"  # a path with a blank must do
        self.file = folder / "study.toml"
        self.file.write_text(STUDY)

    def rows(self, *words, ok=(0,)):
        done = self.slurm.run(self.taut, *words, "-o", "json", check=False)
        need(done.returncode in ok, f"taut {' '.join(words)}: exit code {done.returncode}: {done.stderr}")
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

    def tasks(self, state):
        return [(job, task) for job, task, s in self.slurm.queue() or [] if s == state]

    def under_way(self, node=None):
        """Runs at work (on a node) that have a checkpoint: (task, job, run id)."""
        listed = self.slurm.run("squeue", "--noheader", "--array", "--states=R", "--format=%K %F %N").stdout.split("\n")
        ids = [json.loads(line)["run_id"] for line in (self.out / "plan.jsonl").read_text().splitlines()]
        found = []
        for task, job, where in (line.split() for line in listed if line.strip()):
            run = ids[int(task)]
            if node in (None, where) and (self.out / "runs" / run / "ckpt" / "last").exists():
                found.append((task, job, run))
        return found

    def controller_dies(self):
        self.slurm.kill("slurmctld")
        self.slurm.start("slurmctld")
        self.slurm.wait(lambda: self.slurm.queue() is not None, 30, "the controller")

    def lost_submission(self):
        """sbatch has answered, and the controller dies before it could keep what it was told."""
        count, _ = self.submit()
        need(count["sent"] == RUNS, f"the first submission sent {count}")
        self.controller_dies()
        kept = self.tasks("PENDING") + self.tasks("RUNNING")
        say(f"the controller was killed at once: {RUNS - len(kept)} tasks are lost")
        for job in {job for job, _ in kept}:
            self.slurm.run("scancel", job)  # this time it had kept them: they are lost all the same
        self.slurm.wait(lambda: self.slurm.queue() == [], 60, "an empty queue")
        # Nodes end what their controller does not know; until then it holds its locks.
        self.slurm.wait(lambda: "running" not in self.states().values(), 60, "the end of what was lost")

    def empty_queue(self):
        def empty():
            self.slurm.hurry()
            return self.slurm.queue() == []

        self.slurm.wait(empty, 150, "an empty queue")

    def node_dies(self):
        self.slurm.wait(lambda: self.under_way("n1"), 60, "a run with a checkpoint on n1")
        victims = [run for _, _, run in self.under_way("n1")]
        self.slurm.kill("n1")
        self.slurm.run("scontrol", "update", "nodename=n1", "state=down", "reason=killed")
        say(f"n1 was killed with {victims}")
        self.slurm.start("n1")
        self.slurm.wait(lambda: self.slurm.states().get("n1") in ("IDLE", "MIXED", "ALLOCATED"), 60, "n1 to be back")
        return [v for v in victims if self.states()[v] != "done"]

    def is_off(self, job, task):
        queue = self.slurm.queue()
        return queue is not None and not any((j, t) == (job, task) and s in ("RUNNING", "COMPLETING") for j, t, s in queue)

    def preemption(self):
        """Slurm takes a task back and queues it again: SIGTERM, a checkpoint, and on from there."""
        self.disturb("scontrol", "requeue")

    def warning(self):
        """The warning signal: the script itself asks to be queued again."""
        self.disturb("scancel", "--signal=USR1", "--batch")

    def disturb(self, *words):
        """Does it to a run that has a checkpoint, and waits until its task is queued again."""
        for _ in range(20):  # a run may end just now
            self.slurm.wait(self.under_way, 60, "a run with a checkpoint")
            task, job, run = self.under_way()[0]
            self.slurm.run(*words, f"{job}_{task}", check=False)  # scancel complains although the signal arrives
            self.slurm.wait(lambda task=task, job=job: self.is_off(job, task), 30, f"the end of {job}_{task}")
            if self.states()[run] == "done":
                continue
            say(f"{words[0]} {words[1]}: {run} is queued again")
            self.asked_back.append(run)
            return
        raise AssertionError(f"{words} reached no run")

    def everything(self):
        failing = self.rows("study", "submit", str(self.file), "--out", str(self.out))[7]["run_id"]
        (self.out / "runs" / failing).write_text("in the way")  # one task of the array fails
        self.lost_submission()
        count, rows = self.submit()
        need(count["sent"] == len(rows), f"after the loss {count} were sent, not all {len(rows)}")
        count, _ = self.submit()
        need(count["sent"] == 0, f"{count}: what is in the queue was sent again")
        self.warning()
        killed = self.node_dies()
        self.preemption()
        time.sleep(2)  # the controller keeps its state every few seconds, and a job it does not know is killed
        self.controller_dies()
        say("the controller was killed again")
        for attempt in range(8):
            self.empty_queue()
            if (self.out / "runs" / failing).is_file():
                (self.out / "runs" / failing).unlink()
            count, left = self.submit()
            if not left:
                break
        need(not left, f"not done after {attempt + 1} submissions: {left}")
        states = self.states()
        need(len(states) == RUNS and set(states.values()) == {"done"}, f"states {states}")
        for run in states:
            need(self.log(run).count(" done, ") == 1, f"{run} was done other than once:\n{self.log(run)}")
        resumed = [run for run in states if "resumed at step" in self.log(run)]
        need(set(killed) <= set(resumed), f"killed with their node {killed}, but only {resumed} went on from a checkpoint")
        need(set(self.asked_back) <= set(resumed), f"asked back {self.asked_back}, but only {resumed} went on")
        say(f"all done, {len(resumed)} of them resumed, {attempt + 1} submissions at the end")


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    missing = cluster.missing_programs()
    if missing:
        print(f"skipped: Slurm is not installed ({', '.join(missing)} missing; apt-get install slurm-wlm)")
        return 77
    taut = str(pathlib.Path(arguments[0]).resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="taut-slurm-"))
    try:
        with cluster.Cluster(folder / "slurm") as slurm:
            say("two nodes are up")
            test = Test(taut, slurm, folder)
            test.everything()
        one = folder / "one machine"
        subprocess.run([taut, "study", "run", str(test.file), "--out", str(one), "--progress", "none"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stores = []
        for study in (test.out, one):
            store = folder / f"{len(stores)}.sqlite"
            merged = json.loads(subprocess.run([taut, "study", "merge", str(study), "--db", str(store), "-o", "json"],
                                               check=True, capture_output=True, text=True).stdout)[0]
            need(merged["runs"] == merged["done"] == RUNS, f"merged {merged}")
            stores.append(store.read_bytes())
        need(stores[0] == stores[1], "the store of the cluster is not that of one machine")
        say(f"the stores are the same, {len(stores[0])} bytes")
        need(not slurm.processes(), f"processes were left behind: {slurm.processes()}")
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
