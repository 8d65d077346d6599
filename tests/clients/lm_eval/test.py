"""lm-evaluation-harness scores tasks of ours through /v1/completions, as it would score a published one: a multiple choice and a
perplexity. The numbers have to be those that `fathom logits` gives for the same tokens."""
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import lm_eval
import numpy
from fathom_server import ENVIRONMENT, KEY, Server

CONTEXT = 512
TOLERANCE = 1e-5  # of nats a token
TASKS = ("fathom_choices", "fathom_texts")


def fathom(*arguments):
    return subprocess.run([os.environ["FATHOM"], *arguments], check=True, capture_output=True, text=True, env=ENVIRONMENT, timeout=120).stdout


def ids_of(text):
    return [int(i) for i in fathom("tokenize", "--ids", "--no-bos", "--special", text).split()] if text else []


def log_likelihood(folder, context, continuation):
    """Of the ids of continuation after those of context, by `fathom logits`; and whether each was the most likely one."""
    path = os.path.join(folder, "logits.npy")
    ids = context + continuation
    fathom("logits", "-q", "--all", "--format", "npy", "-o", path, "--ids", " ".join(map(str, ids[:-1])))
    logits = numpy.load(path).astype(numpy.float64)[len(context) - 1:]
    top = logits.max(axis=1)
    logprobs = logits[range(len(continuation)), continuation] - top - numpy.log(numpy.exp(logits - top[:, None]).sum(axis=1))
    return logprobs.sum(), list(logits.argmax(axis=1)) == continuation


def rolling(folder, ids, bos, longest):
    """The harness's windows (lm_eval.utils.get_rolling_token_windows): the first after bos, then whole ones that end where the text does."""
    total = log_likelihood(folder, [bos], ids[:longest])[0]
    for begin in range(longest, len(ids), longest):
        end = min(begin + longest, len(ids))
        window = ids[end - longest - 1:end]
        n = end - begin
        total += log_likelihood(folder, window[:-n], window[-n:])[0]
    return total


def run_harness(model, names, arguments, *options):
    """The samples of each task, in order, and the results."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = shutil.copytree(os.path.join(HERE, "tasks"), os.path.join(folder, "tasks"))
        for name in os.listdir(tasks):  # the harness wants whole paths
            if name.endswith(".yaml"):
                path = os.path.join(tasks, name)
                text = open(path).read().replace("data_files: ", f"data_files: {tasks}/")
                open(path, "w").write(text)
        command = [sys.executable, "-m", "lm_eval", "--model", model, "--tasks", ",".join(names), "--include_path", tasks, "--log_samples", "--output_path", folder,
                   "--model_args", ",".join(f"{k}={v}" for k, v in arguments.items()), *options]
        environment = {**os.environ, "OPENAI_API_KEY": KEY, "HF_HOME": os.path.join(folder, "hf"), "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        if done.returncode != 0:
            raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])
        files = [os.path.join(d, name) for d, _, names in os.walk(folder) for name in names]
        samples = {}
        for task in names:
            path, = (f for f in files if os.path.basename(f).startswith(f"samples_{task}"))
            samples[task] = sorted((json.loads(line) for line in open(path)), key=lambda s: s["doc_id"])
        results, = (json.load(open(f)) for f in files if os.path.basename(f).startswith("results_"))
        return samples, results["results"]


def run_with_ids(server, concurrent, batch):
    arguments = {"model": "bundled", "base_url": f"{server.url}/v1/completions", "tokenizer_backend": "remote", "auth_token": KEY, "max_length": CONTEXT,
                 "num_concurrent": concurrent, "tokenized_requests": True}
    return run_harness("local-completions", TASKS, arguments, "--batch_size", str(batch))


def compare_with_offsets(folder, bos):
    """The harness's other way: it sends texts, and finds where the continuation begins by text_offset."""
    with Server(is_open=True) as server:
        samples, _ = run_harness("gguf", TASKS[:1], {"base_url": server.url})
    worst = 0.0
    for sample in samples[TASKS[0]]:
        context = [bos, *ids_of(sample["doc"]["context"])]
        for response, choice in zip(sample["resps"], sample["doc"]["choices"], strict=True):
            whole = [bos, *ids_of(sample["doc"]["context"] + choice)]
            assert whole[:len(context)] == context
            want, _ = log_likelihood(folder, context, whole[len(context):])
            worst = max(worst, abs(float(response[0][0]) - want) / (len(whole) - len(context)))
    assert worst <= TOLERANCE, f"{worst:.2e} nats a token apart"
    return worst


def expected(folder, bos):
    """Of each task, in order: the documents' [(log-likelihood, is greedy, tokens), ...] of the choices; (log-likelihood, tokens) of the texts."""
    choices = []
    for line in open(os.path.join(HERE, "tasks", "choices.jsonl")):
        doc = json.loads(line)
        n = len(ids_of(doc["context"]))
        wholes = [ids_of(doc["context"] + c) for c in doc["choices"]]
        choices.append([(*log_likelihood(folder, w[:n], w[n:]), len(w) - n) for w in wholes])
    texts = []
    for line in open(os.path.join(HERE, "tasks", "texts.jsonl")):
        ids = ids_of(json.loads(line)["text"])
        texts.append((rolling(folder, ids, bos, CONTEXT - 2), len(ids)))
    return choices, texts


def compare(samples, results, choices, texts):
    worst = 0.0
    right = 0
    for sample, scores in zip(samples["fathom_choices"], choices, strict=True):
        got = [r[0] if isinstance(r[0], list) else r for r in sample["resps"]]
        for (value, greedy), (want, is_greedy, n) in zip(got, scores, strict=True):
            worst = max(worst, abs(float(value) - want) / n)
            assert str(greedy) == str(is_greedy), f"greedy: {greedy}, not {is_greedy}: {sample['doc']}"
        right += max(range(len(scores)), key=lambda i: scores[i][0]) == sample["doc"]["answer"]
    assert math.isclose(results["fathom_choices"]["acc,none"], right / len(choices)), results
    for sample, (want, n) in zip(samples["fathom_texts"], texts, strict=True):
        got = sample["resps"][0]
        worst = max(worst, abs(float(got[0] if isinstance(got, list) else got) - want) / n)
    n_bytes = sum(len(s["doc"]["text"].encode()) for s in samples["fathom_texts"])
    bits = -sum(want for want, _ in texts) / n_bytes / math.log(2)
    assert abs(results["fathom_texts"]["bits_per_byte,none"] - bits) < TOLERANCE, (results, bits)
    assert worst <= TOLERANCE, f"{worst:.2e} nats a token apart"
    return worst


def compare_with_perplexity(server, folder, bos, window=128):
    """`fathom perplexity` of the longest text, from an echo of its windows: bos in front of each, and the second half scored."""
    text = json.loads(open(os.path.join(HERE, "tasks", "texts.jsonl")).readlines()[-1])["text"]
    path = os.path.join(folder, "text.txt")
    open(path, "w").write(text)
    told = json.loads(fathom("perplexity", "-q", "--json", "-c", str(window), "-f", path))
    ids = [bos, *ids_of(text)]
    windows = [[bos, *ids[begin + 1:begin + window]] for begin in range(0, len(ids) - window + 1, window)]
    choices = server.post("/v1/completions", {"prompt": windows, "max_tokens": 0, "echo": True, "logprobs": 1})["choices"]
    scored = [x for c in choices for x in c["logprobs"]["token_logprobs"][window // 2 + 1:]]
    assert len(scored) == told["tokens_scored"], (len(scored), told)
    got = math.exp(-sum(scored) / len(scored))
    assert abs(got / told["perplexity"] - 1) < TOLERANCE, f"perplexity {got}, not {told['perplexity']}"
    return got


def main():
    print(f"lm_eval {lm_eval.__version__}")
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        bos = int(fathom("tokenize", "--ids", "").split()[0])
        choices, texts = expected(folder, bos)
        for concurrent, batch in ((1, 4), (8, 1)):
            samples, results = run_with_ids(server, concurrent, batch)
            worst = compare(samples, results, choices, texts)
            print(f"  {concurrent} at a time, batches of {batch}: acc {results['fathom_choices']['acc,none']:.3f}, {results['fathom_texts']['bits_per_byte,none']:.6f} bits a byte; "
                  f"at most {worst:.1e} nats a token from fathom logits")
        print(f"  texts, cut by text_offset: at most {compare_with_offsets(folder, bos):.1e} nats a token from fathom logits")
        print(f"  perplexity of the longest text {compare_with_perplexity(server, folder, bos):.6f}, as fathom perplexity")


main()
