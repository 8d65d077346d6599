// What `fathom train --dry-run` says.
#pragma once
#include "train/config/train_config.h"

namespace fathom {

// On stdout: parameters, memory by class, work per token, the schedule in tokens and updates; as text or one JSON
// object.
void print_train_plan(const TrainConfig& config, bool as_json);

}  // namespace fathom
