// A repository of the Hugging Face hub as a folder of this machine. Nothing that comes is run, and only weights in
// safetensors or GGUF come, with the texts that belong to them (hub/choice.h).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "hub/choice.h"
#include "hub/download.h"
#include "hub/repository.h"
#include "hub/settings.h"

namespace fathom::hub {

struct PullOptions {
  RepositoryName repository;
  std::filesystem::path folder = {};
  Settings settings;
  DownloadLimits limits;
  HttpSession::Limits patience;
  bool verify = false;  // files that are there already are read and held against their digests, whatever is known
  bool dry_run = false;
  std::function<void(const std::string& sentence)> notice;
  // Before bytes come: of how many, and how many of them an earlier pull has left.
  std::function<void(uint64_t total, uint64_t left)> begin;
  std::function<void(uint64_t done)> progress;  // with `left` in it
};

struct PullResult {
  bool stopped = false;  // by a signal: what came stays, and the next pull goes on with it
  std::string commit = {};
  std::vector<HubFile> files = {};   // all of the model
  uint64_t bytes = 0, fetched = 0;   // of all files; of those that were not there
  std::filesystem::path model = {};  // what -m takes: the folder, or the GGUF file in it
};

// Error as said in failure.h, listing.h, choice.h and download.h; resource Error when the disk has no room for it,
// asked before the first byte. Another pull into the folder is waited for.
PullResult pull(const PullOptions& options, const StopRequest& stop);

}  // namespace fathom::hub
