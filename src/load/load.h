// A checkpoint as a model: folder of safetensors or GGUF file, decided by what is there.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/machine/threads.h"
#include "checkpoint/tensor_source.h"
#include "config/config.h"
#include "model/weights.h"

namespace fathom {

struct Model {
  ModelConfig config;
  ModelWeights weights;                   // views of the bytes of `source`
  std::shared_ptr<TensorSource> source;   // the mapped file or files; a GgufSource or a SafetensorsSource
  std::filesystem::path path;             // the folder or file that was opened (find_model.h)
  std::vector<std::string> notices = {};  // for a run to say at once: another path was taken, V2's groups are missing
  std::vector<std::string> notes = {};    // for `inspect`: what was passed over, and why that changes nothing
};

// Opens a folder (config.json and safetensors), a .safetensors file beside a config.json (any one of a sharded model),
// a GGUF file (any one of a split one), a folder of the Hugging Face cache, or a training run. Maps and checks; reads
// no weights, so the time does not depend on their size. bad_input for a tensor that is missing, of another shape than
// the config needs, or not part of the model; unsupported for what fathom does not implement, by name.
Model load_model(const std::filesystem::path& path);

// The stored tensors alone, whatever they are: same paths, no config, no check against one.
std::shared_ptr<TensorSource> open_tensors(const std::filesystem::path& path);

// Weights of `config` as views of `source`, whose tensors are named as in Hugging Face or in GGUF files. `source` must
// outlive the result. Experts may be stored one by one, or stacked [E, rows, cols] (GGUF; "mlp.switch_mlp.gate_proj" of
// MLX; "mlp.experts.gate_up_proj" of transformers, gate rows first). F8_E4M3 tensors need their "weight_scale_inv".
// Rotary buffers that old checkpoints carry (inv_freq) are skipped: the config defines them. So is what is stored
// twice, where it was read and found to say the same: the head of tied embeddings, kv_b beside k_b and v_b; a sentence
// for each is added to `notes`.
ModelWeights load_weights(const ModelConfig& config, const TensorSource& source,
                          std::vector<std::string>* notes = nullptr);

// What a tensor's shape follows from, with this model's numbers: "kv_lora_rank 512 + qk_rope_head_dim 64, hidden_size
// 2048".
std::string shape_reason(const std::string& hf_name, const ModelConfig& config);

// The name of every tensor that holds a NaN or an infinity, with the first row that does ("model.norm.weight, row 0").
// Reads all weights.
std::vector<std::string> find_non_finite(ThreadPool& pool, Model& model);

}  // namespace fathom
