#include "http/options.h"

#include "base/error.h"

namespace fathom::http {

void check_options(const Options& o) {
  const Limits& l = o.limits;
  const std::pair<const char*, uint64_t> sizes[] = {
      {"header bytes", l.request.header_bytes},        {"headers", l.request.header_count},
      {"bytes of the target", l.request.target_bytes}, {"connections", l.connections},
      {"bytes to be written", l.write_bytes},          {"bytes read ahead", l.pipelined_bytes}};
  for (const auto& [what, value] : sizes)
    if (value == 0 || value > UINT32_MAX)
      throw_bad_input("the limit of {} is {}: it must be from 1 to 2^32 - 1", what, value);
  const std::pair<const char*, std::chrono::milliseconds> times[] = {{"head", l.head_time},
                                                                     {"request", l.request_time},
                                                                     {"idle", l.idle_time},
                                                                     {"write", l.write_time},
                                                                     {"linger", l.linger_time}};
  for (const auto& [what, value] : times)
    if (value.count() <= 0) throw_bad_input("the {} time is {} ms: it must be more than 0", what, value.count());
  if (o.threads < 1 || o.threads > 256)
    throw_bad_input("{} threads for handlers: at least 1 and at most 256", o.threads);
  if (o.tls_certificate.empty() != o.tls_key.empty())
    throw_bad_input("TLS needs a certificate and its private key; only the {} is given",
                    o.tls_key.empty() ? "certificate" : "key");
  if (!o.tls_certificate.empty() && o.address.starts_with("unix:"))
    throw_unsupported("TLS on a Unix socket is not offered");
}

}  // namespace fathom::http
