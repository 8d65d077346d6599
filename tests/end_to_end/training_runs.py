"""What the tests of `fathom train` share: a config that trains in seconds, and a run's results without its clock."""
import json
import pathlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# Every part of the recipe, eight micro-batches a step; a step takes some ten milliseconds.
CONFIG = """
[model]
model_type = "deepseek_v2"
vocab_size = 512
hidden_size = 32
num_hidden_layers = 2
intermediate_size = 64
max_position_embeddings = 256
num_attention_heads = 2
num_key_value_heads = 2
kv_lora_rank = 16
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 8
rope_theta = 10000.0
rms_norm_eps = 1e-6
n_routed_experts = 8
num_experts_per_tok = 2
n_shared_experts = 1
moe_intermediate_size = 16
first_k_dense_replace = 1
n_group = 4
topk_group = 2
topk_method = "noaux_tc"

[data]
path = "{data}"
sequence_length = 64

[batch]
sequences = 8
start_sequences = 4
ramp_tokens = 5e3
micro_batch = 1

[optimizer]
max_learning_rate = 3e-3

[schedule]
tokens = {tokens}
warmup_steps = 5

[balance]
expert_alpha = 0.003
bias_update_speed = 0.001
n_devices = 4
max_devices = 2
capacity_factor = 1.0

[run]
seed = 1
init_std = 0.02
log_interval = 1
eval_interval = 7
eval_sequences = 2
save_interval = 1
keep_checkpoints = 2
"""

MEASURED = ("time", "tokens_per_second", "gflops", "percent_of_peak")


def write_config(path: pathlib.Path, tokens: float, data: pathlib.Path = REPOSITORY / "data/tiny", **changes: str) -> pathlib.Path:
    """changes: KEY=VALUE replaces the whole line of that key."""
    text = CONFIG.replace("{data}", str(data)).replace("{tokens}", str(tokens))
    lines = text.splitlines()
    for key, value in changes.items():
        at = [i for i, line in enumerate(lines) if line.split(" = ")[0] == key]
        assert len(at) == 1, key
        lines[at[0]] = f"{key} = {value}"
    path.write_text("\n".join(lines) + "\n")
    return path


def checkpoints(run: pathlib.Path) -> list[pathlib.Path]:
    """Ascending; those under their final name."""
    return sorted(p for p in run.glob("step-*") if not p.name.endswith(".partial"))


def is_whole(checkpoint: pathlib.Path) -> bool:
    """Every file is there with its size, and none else. (fathom itself compares the hashes when it resumes.)"""
    state = checkpoint / "training/state.json"
    if not state.exists():
        return False
    listed = {name: entry["bytes"] for name, entry in json.loads(state.read_text())["files"].items()}
    found = {str(p.relative_to(checkpoint)): p.stat().st_size for p in checkpoint.rglob("*") if p.is_file() and p != state}
    return listed == found


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def metrics(run: pathlib.Path) -> list[str]:
    """The lines of metrics.jsonl without what a clock measured."""
    lines = []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        lines.append(json.dumps({k: v for k, v in record.items() if k not in MEASURED}))
    return lines
