"""What each program of writers.py writes, in the words of its own users. Run by that program's own interpreter:

    PROGRAM/bin/python tools/oracle/writer_programs.py BASES WRITER=OUT ...

BASES holds the folders of writer_bases.py; OUT is the file or folder to write. One function a writer; a program's
packages are imported inside it, since no two environments hold the same ones. All writers of one environment run in
one process, because importing torch costs more than anything they do.
"""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

TEXT_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


def version(package):
    from importlib import metadata
    return metadata.version(package)


def copy_texts(base, out, *more):
    out.mkdir(parents=True, exist_ok=True)
    for name in (*TEXT_FILES, *more):
        shutil.copy(base / name, out)


def loaded(base, dtype="float32"):
    import torch
    import transformers
    return transformers.AutoModelForCausalLM.from_pretrained(base, torch_dtype=getattr(torch, dtype))


def saved(model, base, out, **options):
    """As every example does it: model.save_pretrained, tokenizer.save_pretrained."""
    import transformers
    model.save_pretrained(out, **options)
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(out)


def run(*command, **environment):
    done = subprocess.run([str(part) for part in command], env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} {command[1]}: exit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-3000:]}")


def program(name):
    return pathlib.Path(sys.executable).parent / name


# transformers -------------------------------------------------------------------------------------------------------

def transformers_bf16(bases, out):
    saved(loaded(bases / "lite", "bfloat16"), bases / "lite", out)
    return version("transformers")


def transformers_shards(bases, out):
    saved(loaded(bases / "v2", "float16"), bases / "v2", out, max_shard_size="200KB")
    return version("transformers")


def transformers_tied(bases, out):
    saved(loaded(bases / "llama_tied", "bfloat16"), bases / "llama_tied", out)
    return version("transformers")


def transformers_stacked(bases, out):
    """Its own in-memory layout: all experts of a layer in one tensor."""
    saved(loaded(bases / "lite"), bases / "lite", out, save_original_format=False)
    return version("transformers")


def transformers_4(bases, out):
    model = loaded(bases / "lite_released", "bfloat16")
    saved(model, bases / "lite_released", out)
    return version("transformers")


def transformers_4_bin(bases, out):
    saved(loaded(bases / "lite_released"), bases / "lite_released", out, safe_serialization=False)
    return version("transformers")


def training_texts(text):
    return [dict(input_ids=ids, labels=ids) for ids in (text("one two three four five six")["input_ids"],) * 4]


def trainer_checkpoint(bases, out):
    """A checkpoint-N folder of transformers' Trainer, with the optimiser's state beside the weights."""
    import transformers
    text = transformers.AutoTokenizer.from_pretrained(bases / "lite")
    work = out.with_name(out.name + "-run")
    arguments = transformers.TrainingArguments(output_dir=work, max_steps=1, save_steps=1, use_cpu=True, report_to=[],
                                               per_device_train_batch_size=2)
    transformers.Trainer(model=loaded(bases / "lite"), args=arguments, train_dataset=training_texts(text),
                         processing_class=text).train()
    shutil.move(work / "checkpoint-1", out)
    return version("transformers")


def trl_sft(bases, out):
    import datasets
    import transformers
    import trl
    text = transformers.AutoTokenizer.from_pretrained(bases / "lite")
    rows = datasets.Dataset.from_list([dict(text="one two three four five six")] * 4)
    arguments = trl.SFTConfig(output_dir=out, max_steps=1, use_cpu=True, bf16=False, report_to=[], save_strategy="no",
                              per_device_train_batch_size=2)
    trainer = trl.SFTTrainer(model=loaded(bases / "lite"), args=arguments, train_dataset=rows, processing_class=text)
    trainer.train()
    trainer.save_model()
    return version("trl")


# Fine-tuning and merging --------------------------------------------------------------------------------------------

def adapted(base):
    import peft
    import torch
    torch.manual_seed(1)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=16, init_lora_weights=False,
                             target_modules=["q_proj", "kv_b_proj", "o_proj"])
    return peft.get_peft_model(loaded(base), config)


def peft_merged(bases, out):
    saved(adapted(bases / "lite").merge_and_unload(), bases / "lite", out)
    return version("peft")


def peft_adapter(bases, out):
    saved(adapted(bases / "lite"), bases / "lite", out)
    return version("peft")


def merged_by(bases, out, recipe, *options, command="mergekit-yaml"):
    recipe_file = out.with_suffix(".yml")
    recipe_file.write_text(recipe.replace("BASES", str(bases)))
    run(program(command), recipe_file, out, *options, "--allow-crimes", HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
    return version("mergekit")


def mergekit_linear(bases, out):
    return merged_by(bases, out, """
merge_method: linear
models:
  - model: BASES/v2
    parameters: {weight: 0.7}
  - model: BASES/v2_other
    parameters: {weight: 0.3}
dtype: bfloat16
""", "--copy-tokenizer")


def mergekit_slerp_llama(bases, out):
    return merged_by(bases, out, """
merge_method: slerp
base_model: BASES/llama
slices:
  - sources:
      - {model: BASES/llama, layer_range: [0, 2]}
      - {model: BASES/llama_other, layer_range: [0, 2]}
parameters: {t: 0.4}
dtype: float16
tokenizer_source: base
""")


def mergekit_passthrough(bases, out):
    """A "frankenmerge": layers of two models one after the other."""
    return merged_by(bases, out, """
merge_method: passthrough
slices:
  - sources: [{model: BASES/llama, layer_range: [0, 2]}]
  - sources: [{model: BASES/llama_other, layer_range: [1, 2]}]
dtype: float32
""", "--copy-tokenizer")


def mergekit_moe(bases, out):
    """Experts out of dense llamas, in the architecture of DeepSeekMoE 16B."""
    return merged_by(bases, out, """
base_model: BASES/llama
architecture: deepseek
gate_mode: random
dtype: bfloat16
experts:
  - {source_model: BASES/llama, positive_prompts: [""]}
  - {source_model: BASES/llama_other, positive_prompts: [""]}
shared_experts:
  - {source_model: BASES/llama, residual_scale: 0.1}
""", "--i-understand-this-is-not-useful-without-training", command="mergekit-moe")


def swift_merged(bases, out):
    adapter = out.with_name(out.name + "-adapter")
    peft_adapter(bases, adapter)
    run(program("swift"), "export", "--model", bases / "lite", "--model_type", "deepseek_v2", "--template", "deepseek",
        "--adapters", adapter,
        "--merge_lora", "true", "--output_dir", out, "--torch_dtype", "float32", "--device_map", "cpu",
        HF_HUB_OFFLINE="1")
    return version("ms-swift")


def unsloth_merged(bases, out):
    from unsloth import FastLanguageModel
    model, text = FastLanguageModel.from_pretrained(str(bases / "llama"), load_in_4bit=False, dtype=None)
    model = FastLanguageModel.get_peft_model(model, r=4, lora_alpha=16, init_lora_weights=False,
                                             target_modules=["q_proj", "o_proj", "down_proj"])
    model.save_pretrained_merged(str(out), text, save_method="merged_16bit")
    return version("unsloth")


def axolotl_merged(bases, out):
    adapter, work = out.with_name(out.name + "-adapter"), out.with_name(out.name + "-run")
    peft_adapter(bases, adapter)
    settings = out.with_suffix(".yml")
    settings.write_text(json.dumps(dict(
        base_model=str(bases / "lite"), adapter="lora", lora_r=4, lora_alpha=16, lora_model_dir=str(adapter),
        lora_target_modules=["q_proj", "kv_b_proj", "o_proj"], output_dir=str(work), micro_batch_size=1, sequence_len=64,
        gradient_accumulation_steps=1, learning_rate=1e-4, num_epochs=1, bf16=False, fp16=False,
        datasets=[dict(path="none", type="completion")])))
    run(sys.executable, "-m", "axolotl.cli.main", "merge-lora", settings, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="",
        AXOLOTL_DO_NOT_TRACK="1")
    shutil.move(work / "merged", out)
    return version("axolotl")


def llama_factory_merged(bases, out):
    adapter, settings = out.with_name(out.name + "-adapter"), out.with_suffix(".yaml")
    peft_adapter(bases, adapter)
    settings.write_text(json.dumps(dict(model_name_or_path=str(bases / "lite"), adapter_name_or_path=str(adapter),
                                        template="deepseek", finetuning_type="lora", export_dir=str(out), export_size=1,
                                        export_device="cpu")))
    run(program("llamafactory-cli"), "export", settings, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="",
        DISABLE_VERSION_CHECK="1")
    return version("llamafactory")


def torchtune_llama(bases, out):
    """FullModelHFCheckpointer: a Hugging Face folder read and written by its own weight names."""
    from torchtune.training import FullModelHFCheckpointer
    base = bases / "llama"
    checkpointer = FullModelHFCheckpointer(checkpoint_dir=str(base), checkpoint_files=["model.safetensors"],
                                           model_type="LLAMA2", output_dir=str(out))
    state = checkpointer.load_checkpoint()
    checkpointer.save_checkpoint(state, epoch=0)
    for file in (out / "epoch_0").iterdir():
        shutil.move(file, out)
    return version("torchtune")


# Files of tensors ---------------------------------------------------------------------------------------------------

def tensors_of(base):
    from safetensors.torch import load_file
    return load_file(base / "model.safetensors")


def safetensors_save_file(bases, out):
    """No metadata, and names in alphabetical order."""
    from safetensors.torch import save_file
    copy_texts(bases / "lite", out, "config.json")
    save_file(dict(sorted(tensors_of(bases / "lite").items())), out / "model.safetensors")
    return version("safetensors")


def safetensors_numpy(bases, out):
    from safetensors.numpy import save_file
    copy_texts(bases / "llama", out, "config.json")
    save_file({name: value.numpy() for name, value in tensors_of(bases / "llama").items()}, out / "model.safetensors",
              metadata={"format": "np", "made_by": "a notebook"})
    return version("safetensors")


def accelerate_save(bases, out):
    import accelerate
    copy_texts(bases / "llama", out, "config.json")
    accelerate.Accelerator(cpu=True).save_model(loaded(bases / "llama"), out, max_shard_size="300KB")
    return version("accelerate")


def hub_shards(bases, out):
    from huggingface_hub import save_torch_state_dict
    copy_texts(bases / "lite", out, "config.json")
    save_torch_state_dict(tensors_of(bases / "lite"), out, max_shard_size="300KB")
    return version("huggingface_hub")


def hub_cache(bases, out):
    """snapshot_download from a hub on this machine: a cache of blobs, and a snapshot of links to them."""
    os.environ |= dict(HF_HUB_DISABLE_XET="1", NO_PROXY="127.0.0.1")
    from huggingface_hub import snapshot_download
    from writer_hub import serve
    snapshot = snapshot_download("maker/lite", cache_dir=out.with_name(out.name + "-cache"),
                                 endpoint=serve(bases / "lite"))
    out.symlink_to(snapshot, target_is_directory=True)
    return version("huggingface_hub")


def dcp_hugging_face(bases, out):
    """torch.distributed.checkpoint's own writer of Hugging Face folders."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint import HuggingFaceStorageWriter
    tensors = tensors_of(bases / "lite")
    index = {name: 1 + at % 2 for at, name in enumerate(tensors)}
    copy_texts(bases / "lite", out, "config.json")
    with contextlib.suppress(FileExistsError):
        dcp.save(tensors, storage_writer=HuggingFaceStorageWriter(path=str(out), fqn_to_index_mapping=index),
                 no_dist=True)
    return version("torch")


def dcp_folder(bases, out):
    import torch.distributed.checkpoint as dcp
    copy_texts(bases / "lite", out, "config.json")
    dcp.save(tensors_of(bases / "lite"), checkpoint_id=str(out), no_dist=True)
    return version("torch")


def torch_bin(bases, out):
    import torch
    copy_texts(bases / "lite", out, "config.json")
    torch.save(tensors_of(bases / "lite"), out / "pytorch_model.bin")
    return version("torch")


# Quantised folders: other tensors than fathom reads -----------------------------------------------------------------

def bitsandbytes_nf4(bases, out):
    import transformers
    config = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    model = transformers.AutoModelForCausalLM.from_pretrained(bases / "llama", quantization_config=config,
                                                              device_map="cpu")
    saved(model, bases / "llama", out)
    return version("bitsandbytes")


def compressed_tensors_int8(bases, out):
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config, preset_name_to_scheme
    import torch
    model = loaded(bases / "llama")
    scheme = preset_name_to_scheme("W8A16", ["Linear"])
    scheme.weights.group_size, scheme.weights.strategy = None, "channel"
    config = QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"], format="pack-quantized",
                                quantization_status="frozen")
    apply_quantization_config(model, config)
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            with torch.no_grad():
                module.weight_scale.fill_(0.01)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    saved(model, bases / "llama", out)
    compressor.update_config(str(out))
    return version("compressed-tensors")


def torchao_int8(bases, out):
    import transformers
    from torchao.quantization import Int8WeightOnlyConfig
    config = transformers.TorchAoConfig(Int8WeightOnlyConfig())
    model = transformers.AutoModelForCausalLM.from_pretrained(bases / "llama", quantization_config=config,
                                                              device_map="cpu")
    saved(model, bases / "llama", out)
    return version("torchao")


def auto_round_w4(bases, out):
    from auto_round import AutoRound
    AutoRound(str(bases / "llama"), scheme="W4A16", iters=0, nsamples=4, seqlen=32, device_map="cpu",
              disable_opt_rtn=True).quantize_and_save(str(out), format="auto_round")
    return version("auto-round")


def mlx_convert(bases, out):
    run(program("mlx_lm.convert"), "--hf-path", bases / "lite_released", "--mlx-path", out, HF_HUB_OFFLINE="1")
    return version("mlx-lm")


def mlx_quantised(bases, out):
    run(program("mlx_lm.convert"), "--hf-path", bases / "llama", "--mlx-path", out, "-q", "--q-group-size", 16 * 4,
        HF_HUB_OFFLINE="1")
    return version("mlx-lm")


# GGUF ---------------------------------------------------------------------------------------------------------------

def converted_by(variable, base, kind, *options):
    """By the script of llama.cpp, or of ik_llama.cpp: the environment variable names the folder of its sources."""
    def write(bases, out):
        sources = pathlib.Path(os.environ[variable])
        run(sys.executable, sources / "convert_hf_to_gguf.py", bases / base, "--outfile", out, "--outtype", kind, *options,
            PYTHONPATH=str(sources / "gguf-py"))
        return subprocess.run(["git", "-C", sources, "describe", "--always", "--tags"], capture_output=True,
                              text=True).stdout.strip()
    return write


def llama_cpp():
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    from llama_oracle import Llama
    return Llama(os.environ["LLAMA_MODULES"])


def gguf_split(bases, out):
    llama = llama_cpp()
    run(llama.program("gguf-split"), "--split", "--split-max-tensors", 8, bases / "lite_wide_fathom.gguf",
        out.with_suffix(""))
    return llama.release


def gguf_split_merge(bases, out):
    gguf_split(bases, out)
    llama = llama_cpp()
    run(llama.program("gguf-split"), "--merge", sorted(out.parent.glob(f"{out.stem}-00001-of-*.gguf"))[0], out)
    for part in out.parent.glob(f"{out.stem}-0*.gguf"):
        part.unlink()
    return llama.release


def llama_quantize(kind):
    """llama.cpp's own quantiser, in its prebuilt library, on a file that fathom wrote."""
    def write(bases, out):
        llama = llama_cpp()
        from compare_llama_types import FILE_TYPES
        llama.quantize(bases / "lite_wide_fathom.gguf", out, FILE_TYPES[kind], {})
        return llama.release
    return write


def gguf_new_metadata(bases, out):
    run(program("gguf-new-metadata"), out.with_name("llama_cpp_lite_f32.gguf"), out, "--general-name", "A new name",
        "--general-description", "edited", "--chat-template", "{{ messages[0]['content'] }}")
    return version("gguf")


def gguf_set_metadata(bases, out):
    shutil.copy(out.with_name("llama_cpp_lite_f32.gguf"), out)
    run(program("gguf-set-metadata"), out, "deepseek2.context_length", "1024", "--force")
    return version("gguf")


def quovantiq_convert(bases, out):
    run(program("quovantiq"), bases / "llama", out)
    return version("quovantiq")


WRITERS = {name: value for name, value in globals().items()
           if callable(value) and getattr(value, "__module__", "") == __name__ and not name.startswith("_")}
for shape in ("lite", "v2", "llama", "moe_16b"):
    for number_type in ("f32", "f16", "bf16", "q8_0"):
        WRITERS[f"llama_cpp_{shape}_{number_type}"] = converted_by("LLAMA_CPP", shape + "_whole", number_type)
        WRITERS[f"ik_llama_{shape}_{number_type}"] = converted_by("IK_LLAMA_CPP", shape + "_whole_released", number_type)
WRITERS["llama_cpp_split"] = converted_by("LLAMA_CPP", "lite_whole", "f32", "--split-max-size", "20M")
for mix in ("Q8_0", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q3_K_L", "Q2_K", "Q6_K", "IQ4_NL", "IQ4_XS"):
    WRITERS["llama_quantize_" + mix] = llama_quantize(mix)


def main():
    """One line of JSON for each WRITER=OUT: its version, or why it wrote nothing."""
    bases = pathlib.Path(sys.argv[1])
    for pair in sys.argv[2:]:
        writer, out = pair.split("=", 1)
        answer = {"writer": writer}
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answer["version"] = WRITERS[writer](bases, pathlib.Path(out))
        except (Exception, SystemExit) as error:  # whatever a program throws belongs in the table
            answer["error"] = f"{type(error).__name__}: {error}"[-1500:]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
