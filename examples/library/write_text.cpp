// A program of its own on fathom's library: loads a model, tokenizes a prompt, runs the engine, prints what it writes.
//
//     write_text MODEL PROMPT [N_TOKENS]
#include <fathom/engine/generation.h>
#include <fathom/engine/loaded_engine.h>
#include <fathom/load/text.h>

#include <cstdio>
#include <cstdlib>

namespace {

void write_text(const char* path, const char* prompt, int64_t n) {
  const fathom::Model model = fathom::load_model(path);
  const fathom::Tokenizer tokenizer = fathom::load_tokenizer(model);
  fathom::ThreadPool pool(0);  // the CPUs of this process
  // The arithmetic of `fathom generate`; without it float32, as --arithmetic exact.
  fathom::LoadedEngine loaded(pool, model, {.engine = {.numerics = fathom::Numerics::quantised()}});
  fathom::Engine& engine = loaded.engine;

  // The prompt in one call: the logits after its last token.
  fathom::SequenceCache sequence;
  std::vector<int32_t> ids = tokenizer.encode(prompt);
  const std::span<const float> logits = engine.append(sequence, ids);

  // Then token by token: choose, show, append.
  fathom::GenerateRequest request{
      .max_tokens = n, .sampling = {.temperature = 0}, .stop_ids = {}, .n_usable_ids = tokenizer.n_tokens()};
  if (tokenizer.eos()) request.stop_ids = {*tokenizer.eos()};
  fathom::StreamDecoder characters(tokenizer);
  fathom::generate(engine, sequence, ids, logits, request, [&](int32_t id) {
    std::fputs(characters.push(id).c_str(), stdout);
    return true;
  });
  std::puts(characters.flush().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: write_text MODEL PROMPT [N_TOKENS]\n");
    return 2;
  }
  try {
    write_text(argv[1], argv[2], argc > 3 ? std::atoll(argv[3]) : 40);
    return 0;
  } catch (const fathom::Error& e) {  // one sentence for the user
    std::fprintf(stderr, "write_text: %s\n", e.what());
    return 2;
  }
}
