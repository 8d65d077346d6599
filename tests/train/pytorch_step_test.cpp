// One whole training step against PyTorch's autograd over transformers' DeepseekV2ForCausalLM: committed results of
// tools/oracle/train_goldens.py, which says what they are.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/file/file.h"
#include "base/json/json.h"
#include "checkpoint/safetensors.h"
#include "load/load.h"
#include "support/random_model.h"
#include "train/optimizer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

fs::path golden(const std::string& kind) { return fs::path(FATHOM_GOLDEN_DIR) / kind; }

double number(const json::value& v) { return v.to_number<double>(); }

TrainingBatch batch_of(const json::value& golden) {
  TrainingBatch b;
  for (const json::value& sequence : golden.at("inputs").as_array()) {
    const auto ids = json::value_to<std::vector<int32_t>>(sequence);
    b.sequences.push_back({.first = b.batch.rows(), .n = std::ssize(ids), .id = b.sequences.size()});
    b.batch.add_whole(ids, 0);
  }
  for (const json::value& sequence : golden.at("targets").as_array())
    for (const int32_t id : json::value_to<std::vector<int32_t>>(sequence)) b.targets.push_back(id);
  return b;
}

StepOptions options_of(const json::value& golden, const TrainingBatch& b) {
  const json::value& o = golden.at("balance");
  StepOptions options;
  options.balance = {.expert_alpha = number(o.at("expert_alpha")),
                     .device_alpha = number(o.at("device_alpha")),
                     .communication_alpha = number(o.at("communication_alpha")),
                     .n_devices = o.at("n_devices").as_int64(),
                     .max_devices = o.at("max_devices").as_int64()};
  options.set_means_over({&b, 1});
  return options;
}

struct Errors {
  double mean = 0, worst = 0;
  std::string where;
};

// |got - want| / |want| of every tensor, got in the flat layout of the parameters.
Errors tensor_errors(const Parameters& parameters, std::span<const float> got, const SafetensorsSource& goldens,
                     const std::string& kind) {
  Errors errors;
  for (const ParameterInfo& p : parameters.list()) {
    const TensorInfo* tensor = goldens.find(kind + "." + p.name);
    if (tensor == nullptr || tensor->elements() != p.size) {
      ADD_FAILURE() << kind << " of " << p.name << " is not in the golden file";
      continue;
    }
    std::vector<float> want(static_cast<size_t>(p.size));
    std::memcpy(want.data(), tensor->bytes.data(), tensor->bytes.size());
    double difference = 0, norm = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      const double d = double{got[static_cast<size_t>(p.offset) + i]} - want[i];
      difference += d * d;
      norm += double{want[i]} * want[i];
    }
    EXPECT_GT(norm, 0) << p.name;
    const double error = std::sqrt(difference / norm);
    errors.mean += error / static_cast<double>(parameters.list().size());
    if (!(error <= errors.worst)) errors = {errors.mean, error, p.name};
  }
  return errors;
}

void expect_close(const std::string& what, const Errors& e, double worst) {
  std::cout << fmt::format("{}: mean relative error {:.1e}, worst {:.1e} ({})\n", what, e.mean, e.worst, e.where);
  EXPECT_LT(e.mean, 1e-4) << what;
  EXPECT_LT(e.worst, worst) << what << ": " << e.where;
}

class PytorchStep : public ::testing::TestWithParam<std::string> {};

TEST_P(PytorchStep, LossGradientsAndUpdatesAreThoseOfAutogradAndItsAdamW) {
  const std::string name = GetParam();
  const json::value want = parse_json(read_file(golden("training") / (name + ".json")), name);
  const SafetensorsSource goldens(golden("training") / (name + ".safetensors"));
  const Model model = load_model(golden("models") / std::string(want.at("model").as_string()));
  ThreadPool pool(2);
  Arena arena;
  Parameters parameters(model.config, MatmulPrecision::f32);
  parameters.load(model.config, *model.source);
  EXPECT_EQ(goldens.tensors().size(), 2 * parameters.list().size());
  const Network network = make_network(model.config, parameters.weights());
  const TrainingBatch batch = batch_of(want);
  const StepOptions options = options_of(want, batch);

  const Gradients& gradients = parameters.gradient_map();
  const StepReport report =
      forward_and_backward({.pool = pool, .arena = arena, .gradients = &gradients}, network, batch, options);
  const double loss = report.loss_sum * options.token_weight, want_loss = number(want.at("loss"));
  const auto expect_balance = [&](double sum, const char* kind) {
    const double part = number(want.at("balance_losses").at(kind));
    EXPECT_NEAR(sum * options.sequence_weight, part, 1e-5 * part) << kind;
  };
  std::cout << fmt::format("{}: loss {:.6f}, relative error {:.1e}\n", name, loss, std::abs(loss / want_loss - 1));
  EXPECT_NEAR(loss, want_loss, 1e-5 * want_loss);
  expect_balance(report.balance.expert, "expert");
  expect_balance(report.balance.device, "device");
  expect_balance(report.balance.communication, "communication");

  const auto flat = static_cast<size_t>(parameters.master().size);
  expect_close(name + " gradients",
               tensor_errors(parameters, {parameters.gradients().data, flat}, goldens, "gradients"), 1e-4);
  const double norm = gradient_norm(pool, parameters.gradients()), want_norm = number(want.at("gradient_norm"));
  EXPECT_NEAR(norm, want_norm, 1e-5 * want_norm);

  const json::value& o = want.at("optimizer");
  const OptimizerConfig optimizer{.beta1 = number(o.at("beta1")),
                                  .beta2 = number(o.at("beta2")),
                                  .epsilon = number(o.at("epsilon")),
                                  .weight_decay = number(o.at("weight_decay"))};
  const std::vector<float> before(parameters.master().begin(), parameters.master().end());
  AdamW(parameters)
      .update(pool, parameters, optimizer, {.rate = number(o.at("rate")), .clip = number(o.at("grad_clip")) / norm});
  std::vector<float> update(flat);
  for (size_t i = 0; i < flat; ++i) update[i] = parameters.master()[static_cast<int64_t>(i)] - before[i];
  // The first update is nearly rate * sign(gradient): a gradient near epsilon has its rounding enlarged, and the
  // fixture's float64 differs from its float32 by 1e-4 in the worst tensor.
  expect_close(name + " updates", tensor_errors(parameters, update, goldens, "updates"), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Steps, PytorchStep, ::testing::Values("lite", "v2"), [](const auto& p) { return p.param; });

}  // namespace
}  // namespace fathom
