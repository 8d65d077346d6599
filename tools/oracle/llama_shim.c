// The part of llama.cpp's C interface that llama_oracle.py calls, without the parameter structs, whose layout changes
// from release to release: this file is compiled against the header of the very release whose libraries it loads.
// Weights as stored (no repacking), float32 cache, no flash attention.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "ggml-backend.h"
#include "llama.h"

typedef struct {
  struct llama_model* model;
  struct llama_context* context;
} Shim;

static void print_errors(enum ggml_log_level level, const char* text, void* data) {
  (void)data;
  if (level == GGML_LOG_LEVEL_ERROR) fprintf(stderr, "llama.cpp: %s", text);
}

// backends: the folder of the libggml-cpu-*.so files. NULL when the file is refused.
Shim* shim_open(const char* backends, const char* path, int context_tokens, int threads, bool vocab_only) {
  llama_log_set(print_errors, NULL);
  static bool loaded = false;
  if (!loaded) ggml_backend_load_all_from_path(backends);
  loaded = true;
  llama_backend_init();
  struct llama_model_params model_params = llama_model_default_params();
  model_params.vocab_only = vocab_only;
  model_params.use_extra_bufts = false;
  model_params.n_gpu_layers = 0;
  struct llama_model* model = llama_model_load_from_file(path, model_params);
  if (!model) return NULL;
  struct llama_context* context = NULL;
  if (!vocab_only) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = (uint32_t)context_tokens;
    params.n_threads = params.n_threads_batch = threads;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    context = llama_init_from_model(model, params);
    if (!context) return NULL;
  }
  Shim* shim = malloc(sizeof *shim);
  shim->model = model;
  shim->context = context;
  return shim;
}

void shim_close(Shim* shim) {
  if (shim->context) llama_free(shim->context);
  llama_model_free(shim->model);
  free(shim);
}

int shim_vocabulary_size(const Shim* shim) { return llama_vocab_n_tokens(llama_model_get_vocab(shim->model)); }

void shim_clear(Shim* shim) { llama_memory_clear(llama_get_memory(shim->context), true); }

// n ids from first_position on; rows (n, vocabulary size) written. Not 0: llama_decode's refusal.
int shim_feed(Shim* shim, const int32_t* ids, int n, int first_position, float* rows) {
  struct llama_batch batch = llama_batch_init(n, 0, 1);
  batch.n_tokens = n;
  for (int i = 0; i < n; ++i) {
    batch.token[i] = ids[i];
    batch.pos[i] = first_position + i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  const int status = llama_decode(shim->context, batch);
  const int width = shim_vocabulary_size(shim);
  for (int i = 0; status == 0 && i < n; ++i) {
    const float* row = llama_get_logits_ith(shim->context, i);
    for (int j = 0; j < width; ++j) rows[(size_t)i * (size_t)width + (size_t)j] = row[j];
  }
  llama_batch_free(batch);
  return status;
}

// The number of ids written, or minus the number that would be needed.
int shim_tokenize(const Shim* shim, const char* text, int bytes, int32_t* ids, int room, bool add_special,
                  bool parse_special) {
  return llama_tokenize(llama_model_get_vocab(shim->model), text, bytes, ids, room, add_special, parse_special);
}

int shim_detokenize(const Shim* shim, const int32_t* ids, int n, char* text, int room) {
  return llama_detokenize(llama_model_get_vocab(shim->model), ids, n, text, room, false, true);
}

// `in` as `out` in one of llama.cpp's mixes (enum llama_ftype), by its own rules. With importance data for n tensors,
// sizes[i] ones for names[i], or none. Not 0: llama.cpp refused.
uint32_t shim_quantize(const char* backends, const char* in, const char* out, int file_type, int n,
                       const char* const* names, const int64_t* sizes) {
  llama_log_set(print_errors, NULL);
  ggml_backend_load_all_from_path(backends);
  llama_backend_init();
  int64_t most = 1;
  for (int i = 0; i < n; ++i) most = sizes[i] > most ? sizes[i] : most;
  float* ones = malloc((size_t)most * sizeof *ones);
  for (int64_t i = 0; i < most; ++i) ones[i] = 1;
  struct llama_model_imatrix_data* data = calloc((size_t)n + 1, sizeof *data);  // the last one ends the list
  for (int i = 0; i < n; ++i) data[i] = (struct llama_model_imatrix_data){names[i], ones, (size_t)sizes[i]};
  struct llama_model_quantize_params params = llama_model_quantize_default_params();
  params.nthread = 1;
  params.ftype = (enum llama_ftype)file_type;
  params.imatrix = n > 0 ? data : NULL;
  const uint32_t status = llama_model_quantize(in, out, &params);
  free(data);
  free(ones);
  return status;
}
