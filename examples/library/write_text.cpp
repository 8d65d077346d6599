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

  // One request: a scheduler runs as many as are submitted to it, each with the text that it has alone.
  fathom::ScheduledRequest request;
  request.prompt = tokenizer.encode(prompt);
  request.generate.max_tokens = n;
  request.generate.sampling.temperature = 0;
  request.generate.n_usable_ids = tokenizer.n_tokens();
  if (tokenizer.eos()) request.generate.stop_ids = {*tokenizer.eos()};
  fathom::StreamDecoder characters(tokenizer);
  request.events.on_token = [&](const fathom::TokenScore& token) {
    std::fputs(characters.push(token.id).c_str(), stdout);
    return true;
  };
  fathom::Scheduler scheduler(loaded.engine, fathom::offline_options(1));
  const fathom::Ended ended = fathom::generate(scheduler, std::move(request));
  if (ended.error) throw fathom::Error(*ended.error);
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
