#include "http/log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/error.h"
#include "base/text/utf8.h"

namespace fathom::http {
namespace {

constexpr size_t kLongestField = 1024, kPipePiece = 4096;
constexpr int kPatienceMs = 200;

// Writes lines to a descriptor. poll() and pieces that a pipe takes whole keep a blocking descriptor from blocking; one
// that stayed full for kPatienceMs is not waited for again until it takes something.
class DescriptorSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  DescriptorSink(int fd, bool owned, std::atomic<uint64_t>& lost) : fd_(fd), owned_(owned), lost_(lost) {}
  ~DescriptorSink() override {
    if (owned_) ::close(fd_);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string text = torn_ ? "\n" : "";
    text.append(message.payload.data(), message.payload.size());
    text += '\n';
    const size_t written = write_some(text);
    if (written < text.size()) ++lost_;
    if (written > 0) torn_ = written < text.size();
  }
  void flush_() override {}

 private:
  size_t write_some(std::string_view text) {
    size_t done = 0;
    while (done < text.size()) {
      pollfd ready{fd_, POLLOUT, 0};
      const int n = ::poll(&ready, 1, full_ ? 0 : kPatienceMs);
      full_ = n == 0;
      if (n <= 0) return done;
      const ssize_t wrote = ::write(fd_, text.data() + done, std::min(text.size() - done, kPipePiece));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return done;
      done += static_cast<size_t>(wrote);
    }
    return done;
  }

  int fd_;
  bool owned_, full_ = false, torn_ = false;
  std::atomic<uint64_t>& lost_;
};

// Signals go to the threads of the program; a pipe whose reader left is an error here, not the end of the process.
void block_all_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

// Escaped as within a JSON string: nothing in it ends a line or moves a cursor.
void append_escaped(std::string& out, std::string_view text) {
  for (const char c : replace_invalid_utf8(text.substr(0, kLongestField))) {
    if (c == '"' || c == '\\')
      out.append({'\\', c});
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
}

bool is_bare(std::string_view text) {
  return !text.empty() && text.size() <= kLongestField && std::all_of(text.begin(), text.end(), [](char c) {
    return c > 0x20 && c < 0x7F && c != '"' && c != '\\' && c != '=';
  });
}

void append_field(std::string& out, bool json, const Log::Field& field) {
  out += json ? fmt::format(",\"{}\":", field.name) : fmt::format(" {}=", field.name);
  const bool quotes = json ? !field.number : !is_bare(field.value);
  if (quotes) out += '"';
  append_escaped(out, field.value);
  if (quotes) out += '"';
}

const char* level_name(LogLevel level) {
  return level == LogLevel::info ? "info" : level == LogLevel::warning ? "warning" : "error";
}

int open_log(const LogOptions& options) {
  if (options.path.empty()) return STDERR_FILENO;
  const int fd = ::open(options.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  if (fd < 0) throw_bad_input("{}: the log cannot be written: {}", options.path, std::strerror(errno));
  return fd;
}

}  // namespace

struct Log::Impl {
  explicit Impl(const LogOptions& o)
      : options(o),
        pool(std::make_shared<spdlog::details::thread_pool>(std::max<size_t>(o.queue, 1), 1, block_all_signals)) {
    fd = open_log(o);
    auto sink = std::make_shared<DescriptorSink>(fd, !o.path.empty(), lost);
    logger = std::make_shared<spdlog::async_logger>("fathom", std::move(sink), pool,
                                                    spdlog::async_overflow_policy::overrun_oldest);
    logger->set_error_handler([](const std::string&) {});
  }

  void write(std::string_view text) {
    logger->log(spdlog::level::info, spdlog::string_view_t(text.data(), text.size()));
  }

  const LogOptions options;
  int fd = -1;  // the sink's
  std::atomic<uint64_t> lost{0};
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;  // gone before the pool, whose thread then writes what is queued
};

Log::Log(const LogOptions& options) : impl_(std::make_shared<Impl>(options)) {}

void Log::line(LogLevel level, std::string_view message, Fields fields) const noexcept {
  if (!impl_) return;
  try {
    const bool json = impl_->options.json;
    std::string out;
    if (json)
      out = fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"message\":\"", utc_now(), level_name(level));
    else
      out = fmt::format("{} {} ", utc_now(), level_name(level));
    append_escaped(out, message);
    if (json) out += '"';
    for (const Field& field : fields) append_field(out, json, field);
    if (json) out += '}';
    impl_->write(out);
  } catch (...) {
    ++impl_->lost;
  }
}

void Log::access(const AccessLine& a) const noexcept {
  if (!impl_ || !impl_->options.requests) return;
  const auto ms = [&] { return fmt::format("{:.3f}", static_cast<double>(a.time.count()) / 1000.0); };
  try {
    line(LogLevel::info, "request",
         {{"id", a.request_id},
          {"peer", a.peer},
          {"key", a.key_name.empty() ? std::string_view("-") : a.key_name},
          {"method", a.method},
          {"path", a.path},
          {"status", std::to_string(a.status), true},
          {"bytes", std::to_string(a.bytes), true},
          {"ms", ms(), true}});
  } catch (...) {
    ++impl_->lost;
  }
}

void Log::reopen() const {
  if (!impl_ || impl_->options.path.empty()) return;
  const int opened = open_log(impl_->options);
  const int moved = ::dup3(opened, impl_->fd, O_CLOEXEC);  // at once: the thread that writes notices nothing
  const int error = errno;
  ::close(opened);
  if (moved < 0) throw_bad_input("{}: the log cannot be opened again: {}", impl_->options.path, std::strerror(error));
}

uint64_t Log::dropped() const noexcept { return impl_ ? impl_->lost + impl_->pool->overrun_counter() : 0; }

}  // namespace fathom::http
