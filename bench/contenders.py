"""Those who take turns: our programs, the peers in processes of their own, the FMA peak."""
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
LARGEST_DIFFERENCE = 1e-4               # of logits, by the largest of them
BUSY = 10                               # percent of a processor that neighbours may take

# name: file, parameters, the network of networks.py (None: measured against our own only)
NETWORKS = {
    "convnext_t": ("examples/paper/convnext_t.vmoe", [], "convnext_tiny"),
    "vit_s": ("examples/paper/vit_s.vmoe", [], "vit_small_patch16_224"),
    "cifar_convnext": ("bench/cifar_convnext.vmoe", [], "cifar_convnext"),
    "moe_8_2": ("bench/moe.vmoe", ["experts=8", "top_k=2"], "moe_8_2"),
    "moe_16_1": ("bench/moe.vmoe", ["experts=16", "top_k=1"], "moe_16_1"),
    "convnext_t_4_last2": ("examples/paper/convnext_t_4_last2.vmoe", [], None),
    "vit_s_8_every2": ("examples/paper/vit_s_8_every2.vmoe", [], None),
}


class Failure(Exception):
    """Of one contender: it is left out."""


def note(text):
    print(text, file=sys.stderr, flush=True)


def run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failure(f"{command[0]} gave {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")
    return done.stdout


# -- contenders

class Worker:
    """peer.py in a process group of its own, which stands still between its turns: no thread of it spins meanwhile."""

    def __init__(self, bench):
        self.log = open(bench.work / "peers.log", "ab")
        self.process = subprocess.Popen([bench.python, HERE / "peer.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, env=bench.environment, start_new_session=True, text=True)
        bench.workers.add(self)
        self.bench = bench

    def ask(self, **request):
        os.killpg(self.process.pid, signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failure(f"ended, see {self.log.name}")
        os.killpg(self.process.pid, signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer["ok"]

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.communicate()
        self.log.close()
        self.bench.workers.discard(self)

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = pathlib.Path(options.work or pathlib.Path(options.build) / "bench").resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.vmoec = pathlib.Path(options.build).resolve() / "vmoec"
        self.python = shutil.which(options.python) or options.python
        threads = str(options.threads)
        self.environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": "",
                            "TORCHINDUCTOR_CACHE_DIR": str(self.work / "inductor"), "TORCHINDUCTOR_COMPILE_THREADS": threads}
        self.pictures, self.programs, self.raw, self.workers = {}, {}, [], set()
        self.peak = self.build_peak()
        self.versions = self.find_versions()

    def build_peak(self):
        for cc in filter(None, (os.environ.get("CC"), "clang", "gcc", "cc")):
            try:
                run([cc, "-O2", "-march=native", "-pthread", HERE / "peak.c", "-o", self.work / "peak"])
                run([self.work / "peak", 1, 0.01])
                return self.work / "peak"
            except (Failure, OSError) as e:
                reason = e
        note(f"no FMA peak: {reason}")
        return None

    def find_versions(self):
        worker = None
        try:
            worker = Worker(self)
            found = worker.ask(do="versions")
        except (Failure, OSError) as e:
            note(f"{self.python}: {e}")
            found = {}
        if worker:
            worker.close()
        needed = ("torch", "timm", "safetensors", "PIL")
        missing = [name for name in needed if name not in found]
        if missing:
            note(f"skipped: all peers: {self.python} has no {', '.join(missing)}")
        for name in ("onnxruntime", "openvino"):
            if found and name not in found:
                note(f"skipped: {self.python} has no {name}")
        if "onnxruntime" in found and "onnxscript" not in found:
            note(f"skipped: {self.python} has no onnxscript, which onnxruntime's files are written with")
            del found["onnxruntime"]
        return found if not missing else {}

    def program(self, name):
        """A program, built once, with what `info` says of it."""
        if name not in self.programs:
            spec, parameters, _ = NETWORKS[name]
            path = self.work / name
            run([self.vmoec, "build", ROOT / spec, "-o", path, *(w for p in parameters for w in ("-D", p))])
            self.programs[name] = (path, json.loads(run([path, "info", "--json"])))
        return self.programs[name]

    def weights(self, name):
        return self.work / f"{name}.safetensors"

    def prepare(self, name):
        """Weights and pictures of a network, for both sides; the paths of the pictures."""
        if name not in self.pictures:
            (self.work / f"{name}.data").mkdir(exist_ok=True)
            worker = Worker(self)
            try:
                self.pictures[name] = worker.ask(do="prepare", network=NETWORKS[name][2], weights=str(self.weights(name)),
                                                 folder=str(self.work / f"{name}.data"), source=self.options.pictures,
                                                 preprocessing=self.program(name)[1]["preprocessing"])
            finally:
                worker.close()
        return self.pictures[name]

    def ours(self, name, batch, train, threads=None):
        """Pictures a second."""
        command = [self.program(name)[0], "bench", "--batch", batch, "--seconds", self.options.seconds, "--json", "--threads",
                   threads or self.options.threads]
        if name in self.pictures:
            command += ["--weights", self.weights(name)]
        return json.loads(run(command + ["--train"] * train))["images_per_s"]

    def our_logits(self, name, batch):
        rows = run([self.program(name)[0], "predict", "--weights", self.weights(name), "--logits", "--json", "--threads",
                    self.options.threads, *self.prepare(name)[:batch]])
        return [json.loads(row)["logits"] for row in rows.splitlines()]

    def peer(self, row, label, way, channels_last, mode):
        """A worker that gives our logits."""
        _, name, batch, train, _ = row
        worker = Worker(self)
        try:
            theirs = worker.ask(do="open", network=NETWORKS[name][2], weights=str(self.weights(name)), batch=batch, train=train,
                                pictures=self.prepare(name), preprocessing=self.program(name)[1]["preprocessing"], way=way,
                                folder=str(self.work / f"{name}.data"), threads=self.options.threads,
                                channels_last=channels_last, compile=mode)
            far = distance(self.our_logits(name, batch), theirs)
            if not far <= LARGEST_DIFFERENCE:
                raise Failure(f"its logits differ by {far:.2g} of the largest: not the same network, so not measured")
        except BaseException:
            worker.close()
            raise
        note(f"  {label}: logits agree within {far:.1e}")
        return worker

    def flops(self, threads):
        return lambda: float(run([self.peak, threads, 0.3]))

    def others_seconds(self):
        """Processor time that neighbours have taken since the machine started, those of the host as well; 0: unknown here."""
        try:
            user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
            busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
            return busy - sum(os.times()[:4]) - sum(worker.processor_seconds() for worker in self.workers)
        except (OSError, ValueError, IndexError):
            return 0.0

    def rounds(self, title, contenders, optional=()):
        """Each contender's figure in each round; a peer that fails is left out. The order turns, so that nobody always follows the
        same one."""
        figures = {name: [] for name in contenders}
        began, others = time.monotonic(), self.others_seconds()
        for i in range(self.options.rounds):
            names = list(figures)
            for name in names[i % len(names):] + names[:i % len(names)]:
                try:
                    figures[name].append(contenders[name]())
                except Failure as e:
                    if name not in optional:
                        raise
                    note(f"  {name} left out: {e}")
                    del figures[name]
        share = 100 * (self.others_seconds() - others) / (time.monotonic() - began)
        if share > BUSY:
            note(f"  others took {share:.0f} % of a processor meanwhile: do not trust this row")
        self.raw.append({"row": title, "others_percent": round(share, 1), "rounds": figures})
        return figures


def distance(ours, theirs):
    if [len(row) for row in ours] != [len(row) for row in theirs]:
        return math.inf
    pairs = [(a, b) for x, y in zip(ours, theirs) for a, b in zip(x, y)]
    return max(abs(a - b) for a, b in pairs) / max(abs(a) for a, _ in pairs)
