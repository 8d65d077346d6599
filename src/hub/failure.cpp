#include "hub/failure.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/progress.h"
#include "hub/settings.h"

namespace fathom::hub {
namespace {

std::string said(const HttpHead& head) {
  return head.error_message.empty()
             ? std::string()
             : fmt::format(" ({} says: {})", head.origin, quoted_for_message(head.error_message, 160));
}

// 401 is what the hub also says of repositories that there are not.
std::string unauthorized(const HttpHead& head, const RequestContext& c) {
  if (c.has_token)
    return fmt::format(
        "{}: there is no such repository at {}, or the token does not open it; look at its name, and at "
        "HF_TOKEN{}",
        c.repository, c.endpoint, said(head));
  return fmt::format(
      "{}: there is no such repository at {}, or it is private or gated; look at its name, or set "
      "HF_TOKEN to a token that may read it",
      c.repository, c.endpoint);
}

std::string forbidden(const HttpHead& head, const RequestContext& c) {
  if (head.error_code == "GatedRepo")
    return fmt::format("{}: is gated: accept its conditions at {}/{} with the account of the token, then pull again",
                       c.repository, c.endpoint, c.repository) +
           (c.has_token ? "" : "; no token was sent: set HF_TOKEN");
  return fmt::format("{}: access to {} is forbidden{}{}", c.repository, c.what,
                     c.has_token ? "; the token may not read it" : "; set HF_TOKEN to a token that may read it",
                     said(head));
}

std::string not_found(const HttpHead& head, const RequestContext& c) {
  if (head.error_code == "RevisionNotFound")
    return fmt::format("{}: has no revision {}; a branch, a tag or a commit is needed", c.repository,
                       quoted_for_message(c.revision));
  if (head.error_code == "RepoNotFound" || head.error_code.empty())
    return fmt::format("{}: there is no such repository, or no revision {} of it, at {}", c.repository,
                       quoted_for_message(c.revision), c.endpoint);
  return fmt::format("{}: has no {} any more{}", c.repository, c.what, said(head));
}

bool is_passing(long status) noexcept {
  return status == 408 || status == 425 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

Failure passing(const HttpHead& head, const RequestContext& c) {
  const std::string why =
      head.status == 429
          ? fmt::format("{}: {} takes no more requests for now (429)", c.repository, head.origin)
          : fmt::format("{}: {} answers {} to the request for {}", c.repository, head.origin, head.status, c.what);
  if (head.retry_after.value_or(0) > kLongestWait)
    return {.sentence = fmt::format("{} and asks to wait {}; pull again then: what is here stays", why,
                                    human_seconds(static_cast<double>(*head.retry_after)))};
  return {.sentence = why, .again = true, .wait = head.retry_after};
}

Failure of_status(const HttpHead& head, const RequestContext& c) {
  // Signed addresses of a content network expire: the hub gives a new one.
  const bool is_elsewhere = !head.origin.empty() && head.origin != origin_of(c.endpoint);
  if (is_elsewhere && (head.status == 401 || head.status == 403))
    return {.sentence = fmt::format("{}: {} refuses {} ({})", c.repository, head.origin, c.what, head.status),
            .again = true};
  if (is_passing(head.status)) return passing(head, c);
  // 401 when no token was sent, 403 when it is one of an account that has not asked.
  const bool is_gated = head.error_code == "GatedRepo";
  if (head.status == 401 && !is_gated) return {.sentence = unauthorized(head, c)};
  if (head.status == 403 || is_gated) return {.sentence = forbidden(head, c)};
  if (head.status == 404 || head.status == 410) return {.sentence = not_found(head, c)};
  return {.sentence = fmt::format("{}: {} answers {} to the request for {}{}", c.repository, head.origin, head.status,
                                  c.what, said(head))};
}

}  // namespace

Failure failure_of(const HttpEnd& end, const RequestContext& c) {
  switch (end.kind) {
    case HttpEnd::Kind::whole:
    case HttpEnd::Kind::stopped:
      return of_status(end.head, c);
    case HttpEnd::Kind::unreachable:
      return {.sentence = fmt::format("{}: {} cannot be reached: {}", c.repository, c.endpoint, end.error) +
                          (c.answered_before
                               ? ""
                               : "; is the network there? HF_ENDPOINT and https_proxy are taken from the environment"),
              .again = c.answered_before};
    default:
      return {.sentence = fmt::format("{}: the connection for {} broke: {}", c.repository, c.what, end.error),
              .again = true};
  }
}

double back_off_seconds(int tries) noexcept { return std::min(30.0, 0.5 * std::pow(2.0, std::max(0, tries - 1))); }

}  // namespace fathom::hub
