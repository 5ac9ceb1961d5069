#!/usr/bin/env python3
"""A process that runs one network in one way. compare.py starts it, asks it in lines of JSON, and stops it (SIGSTOP) while others
have their turn.

    peer.py                                     then {"do": "open"|"run"|...} on stdin, an answer a line on stdout
    peer.py --first NETWORK WEIGHTS PICTURE PREPROCESSING       one prediction, as an own process
    peer.py --step NETWORK WEIGHTS BATCH SIZE                   a few training steps, for their memory
"""
import json
import os
import statistics
import sys
import time


def first(name, weights, picture, preprocessing):
    import torch
    import networks
    model = networks.load(name, weights).eval()
    with torch.inference_mode():
        logits = model(networks.read_pictures([picture], 1, json.loads(preprocessing)))
    print(int(logits.argmax()))


# -- ways to run; each returns a function for one call and one for the logits of the pictures

def inference_torch(request, model, x):
    import torch
    if request["channels_last"]:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    model = compiled(request, model.eval())

    def call():
        with torch.inference_mode():
            return model(x)
    return call, call


def compiled(request, model):
    import torch
    mode = request["compile"]
    if mode is None:
        return model
    torch._inductor.config.freezing = not request["train"] and mode != "dynamic"
    if mode == "dynamic":               # the number of tokens of an expert changes from call to call
        return torch.compile(model, dynamic=True)
    return torch.compile(model, mode=mode)


def training_torch(request, model, x):
    import torch
    import torch.nn.functional as F
    if request["channels_last"]:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    model = compiled(request, model.train())
    parameters = list(model.parameters())
    # Like our bench the weights stay what they are; the arithmetic is the same for any learning rate.
    optimiser = torch.optim.AdamW(parameters, lr=0.0, weight_decay=0.05, fused=True)
    target = None

    def call():
        nonlocal target
        logits = model(x)
        if target is None:
            target = F.one_hot(torch.arange(len(x)) % logits.shape[1], logits.shape[1]).float()
        F.cross_entropy(logits, target).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return logits
    return call, call


def onnx_file(request, model, x):
    """Exported once for each batch: a fixed one gives the peers most to plan with."""
    import torch
    path = f"{request['folder']}/{request['batch']}.onnx"
    if not os.path.exists(path):
        torch.onnx.export(model.eval(), (x,), path + ".new", dynamo=True, external_data=False, verbose=False)
        os.rename(path + ".new", path)
    return path


def inference_onnxruntime(request, model, x):
    import onnxruntime
    import torch
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = request["threads"], 1
    session = onnxruntime.InferenceSession(onnx_file(request, model, x), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x.numpy()}

    def call():
        return session.run(None, feed)
    return call, lambda: torch.from_numpy(call()[0])


def inference_openvino(request, model, x):
    import openvino
    import torch
    # f32 is said because the default is bf16 where there is AMX; the comparison of logits would find it.
    how = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": request["threads"]}
    graph = openvino.convert_model(model.eval(), example_input=x, input=list(x.shape))
    infer = openvino.Core().compile_model(graph, "CPU", how).create_infer_request()
    infer.set_input_tensor(openvino.Tensor(x.numpy()))

    def call():
        infer.infer()
        return infer.get_output_tensor().data
    return call, lambda: torch.from_numpy(call().copy())


# -- requests

class Peer:
    def __init__(self):
        self.call = None

    def versions(self, request):
        found = {}
        for name in ("torch", "timm", "onnxruntime", "openvino", "onnxscript", "PIL", "safetensors"):
            try:
                found[name] = __import__(name).__version__
            except Exception as e:      # an import may fail in any way
                print(name, e, file=sys.stderr)
        return found

    def prepare(self, request):
        import networks
        networks.random_weights(request["network"], request["weights"])
        return networks.write_pictures(request["folder"], 8, request["preprocessing"], request["source"])

    def open(self, request):
        import torch
        import networks
        torch.set_num_threads(request["threads"])
        model = networks.load(request["network"], request["weights"])
        x = networks.read_pictures(request["pictures"], request["batch"], request["preprocessing"])
        way = request["way"] if request["way"] != "torch" else "torch_train" if request["train"] else "torch_eval"
        self.call, logits = {"torch_eval": inference_torch, "torch_train": training_torch,
                             "onnxruntime": inference_onnxruntime, "openvino": inference_openvino}[way](request, model, x)
        answer = logits().detach()[:len(request["pictures"])].tolist()
        self.call()                     # the second call may still allocate or compile
        return answer

    def run(self, request):
        """Seconds of a call, the median. The first one after a pause is not counted."""
        self.call()
        times, end = [], time.perf_counter() + request["seconds"]
        while len(times) < 2 or time.perf_counter() < end:
            began = time.perf_counter()
            self.call()
            times.append(time.perf_counter() - began)
        return statistics.median(times)


def serve():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                       # what libraries print is no answer
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(peer, request["do"])(request)}
        except Exception as e:          # of any library: this peer is left out, and the reason is told
            answer = {"error": (str(e).strip().splitlines() or [""])[0][:200] or type(e).__name__}
        print(json.dumps(answer), file=answers, flush=True)


def steps(name, weights, batch, size):
    import torch
    import networks
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    call, _ = training_torch({"channels_last": False, "compile": None, "train": True}, networks.load(name, weights),
                             torch.randn(int(batch), 3, int(size), int(size)))
    for _ in range(3):
        call()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--first"]:
        first(*sys.argv[2:])
    elif sys.argv[1:2] == ["--step"]:
        steps(*sys.argv[2:])
    else:
        serve()
