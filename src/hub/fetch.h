// One text of the hub, waited for and asked for again where that may help.
#pragma once
#include <functional>
#include <string>

#include "base/interrupt.h"
#include "hub/failure.h"
#include "hub/http_get.h"

namespace fathom::hub {

// Counts tries and says when the next one may begin. Requests that were under way when one failed say no more than it
// did, so they do not count; any byte that comes makes up for all failures before.
class Patience {
 public:
  using Notice = std::function<void(const std::string& sentence)>;
  Patience(int retries, Notice notice) : retries_(retries), notice_(std::move(notice)) {}

  // The failure of a request that began then. Error when another try would be in vain, or was too often.
  void failed(const Failure& failure, double began);
  void succeeded() noexcept { tries_ = 0; }
  double wait_until() const noexcept { return wait_until_; }  // seconds of now()

  static double now();  // of a clock that only goes forward

 private:
  int retries_, tries_ = 0;
  Notice notice_;
  double wait_until_ = 0, failed_at_ = -1;
};

struct FetchedText {
  std::string text;
  bool stopped = false;  // a signal asked to end
};

// The body of a 200 of at most so many bytes. Error (failure.h) otherwise.
FetchedText fetch_text(HttpSession& session, const HttpGet& request, size_t most, const RequestContext& context,
                       Patience& patience, const StopRequest& stop);

}  // namespace fathom::hub
