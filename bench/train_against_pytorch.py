#!/usr/bin/env python3
"""Training speed and memory of fathom and of PyTorch (transformers' DeepseekV2ForCausalLM, fused AdamW), side by side.

    python bench/train_against_pytorch.py --fathom build/release/fathom configs/bundled.toml [--hidden 576] [--rounds 3]

Same shape, micro-batch, sequence length and number of threads; whole steps: forward, backward, clipping, update.
PyTorch runs every combination of its expert and attention implementations and of float32 and bfloat16 autocast once;
the fastest meets fathom in interleaved rounds, each a process of its own. It does less: no balance losses, no document
boundaries, random tokens. --hidden H widens the shape: every width of the config times H / hidden_size.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

EXPERTS, ATTENTION, PRECISION = ("eager", "grouped_mm"), ("sdpa", "eager"), ("float32", "bfloat16")
WIDTHS = ("hidden_size", "intermediate_size", "moe_intermediate_size", "num_attention_heads", "num_key_value_heads",
          "kv_lora_rank", "q_lora_rank")


def widened(config, hidden):
    config = json.loads(json.dumps(config))
    model = config["model"]
    factor = hidden / model["hidden_size"] if hidden else 1
    for key in WIDTHS:
        if model.get(key):
            model[key] = round(model[key] * factor)
    return config


def toml_of(config, data):
    lines = []
    for section, values in config.items():
        lines.append(f"[{section}]")
        values = dict(values, path=str(data)) if section == "data" else values
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)]
        for key, table in values.items():  # [model.rope_scaling]
            if isinstance(table, dict):
                lines += [f"[{section}.{key}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def run_fathom(o, config, folder, number):
    sequences = config["batch"]["micro_batch"]
    config = dict(config, batch={"sequences": sequences, "micro_batch": sequences})
    config["run"] = dict(config["run"], log_interval=1, eval_interval=0, save_interval=0)
    path, run = folder / f"{number}.toml", folder / f"run-{number}"
    path.write_text(toml_of(config, o.data))
    process = subprocess.Popen([o.fathom, "train", path, "-o", run, "-q", "--steps", str(o.warm_up + o.steps),
                                "--threads", str(o.threads)])
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit("fathom failed")
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    speeds = [s["tokens_per_second"] for s in steps if "tokens_per_second" in s]
    return {"tokens_per_second": statistics.median(speeds[o.warm_up:]), "peak_mb": usage.ru_maxrss / 1024}


def run_pytorch(o, config, experts, attention, precision):
    command = [sys.executable, __file__, "--worker", json.dumps([config, experts, attention, precision]), "--threads",
               str(o.threads), "--steps", str(o.steps), "--warm-up", str(o.warm_up), "-"]
    out = subprocess.run(command, capture_output=True, text=True)
    return json.loads(out.stdout.splitlines()[-1]) if out.returncode == 0 else {"error": out.stderr.splitlines()[-1:]}


def worker(o):
    import torch
    import transformers
    config, experts, attention, precision = json.loads(o.worker)
    torch.manual_seed(1)
    torch.set_num_threads(o.threads)
    known = {k: v for k, v in config["model"].items() if k not in ("model_type", "architectures", "scoring_func")}
    hf = transformers.DeepseekV2Config(**known, attn_implementation=attention, experts_implementation=experts,
                                       use_cache=False)
    model = transformers.DeepseekV2ForCausalLM(hf).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    length, sequences = config["data"]["sequence_length"], config["batch"]["micro_batch"]
    times = []
    for _ in range(o.warm_up + o.steps):
        ids = torch.randint(0, hf.vocab_size, (sequences, length))
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    print(json.dumps({"tokens_per_second": sequences * length / statistics.median(times[o.warm_up:]),
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("config")
    p.add_argument("--fathom", default="build/release/fathom")
    p.add_argument("--data", help="token folder; default: the config's")
    p.add_argument("--hidden", type=int, default=0)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--steps", type=int, default=5)
    p.add_argument("--warm-up", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--setting", help="of PyTorch, as found before: experts,attention,precision; nothing is searched")
    p.add_argument("--worker", help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.worker:
        return worker(o)
    config = widened(tomllib.loads(pathlib.Path(o.config).read_text()), o.hidden)
    o.data = pathlib.Path(o.data or pathlib.Path(o.config).parent / config["data"]["path"]).resolve()
    best = (0, tuple(o.setting.split(","))) if o.setting else None
    for combination in () if o.setting else ((e, a, p) for e in EXPERTS for a in ATTENTION for p in PRECISION):
        r = run_pytorch(o, config, *combination)
        print("PyTorch", *combination, r, flush=True)
        if "error" not in r and (best is None or r["tokens_per_second"] > best[0]):
            best = (r["tokens_per_second"], combination)
    results = {"fathom": [], "pytorch": []}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(o.rounds):
            results["fathom"].append(run_fathom(o, config, pathlib.Path(folder), i))
            results["pytorch"].append(run_pytorch(o, config, *best[1]))
            print("round", i + 1, "fathom", results["fathom"][-1], "PyTorch", *best[1], results["pytorch"][-1], flush=True)
    ratios = [f["tokens_per_second"] / t["tokens_per_second"] for f, t in zip(results["fathom"], results["pytorch"])]
    memory = [f["peak_mb"] / t["peak_mb"] for f, t in zip(results["fathom"], results["pytorch"])]
    print(f"speed ratio: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}; "
          f"peak memory ratio: {statistics.median(memory):.2f}")


if __name__ == "__main__":
    main()
