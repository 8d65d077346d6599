// Times llama.cpp for `fathom bench --against llama.cpp`. Not part of the build: fathom compiles this file against the
// headers of the very release whose libraries it will load, because their parameter structs change from release to
// release (src/measure/peer.h).
//
//     llama_runner BACKENDS MODEL THREADS FILL WORK...       one process, one model in memory
//     BACKENDS is the folder of the CPU libraries, of which the best is taken, or one of them
//     WORK is prefill:P:D:F:U   P tokens after D, flash attention F (0 or 1), micro-batches of U tokens
//          or decode:N:D:F:B    N steps of B sequences, each D tokens deep
//     FILL is copies (the first 512 tokens of a depth are computed, the others are copies of them with their keys
//             rotated to their own positions) or prefill (all are computed)
// stdout, one a line: "system ...", "load SECONDS" (until the first token), "WORK SECONDS", "peak BYTES", "done".
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ggml-backend.h"
#include "llama.h"

enum { kFirstFill = 512, kBatch = 2048 };

typedef struct {
  bool prefill, flash;
  int tokens, depth, ubatch, sequences;
} Work;

typedef struct {  // the cache of one sequence, kept from the last work of the same depth
  uint8_t* data;
  size_t size;
  int depth;
  bool flash;
} Saved;

static struct llama_model* model;
static int threads;
static bool fill_by_copies;
static Saved saved;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const char* what) {
  printf("error %s\n", what);
  exit(1);
}

static void print_errors(enum ggml_log_level level, const char* text, void* data) {
  (void)data;
  if (level == GGML_LOG_LEVEL_ERROR || getenv("FATHOM_PEER_VERBOSE")) fputs(text, stderr);
}

static llama_token some_token(int i) {
  const uint32_t n = (uint32_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
  return (llama_token)((uint32_t)i * 2654435761u % n);
}

// n tokens of each of `sequences` from first_position on, in batches of kBatch; logits of the last of each.
static void feed(struct llama_context* context, int first_position, int n, int sequences) {
  struct llama_batch batch = llama_batch_init(kBatch, 0, 1);
  for (int done = 0; done < n;) {
    const int step = n - done < kBatch / sequences ? n - done : kBatch / sequences;
    batch.n_tokens = 0;
    for (int s = 0; s < sequences; ++s)
      for (int i = 0; i < step; ++i) {
        const int at = batch.n_tokens++;
        batch.token[at] = some_token(first_position + done + i + 7919 * s);
        batch.pos[at] = first_position + done + i;
        batch.n_seq_id[at] = 1;
        batch.seq_id[at][0] = s;
        batch.logits[at] = done + i + 1 == n;
      }
    if (llama_decode(context, batch) != 0) fail("llama_decode refuses a batch");
    done += step;
  }
  llama_synchronize(context);
  llama_batch_free(batch);
}

static struct llama_context* open_context(const Work* w) {
  struct llama_context_params p = llama_context_default_params();
  const int per_sequence = (w->depth + w->tokens + 64 + 255) / 256 * 256;
  p.n_ctx = (uint32_t)(per_sequence * w->sequences);
  p.n_batch = kBatch;
  p.n_ubatch = (uint32_t)w->ubatch;
  p.n_seq_max = (uint32_t)(w->sequences > 1 ? w->sequences : 2);
  p.kv_unified = w->sequences == 1;  // several sequences: each its own cells, so that none reads another's
  p.n_threads = p.n_threads_batch = threads;
  p.flash_attn_type = w->flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  struct llama_context* context = llama_init_from_model(model, p);
  if (!context) fail("llama_init_from_model makes no context (memory, or flash attention with this model)");
  return context;
}

// Sequence 0 has `have` tokens: appends copies of them, each through sequence 1, until there are `depth`.
static bool copy_up_to(struct llama_context* context, int have, int depth) {
  llama_memory_t memory = llama_get_memory(context);
  if (!llama_memory_can_shift(memory)) return false;
  const size_t size = llama_state_seq_get_size(context, 0);
  uint8_t* data = malloc(size);
  llama_state_seq_get_data(context, data, size, 0);
  bool ok = true;
  for (int at = have; ok && at < depth; at += have) {
    ok = llama_state_seq_set_data(context, data, size, 1) != 0;
    llama_memory_seq_add(memory, 1, -1, -1, at);
    llama_memory_seq_cp(memory, 1, 0, -1, -1);
    llama_memory_seq_rm(memory, 1, -1, -1);
  }
  llama_memory_seq_rm(memory, 0, depth, -1);
  free(data);
  return ok;
}

static void fill(struct llama_context* context, const Work* w) {
  if (w->depth == 0) return;
  llama_memory_t memory = llama_get_memory(context);
  const bool one = w->sequences == 1;
  if (one && saved.depth == w->depth && saved.flash == w->flash &&
      llama_state_seq_set_data(context, saved.data, saved.size, 0) != 0)
    return;
  const int first = fill_by_copies && one && w->depth > kFirstFill ? kFirstFill : w->depth;
  feed(context, 0, first, 1);
  if (first < w->depth && !copy_up_to(context, first, w->depth)) feed(context, first, w->depth - first, 1);
  for (int s = 1; s < w->sequences; ++s) llama_memory_seq_cp(memory, 0, s, -1, -1);
  if (!one) return;
  free(saved.data);
  saved = (Saved){NULL, llama_state_seq_get_size(context, 0), w->depth, w->flash};
  saved.data = malloc(saved.size);
  llama_state_seq_get_data(context, saved.data, saved.size, 0);
}

static double run(const Work* w) {
  struct llama_context* context = open_context(w);
  fill(context, w);
  if (w->prefill) {  // warm: a short step at this depth, taken back
    feed(context, w->depth, 32, 1);
    llama_memory_seq_rm(llama_get_memory(context), 0, w->depth, -1);
  } else {
    feed(context, w->depth, 1, w->sequences);
  }
  const double start = now();
  if (w->prefill) feed(context, w->depth, w->tokens, 1);
  for (int i = 0; !w->prefill && i < w->tokens; ++i) feed(context, w->depth + 1 + i, 1, w->sequences);
  const double seconds = now() - start;
  llama_free(context);
  return seconds;
}

static Work parse(const char* text) {
  Work w = {0};
  int flash = 0, last = 0;
  w.prefill = strncmp(text, "prefill:", 8) == 0;
  const char* numbers = strchr(text, ':');
  if (!numbers || sscanf(numbers, ":%d:%d:%d:%d", &w.tokens, &w.depth, &flash, &last) != 4) fail("a work is misspelt");
  w.flash = flash != 0;
  w.ubatch = w.prefill ? last : 512;
  w.sequences = w.prefill ? 1 : last;
  return w;
}

static void print_peak(void) {
  char line[256];
  FILE* status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status)) {
    long long kilobytes;
    if (sscanf(line, "VmHWM: %lld", &kilobytes) == 1) printf("peak %lld\n", kilobytes * 1024);
  }
  if (status) fclose(status);
}

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  const double start = now();
  llama_log_set(print_errors, NULL);
  if (strstr(argv[1], ".so"))
    ggml_backend_load(argv[1]);
  else
    ggml_backend_load_all_from_path(argv[1]);
  llama_backend_init();
  threads = atoi(argv[3]);
  fill_by_copies = strcmp(argv[4], "copies") == 0;
  struct llama_model_params params = llama_model_default_params();  // repacks weights where it can, maps the others
  params.n_gpu_layers = 0;
  model = llama_model_load_from_file(argv[2], params);
  if (!model) fail("llama.cpp does not load the model");
  const Work first = {.prefill = true, .flash = true, .tokens = 1, .ubatch = 512, .sequences = 1};
  struct llama_context* context = open_context(&first);
  feed(context, 0, 1, 1);
  printf("system %s\nload %.6f\n", llama_print_system_info(), now() - start);
  fflush(stdout);
  llama_free(context);
  for (int i = 5; i < argc; ++i) {
    const Work w = parse(argv[i]);
    printf("%s %.6f\n", argv[i], run(&w));
    fflush(stdout);
  }
  print_peak();
  printf("done\n");
  return 0;
}
