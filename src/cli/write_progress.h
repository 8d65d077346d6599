// A progress bar that is made when the total is known: for work that tells done and total from its start on.
#pragma once
#include <memory>
#include <string>

#include "base/progress.h"
#include "convert/write.h"

namespace fathom {

class WriteProgress {
 public:
  WriteProgress(std::string label, std::string unit, bool quiet)
      : label_(std::move(label)), unit_(std::move(unit)), quiet_(quiet) {}
  ProgressFn fn() {
    return [this](uint64_t done, uint64_t total) {
      if (!bar_) bar_ = std::make_unique<Progress>(label_, total, unit_, quiet_);
      bar_->set(done);
      total_ = total;
      if (done == total) bar_.reset();
    };
  }
  uint64_t total() const { return total_; }

 private:
  std::string label_, unit_;
  bool quiet_;
  uint64_t total_ = 0;
  std::unique_ptr<Progress> bar_;
};

}  // namespace fathom
