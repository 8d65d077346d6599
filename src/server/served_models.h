// All models that a server serves: found by their names, loaded at their first request, and let go of when they are
// idle for long or when another one needs their memory (model_memory.h).
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/model_memory.h"
#include "server/served_model.h"

namespace fathom::server {

struct NamedModel {
  std::string name;
  Model model;
};

class ServedModels {
 public:
  // Opens the text side of every model; none is loaded. options: of each, with its own name; without cache_tokens, the
  // models share what memory is left beside the weights of all, where these fit in together. memory_bytes: what loaded
  // models may take together, weights and cache; 0: what is free now. At least one model; their names differ. on_step
  // and log of the options are told the model's number. Errors as of ServedModel, which name the model's files.
  ServedModels(std::vector<NamedModel> models, const ServedModelOptions& options, double memory_bytes,
               const std::function<void(size_t, const SchedulerStep&)>& on_step,
               const std::function<void(size_t, const std::string&)>& log);

  ~ServedModels();  // all engines have ended before the first goes: they ask each other for memory
  ServedModels(const ServedModels&) = delete;
  ServedModels& operator=(const ServedModels&) = delete;

  size_t size() const noexcept { return models_.size(); }
  ServedModel& operator[](size_t index) const noexcept { return *models_[index]; }
  ServedModel& first() const noexcept { return *models_.front(); }
  ServedModel* find(std::string_view name) const noexcept;  // nullptr: there is none of that name
  std::string names() const;                                // "a, b and c", for messages

  void load_all();  // now, not when requests come
  void drain(std::chrono::milliseconds patience);
  void join();
  bool all_stopped() const;

 private:
  std::unique_ptr<ModelMemory> memory_;  // outlives the engines
  std::vector<std::unique_ptr<ServedModel>> models_;
};

}  // namespace fathom::server
