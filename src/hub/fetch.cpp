#include "hub/fetch.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace fathom::hub {

double Patience::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Patience::failed(const Failure& failure, double began) {
  if (!failure.again) throw Error(ErrorKind::bad_input, failure.sentence);
  if (began < failed_at_) return;
  if (++tries_ > retries_)
    throw_bad_input("{}; given up after {} tr{}; what is here stays, and the same command goes on with it",
                    failure.sentence, tries_, tries_ == 1 ? "y" : "ies");
  const double wait = failure.wait ? static_cast<double>(*failure.wait) : back_off_seconds(tries_);
  failed_at_ = now();
  wait_until_ = failed_at_ + wait;
  if (notice_) notice_(fmt::format("{}; trying again in {:.3g} s", failure.sentence, wait));
}

namespace {

// One try; nothing when it failed in a way that patience takes.
bool try_text(HttpSession& session, const HttpGet& request, size_t most, const RequestContext& context,
              Patience& patience, const StopRequest& stop, std::string& text) {
  const double began = Patience::now();
  bool too_long = false, done = false;
  text.clear();
  session.start(
      request,
      [&](const HttpHead&, std::string_view bytes) {
        too_long = text.size() + bytes.size() > most;
        if (!too_long) text += bytes;
        return !too_long;
      },
      [&](const HttpEnd& end) {
        if (too_long && end.head.status == 200)
          throw_bad_input("{}: {} is longer than {} bytes", context.repository, context.what, most);
        done = end.kind == HttpEnd::Kind::whole && end.head.status == 200;
        if (!done) patience.failed(failure_of(end, context), began);
      });
  while (session.running() > 0 && stop.count() == 0) session.step(0.2);
  return done;
}

}  // namespace

FetchedText fetch_text(HttpSession& session, const HttpGet& request, size_t most, const RequestContext& context,
                       Patience& patience, const StopRequest& stop) {
  FetchedText out;
  while (stop.count() == 0) {
    if (const double wait = patience.wait_until() - Patience::now(); wait > 0) {
      session.step(std::min(wait, 0.2));
      continue;
    }
    if (!try_text(session, request, most, context, patience, stop, out.text)) continue;
    patience.succeeded();
    return out;
  }
  out.stopped = true;
  return out;
}

}  // namespace fathom::hub
