// A small model in float32, a text, and `fathom quantize` on them.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "convert/quantize/quantize.h"
#include "convert/synth/synth.h"
#include "support/files.h"
#include "support/tiny_configs.h"

namespace fathom::test {

// Rows of whole blocks of 256 everywhere but in k_b_proj (64) and the down_proj of the experts (32).
inline ModelConfig small_model() {
  ModelConfig c = testing::small_config(Family::deepseek_v2);
  c.hidden_size = c.intermediate_size = c.kv_lora_rank = 256;
  c.qk_nope_head_dim = c.v_head_dim = 64;
  c.n_shared_experts = 1;
  return c;
}

class Quantize : public ::testing::Test {
 protected:
  Quantize() {
    synth_model(pool_, small_model(), folder_ / "f32",
                {.seed = 3, .output = {.type = parse_written_type("f32")}, .tokenizer = {}}, {});
    std::string text;
    for (int i = 0; i < 40; ++i) text += "Line " + std::to_string(i * i) + " of a text, and what follows it.\n";
    write_text(folder_ / "text", text);
  }

  static QuantizeOptions options(const char* type, const std::vector<std::string>& rules = {}) {
    QuantizeOptions o{.output = {.type = parse_written_type(type)}};
    for (const auto& r : rules) o.output.type.rules.push_back(parse_tensor_rule(r));
    return o;
  }
  QuantizeOptions calibrated(const char* type, const std::vector<std::string>& rules = {}) {
    QuantizeOptions o = options(type, rules);
    o.calibration_text = folder_ / "text";
    return o;
  }
  QuantizeSummary quantize(const char* out, const QuantizeOptions& o, int threads = 2) {
    ThreadPool pool(threads);
    Model model = load_model(folder_ / "f32");
    return quantize_model(pool, model, folder_ / out, o, {});
  }
  std::string refusal(const char* out, const QuantizeOptions& o, const char* in = "f32") {
    return error_of([&] {
      Model model = load_model(folder_ / in);
      quantize_model(pool_, model, folder_ / out, o, {});
    });
  }
  // Type of the GGUF tensor.
  DType type_of(const char* file, const char* tensor) { return open_tensors(folder_ / file)->find(tensor)->dtype; }

  ThreadPool pool_{2};
  TempFolder folder_;
};

}  // namespace fathom::test
