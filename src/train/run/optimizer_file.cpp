#include "train/run/optimizer_file.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "checkpoint/safetensors.h"

namespace fathom {
namespace {

constexpr std::array<const char*, 3> kNames = {"master", "first_moment",
                                               "second_moment"};  // in the order of FlatTensor

// Numbers `range` of a tensor of n.
void read_range(const SafetensorsSource& source, FlatTensor tensor, int64_t n, const ParameterRange& range,
                VecView<float> into) {
  const char* name = kNames[static_cast<size_t>(tensor)];
  const TensorInfo* t = source.find(name);
  if (t == nullptr || t->dtype != DType::f32 || t->elements() != n)
    throw_bad_input("{}: has no float32 tensor {} of {} numbers; was it saved for another model?", source.where(), name,
                    n);
  const auto bytes = std::span(t->bytes).subspan(static_cast<size_t>(range.begin) * sizeof(float));
  std::memcpy(into.data, bytes.data(), static_cast<size_t>(range.size()) * sizeof(float));
}

}  // namespace

OptimizerParts whole_optimizer(const Parameters& parameters, const AdamW& optimizer) {
  check(optimizer.range().size() == parameters.master().size, "an optimiser of all parameters");
  return {.ranges = {parameters.all()}, .read = [&parameters, &optimizer](FlatTensor tensor, const ParameterRange&) {
            const VecView<float> v = tensor == FlatTensor::master         ? parameters.master()
                                     : tensor == FlatTensor::first_moment ? optimizer.first_moment()
                                                                          : optimizer.second_moment();
            return std::span<const float>(v.data, static_cast<size_t>(v.size));
          }};
}

void write_optimizer_file(const std::filesystem::path& path, const OptimizerParts& parts) {
  int64_t n = 0;
  for (const ParameterRange& range : parts.ranges) {
    check(range.begin == n && range.end >= n, "ranges that follow one another");
    n = range.end;
  }
  std::vector<PlannedTensor> plan;
  plan.reserve(kNames.size());
  for (const char* name : kNames) plan.push_back({.name = name, .dtype = DType::f32, .shape = {n}});
  SafetensorsWriter writer(path, plan, UINT64_MAX);
  for (const PlannedTensor& planned : writer.plan()) {
    const auto tensor = static_cast<FlatTensor>(std::find(kNames.begin(), kNames.end(), planned.name) - kNames.begin());
    for (const ParameterRange& range : parts.ranges) writer.write(std::as_bytes(parts.read(tensor, range)));
  }
  writer.commit();
}

void read_optimizer_file(const std::filesystem::path& path, Parameters& parameters, AdamW& optimizer) {
  const SafetensorsSource source(path);
  const int64_t n = parameters.master().size;
  read_range(source, FlatTensor::master, n, parameters.all(), parameters.master());
  read_range(source, FlatTensor::first_moment, n, optimizer.range(), optimizer.first_moment());
  read_range(source, FlatTensor::second_moment, n, optimizer.range(), optimizer.second_moment());
  parameters.refresh(0, n);
}

}  // namespace fathom
