"""The rows of the tables, and how each is measured: a list of cells."""
import json
import os
import statistics
import subprocess
import time

from contenders import HERE, NETWORKS, Failure, note, run

# column, way, channels last, torch.compile's mode
COLUMNS = ["PyTorch eager", "torch.compile", "ONNX Runtime", "OpenVINO"]
EAGER = [("PyTorch eager", "torch", False, None), ("PyTorch eager", "torch", True, None)]
COMPILE = [("torch.compile", "torch", True, "default")]           # contiguous it is no faster anywhere
INFERENCE = EAGER + COMPILE + [
    ("torch.compile", "torch", True, "max-autotune"),               # with --autotune only
    ("ONNX Runtime", "onnxruntime", False, None), ("OpenVINO", "openvino", False, None),
]
TRAINING = EAGER + COMPILE
EXPERTS = EAGER[:1] + [("torch.compile", "torch", False, "dynamic")]

# title, network, pictures in a call, training, peers
PEER_ROWS = [
    ("ConvNeXt-T inference, batch 1", "convnext_t", 1, False, INFERENCE),
    ("ConvNeXt-T inference, batch 8", "convnext_t", 8, False, INFERENCE),
    ("ViT-S/16 inference, batch 1", "vit_s", 1, False, INFERENCE),
    ("ViT-S/16 inference, batch 8", "vit_s", 8, False, INFERENCE),
    ("ConvNeXt-T training, batch 16", "convnext_t", 16, True, TRAINING),
    ("ViT-S/16 training, batch 16", "vit_s", 16, True, TRAINING),
    ("CIFAR ConvNeXt training, batch 128", "cifar_convnext", 128, True, TRAINING),
] + [
    (f"MoE layer {experts} experts top-{top_k} {'training' if train else 'inference'}, batch {batch}",
     f"moe_{experts}_{top_k}", batch, train, EXPERTS)
    for experts, top_k in ((8, 2), (16, 1)) for train in (False, True) for batch in (1, 8)
]

# title, with experts, without, pictures in a call, training
EXPERT_ROWS = [
    (f"{title} {'training' if train else 'inference'}, batch 8", sparse, dense, 8, train)
    for title, sparse, dense in (("ConvNeXt-T-4 Last-2 against ConvNeXt-T", "convnext_t_4_last2", "convnext_t"),
                                 ("ViT-S-8 Every-2 against ViT-S", "vit_s_8_every2", "vit_s"))
    for train in (False, True)
]

THREAD_ROWS = [(f"{row[0]}, threads", *row[1:3]) for row in PEER_ROWS[:4]]


def variant(column, channels_last, mode):
    return ", ".join(filter(None, (column, channels_last and "channels last", mode)))


def ratios(a, b):
    return [x / y for x, y in zip(a, b)]


def median(figures):
    return statistics.median(figures)


# -- a row of each table

def peer_row(bench, row):
    """Pictures a second of all; a column shows the best of its variants."""
    title, name, batch, train, peers = row
    threads, workers, contenders = bench.options.threads, {}, {}
    if bench.versions:
        bench.prepare(name)
    contenders["ours"] = lambda: bench.ours(name, batch, train)
    if bench.peak:
        contenders["peak"] = bench.flops(threads)
    try:
        for column, way, channels_last, mode in peers if bench.versions else []:
            if way not in bench.versions or (mode == "max-autotune" and not bench.options.autotune):
                continue
            label = variant(column, channels_last, mode)
            try:
                workers[label] = bench.peer(row, label, way, channels_last, mode)
            except Failure as e:
                note(f"  {label} left out: {e}")
                continue
            contenders[label] = lambda w=workers[label]: batch / w.ask(do="run", seconds=bench.options.seconds)
        figures = bench.rounds(title, contenders, workers)
    finally:
        for worker in workers.values():
            worker.close()
    return peer_cells(bench, row, figures)


def peer_cells(bench, row, figures):
    title, name, _, train, _ = row
    ours, best = figures["ours"], {}
    for label in figures:
        column = label.split(",")[0]
        if column in COLUMNS and (column not in best or median(figures[label]) > median(figures[best[column]])):
            best[column] = label
    gflops = 2e-9 * bench.program(name)[1]["macs"] * (3 if train else 1)
    share = f"{100 * median(ratios([gflops * x for x in ours], figures['peak'])):.0f}" if bench.peak else "-"
    cells = [title, f"{median(ours):.1f}"]
    for column in COLUMNS:
        label = best.get(column)
        cells.append(f"{median(figures[label]):.1f}{label[len(column):].replace(', ', ' ')}" if label else "-")
    fastest = max(best.values(), key=lambda label: median(figures[label]), default=None)
    eager = best.get("PyTorch eager")
    cells.append(spread(ratios(ours, figures[fastest])) if fastest else "-")
    cells.append(f"{median(ratios(ours, figures[eager])):.2f}" if eager else "-")
    return cells + [share]


def spread(figures):
    return f"{median(figures):.2f} ({min(figures):.2f}-{max(figures):.2f})"


def expert_row(bench, row):
    title, sparse, dense, batch, train = row
    figures = bench.rounds(title, {name: lambda n=name: bench.ours(n, batch, train) for name in (sparse, dense)})
    times = ratios(figures[dense], figures[sparse])
    macs = bench.program(sparse)[1]["macs"] / bench.program(dense)[1]["macs"]
    return [title, f"{median(figures[sparse]):.1f}", f"{median(figures[dense]):.1f}", f"{median(times):.3f}", f"{macs:.3f}",
            spread([t / macs for t in times])]


def thread_row(bench, row):
    title, name, batch = row
    many = bench.options.threads
    contenders = {f"ours, {t}": lambda t=t: bench.ours(name, batch, False, t) for t in (1, many)}
    if bench.peak:
        contenders.update({f"peak, {t}": bench.flops(t) for t in (1, many)})
    figures = bench.rounds(title, contenders)
    peak = f"{median(ratios(figures[f'peak, {many}'], figures['peak, 1'])):.2f}" if bench.peak else "-"
    return [title, f"{median(figures['ours, 1']):.1f}", f"{median(figures[f'ours, {many}']):.1f}",
            spread(ratios(figures[f"ours, {many}"], figures["ours, 1"])), peak]


def peak_memory(command, environment):
    """Of a process, in MiB."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failure(f"{command[0]} gave {process.returncode}")
    return used.ru_maxrss / 1024


def memory_row(bench, title, name):
    batch, size = 16, 224
    ours = peak_memory([bench.program(name)[0], "bench", "--train", "--batch", batch, "--seconds", 0.01, "--threads",
                        bench.options.threads], None)
    if not bench.versions:
        return [title, f"{ours:.0f} MiB", "-", "-"]
    bench.prepare(name)
    eager = peak_memory([bench.python, HERE / "peer.py", "--step", NETWORKS[name][2], bench.weights(name), batch, size],
                        bench.environment)
    return [title, f"{ours:.0f} MiB", f"{eager:.0f} MiB", f"{eager / ours:.2f}"]


def timed(command, environment=None):
    def call():
        began = time.perf_counter()
        run(command, env=environment)
        return time.perf_counter() - began
    return call


def start_row(bench, title, name):
    if not bench.versions:
        return [title, "-", "-", "-"]
    picture = bench.prepare(name)[0]
    program, info = bench.program(name)
    contenders = {
        "ours": timed([program, "predict", "--weights", bench.weights(name), "--threads", bench.options.threads, picture]),
        "eager": timed([bench.python, HERE / "peer.py", "--first", NETWORKS[name][2], bench.weights(name), picture,
                        json.dumps(info["preprocessing"])], bench.environment),
    }
    for call in contenders.values():    # all files into the page cache
        call()
    figures = bench.rounds(title, contenders)
    return [title, f"{median(figures['ours']):.3f} s", f"{median(figures['eager']):.3f} s",
            f"{median(ratios(figures['eager'], figures['ours'])):.1f}"]


def size_row(bench, title, name):
    return [title, f"{bench.program(name)[0].stat().st_size / 1e6:.1f} MB", "-", "-"]


# title, network, what is measured
OTHER_ROWS = [(f"{title} {what}", name, measure) for title, name in (("ConvNeXt-T", "convnext_t"), ("ViT-S/16", "vit_s"))
              for what, measure in (("training, batch 16: peak memory", memory_row), ("start to first prediction", start_row),
                                    ("program on disk", size_row))]


def other_row(bench, row):
    return row[2](bench, *row[:2])


TABLES = [
    (PEER_ROWS, peer_row, ["work", "ours img/s", *COLUMNS, "ours / fastest peer", "ours / eager", "% of FMA peak"]),
    (EXPERT_ROWS, expert_row, ["experts", "with img/s", "without img/s", "time", "MACs", "time / MACs"]),
    (THREAD_ROWS, thread_row, ["threads", "1: img/s", "all: img/s", "speed-up", "of the FMA peak"]),
    (OTHER_ROWS, other_row, ["beside", "ours", "PyTorch eager", "eager / ours"]),
]
