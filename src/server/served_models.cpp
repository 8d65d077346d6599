#include "server/served_models.h"

#include <algorithm>

#include "base/file/container.h"

namespace fathom::server {

ServedModels::ServedModels(std::vector<NamedModel> models, const ServedModelOptions& options, double memory_bytes,
                           const std::function<void(size_t, const SchedulerStep&)>& on_step,
                           const std::function<void(size_t, const std::string&)>& log) {
  const auto available = static_cast<double>(available_memory_bytes());
  const double free = memory_bytes > 0 ? memory_bytes : available > 0 ? available : 1e18;  // 0: the system does not say
  memory_ = std::make_unique<ModelMemory>(free);
  double weights = 0;
  for (const NamedModel& m : models) weights += stored_bytes(m.model);
  const bool all_fit = weights < free;
  for (size_t i = 0; i < models.size(); ++i) {
    ServedModelOptions o = options;
    o.name = std::move(models[i].name);
    if (o.engine.engine.engine.cache_tokens == 0) {
      const double beside =
          all_fit ? (free - weights) / static_cast<double>(models.size()) : free - stored_bytes(models[i].model);
      o.engine.engine.engine.cache_tokens = default_cache_tokens(models[i].model, o.engine, beside);
    }
    o.engine.load_at_once = false;
    o.engine.make_room = [this, i](const std::function<bool()>& wanted) { return memory_->acquire(i, wanted); };
    o.engine.on_unloaded = [this, i] { memory_->release(i); };
    o.engine.on_step = [on_step, i](const SchedulerStep& report) { on_step(i, report); };
    o.engine.log = [log, i](const std::string& sentence) { log(i, sentence); };
    models_.push_back(std::make_unique<ServedModel>(std::move(models[i].model), std::move(o)));
    EngineThread& engine = models_.back()->engine();
    memory_->add({.bytes = models_.back()->loaded_bytes(),
                  .is_idle = [&engine] { return engine.idle(); },
                  .last_used = [&engine] { return engine.last_used(); },
                  .unload = [&engine] { engine.unload(); }});
  }
}

ServedModels::~ServedModels() {
  drain(std::chrono::milliseconds(0));
  join();
}

ServedModel* ServedModels::find(std::string_view name) const noexcept {
  for (const auto& m : models_)
    if (m->name() == name) return m.get();
  return nullptr;
}

std::string ServedModels::names() const {
  std::string out;
  for (size_t i = 0; i < models_.size(); ++i)
    out += (i == 0 ? "" : i + 1 == models_.size() ? " and " : ", ") + models_[i]->name();
  return out;
}

void ServedModels::load_all() {
  for (const auto& m : models_) m->engine().load();
}

void ServedModels::drain(std::chrono::milliseconds patience) {
  for (const auto& m : models_) m->engine().drain(patience);
}

void ServedModels::join() {
  for (const auto& m : models_) m->engine().join();
}

bool ServedModels::all_stopped() const {
  return std::all_of(models_.begin(), models_.end(),
                     [](const auto& m) { return m->engine().snapshot().state == EngineState::stopped; });
}

}  // namespace fathom::server
