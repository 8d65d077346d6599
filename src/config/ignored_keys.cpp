#include "config/ignored_keys.h"

#include <algorithm>
#include <array>

namespace fathom {
namespace {

struct Ignored {
  std::string_view reason;
  std::string_view patterns;  // with a space between; a * at one end stands for anything
  bool text_only = false;     // as a number the key could be a setting
};
constexpr std::array kConfigKeys = std::to_array<Ignored>({
    {"where the config came from", "name_or_path model_name base_model base_model_name_or_path"},
    {"a private name of Python code", "_*"},
    {"who wrote the file", "*_version written_by created_by converted_by quantized_by unsloth_* mergekit_*", true},
    {"who wrote the file", "unsloth_fixed unsloth_tiled_mlp"},
    {"names Python code for transformers; fathom runs none", "auto_map custom_pipelines"},
    {"the element types are in the weight files", "torch_dtype dtype params_dtype use_bfloat16 fp16 bf16"},
    {"how transformers runs it; the result is the same",
     "use_cache return_dict output_attentions output_hidden_states output_router_logits attn_implementation "
     "experts_implementation torchscript use_kernels use_flash_attention "
     "use_flash_attn use_flash_attention_2 use_liger_kernel tf_legacy_loss use_return_dict"},
    {"training only",
     "*_dropout *_pdrop initializer_range initializer_cutoff_factor aux_loss_alpha *_loss_coef *_loss_weight seq_aux "
     "gradient_checkpointing gradient_checkpointing_kwargs router_jitter_noise freeze_*"},
    {"how the model was spread over devices", "ep_size pretraining_tp tensor_parallel_size *_model_parallel_size"},
    {"classifiers only", "id2label label2id num_labels problem_type finetuning_task classifier_dropout"},
    {"the tokenizer has its own files", "tokenizer_class tokenizer_name chat_template model_max_length padding_side"},
    {"generation defaults; fathom takes its own flags",
     "task_specific_params prefix max_length min_length max_new_tokens do_sample early_stopping num_beams "
     "num_beam_groups "
     "diversity_penalty temperature top_k top_p min_p typical_p repetition_penalty encoder_no_repeat_ngram_size "
     "length_penalty no_repeat_ngram_size num_return_sequences output_scores return_dict_in_generate "
     "remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens bad_words_ids "
     "forced_bos_token_id forced_eos_token_id"},
    {"a token that decoder models do not use", "sep_token_id cls_token_id mask_token_id unk_token_id"},
    {"encoder-decoder models only", "decoder_start_token_id tie_encoder_decoder cross_attention_hidden_size"},
    {"checked to be empty by the shapes of the weights", "pruned_heads"},
});

// What the namespaces of GGUF hold beside the architecture's.
constexpr std::array kNamespaces = std::to_array<Ignored>({
    {"facts about the file", "general.* GGUF.*"},
    {"the tokenizer's", "tokenizer.*"},
    {"how the file is split", "split.*"},
    {"how it was quantised", "quantize.* imatrix.*"},
    {"what GGUF has no key for", "fathom.*"},
});
constexpr std::string_view kNeverIgnored = "deepseek2.* deepseek.* llama.* adapter.*";

struct Neutral {
  std::string_view key, value;  // no value: any
};
constexpr std::array kNeutral = std::to_array<Neutral>({
    {"attention.sliding_window", "0"},
    {"attention.clamp_kqv", "0"},
    {"attention.max_alibi_bias", "0"},
    {"attention.scale", "0"},
    {"attn_logit_softcapping", "0"},
    {"router_logit_softcapping", "0"},
    {"final_logit_softcapping", "0"},
    {"logit_scale", "1"},
    {"embedding_scale", "1"},
    {"residual_scale", "1"},
    {"use_parallel_residual", "false"},
    {"pooling_type", "0"},
    {"rope.scale_linear", "1"},
    {"tensor_data_layout", ""},  // how the weights lay in the converter's input
});

bool fits(std::string_view pattern, std::string_view key) {
  if (pattern.starts_with('*')) return key.ends_with(pattern.substr(1));
  if (pattern.ends_with('*')) return key.starts_with(pattern.substr(0, pattern.size() - 1));
  return key == pattern;
}

bool fits_one(std::string_view patterns, std::string_view key) {
  while (!patterns.empty()) {
    const size_t end = std::min(patterns.find(' '), patterns.size());
    if (fits(patterns.substr(0, end), key)) return true;
    patterns.remove_prefix(std::min(end + 1, patterns.size()));
  }
  return false;
}

}  // namespace

std::string_view reason_to_ignore(std::string_view key, const json::value& value) noexcept {
  for (const Ignored& rule : kConfigKeys)
    if (fits_one(rule.patterns, key) && (!rule.text_only || value.is_string())) return rule.reason;
  return {};
}

std::string_view reason_to_ignore(std::string_view key, std::string_view architecture) noexcept {
  for (const Ignored& rule : kNamespaces)
    if (fits_one(rule.patterns, key)) return rule.reason;
  if (fits_one(kNeverIgnored, key) ||
      (key.starts_with(architecture) && key.substr(architecture.size()).starts_with('.')))
    return {};
  return kForeignNamespace;
}

bool is_neutral(std::string_view key, std::string_view value) noexcept {
  return std::any_of(kNeutral.begin(), kNeutral.end(),
                     [&](const Neutral& n) { return n.key == key && (n.value.empty() || n.value == value); });
}

}  // namespace fathom
