// llama.cpp as a peer: found where npm installed it, driven by a small program (peer/llama_runner.c) that is compiled
// once against the headers of the very release whose libraries it loads, because the layout of their parameter structs
// changes from release to release.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "measure/measure.h"

namespace fathom {

// One way to run one work.
struct PeerWork {
  Work work;
  bool flash_attention = true;
  int64_t ubatch = 512;  // tokens that llama.cpp runs at once; of a prefill alone

  std::string text() const;      // as llama_runner takes it
  std::string settings() const;  // "flash attention, ubatch 512"
};

// What llama.cpp's speed may hang on: flash attention on and off, and for prompts beyond 512 tokens micro-batches of
// 512 and of 2048.
std::vector<PeerWork> peer_variants(const Work& work);

struct PeerRun {
  std::string system;       // what llama.cpp says of its instruction set
  double load_seconds = 0;  // until the first token
  double peak_memory_bytes = 0;
  std::vector<double> seconds;  // of each work
};

class Peer {
 public:
  // folder: where `npm install node-llama-cpp` was run (or its node_modules). Empty: $FATHOM_PEER, else the current
  // folder. bad_input that prints the command to install it when it is not there. Nothing is downloaded. The runner is
  // compiled into `folder`/.fathom (with git and $CC, else cc) unless it is there already.
  explicit Peer(const std::string& folder);

  const std::string& release() const noexcept { return release_; }

  // In a process of its own. bad_input with the peer's own reason when it refuses the model or a work.
  PeerRun run(const std::filesystem::path& model, int threads, Fill fill, const std::vector<PeerWork>& works,
              const std::function<void(const std::string&)>& on_work) const;

 private:
  std::filesystem::path compile(const std::filesystem::path& modules, const std::filesystem::path& cache) const;

  std::filesystem::path backends_, runner_;  // backends_: the folder of its libraries
  std::string release_;
};

// The text of peer/llama_runner.c.
extern const char* const kLlamaRunnerSource;

}  // namespace fathom
