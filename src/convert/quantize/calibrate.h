// Importance data (convert/quantize/importance.h) from running a model over a text.
#pragma once
#include <functional>
#include <span>

#include "base/machine/threads.h"
#include "convert/quantize/importance.h"
#include "load/load.h"

namespace fathom {

struct CalibrationOptions {
  int64_t window = 512;    // tokens that are run together, without the text before them
  int64_t max_tokens = 0;  // of the text, from its start; 0: all
};

// Runs the ids window by window, in exact arithmetic, and collects the mean squares of the inputs of every matrix that
// takes part in a product: all but the embedding and, since they stay f32, the routers. k_b_proj (H, N) has a group for
// each head: it multiplies the query of that head, q_n. kv_b_proj and v_b_proj have the latent c_kv.
//
// ids: as Tokenizer::encode gives them; bos, when there is one, is put at the start of every window. The last, shorter
// window is run too. The result does not depend on the number of threads. bad_input for no ids but bos, and for
// activations that are not finite.
Importance collect_importance(ThreadPool& pool, const Model& model, std::span<const int32_t> ids,
                              std::optional<int32_t> bos, const CalibrationOptions& options,
                              const std::function<void(int64_t tokens_done, int64_t tokens)>& progress);

}  // namespace fathom
