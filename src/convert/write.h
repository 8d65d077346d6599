// From a plan to bytes, streamed: decode, encode with all threads, write; memory does not grow with the model.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "base/machine/threads.h"
#include "convert/plan.h"
#include "convert/quantize/importance.h"
#include "quant/encode.h"

namespace fathom {

// done and total are bytes of tensor data. Called from the calling thread, often.
using ProgressFn = std::function<void(uint64_t done, uint64_t total)>;

// How numbers become blocks: by quant/encode.h's plain encoders, or by the thorough search.
struct Encoding {
  Search search = Search::plain;
  const Importance* importance = nullptr;  // weights of the thorough search; equal ones without
};

// The bytes of the tensors of `plan`, in its order, to `sink`. Rows that are stored in the wanted type are passed on as
// they are. The bytes do not depend on the number of threads. bad_input naming the tensor for a number that its type
// cannot hold.
void write_tensors(ThreadPool& pool, const std::vector<OutTensor>& plan, const ModelRows& source,
                   const Encoding& encoding, const std::function<void(std::span<const std::byte>)>& sink,
                   const ProgressFn& progress);

}  // namespace fathom
