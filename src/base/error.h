// What can go wrong, and how it is said.
//
// Three cases. The world is wrong (a file, a flag, a request): throw Error. We are wrong (a broken invariant): check()
// ends the process with its place and reason, in release builds too. Absence is normal: std::optional.
//
// The text of an Error says where, what was found, what was needed, what to try. It goes to the user as it is.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace fathom {

enum class ErrorKind {
  bad_input,    // a file, flag or text is not what it must be; includes missing and truncated files
  unsupported,  // well-formed, but fathom does not do it: named so, never guessed around
  resource,     // memory, disk or a limit of the machine
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

// throw_bad_input("{}: header length {} ...", path, n): formats and throws.
template <class... Args>
[[noreturn]] void throw_bad_input(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::bad_input, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
[[noreturn]] void throw_unsupported(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::unsupported, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
[[noreturn]] void throw_resource(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::resource, fmt::format(format, std::forward<Args>(args)...));
}

// Prints place and reason to stderr and aborts. Used by check() and dcheck().
[[noreturn]] void fail_check(const char* why, const char* file, int line, const char* function) noexcept;

// An invariant of ours. Cheap enough for module borders in release builds; never used on what a file or a user says.
// The place is the caller's (the builtins of gcc and clang: clang 14 has no std::source_location with libstdc++).
inline void check(bool condition, const char* why, const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                  const char* function = __builtin_FUNCTION()) noexcept {
  if (!condition) [[unlikely]]
    fail_check(why, file, line, function);
}

// The same inside loops: compiled out when NDEBUG is set.
inline void dcheck([[maybe_unused]] bool condition, [[maybe_unused]] const char* why,
                   [[maybe_unused]] const char* file = __builtin_FILE(), [[maybe_unused]] int line = __builtin_LINE(),
                   [[maybe_unused]] const char* function = __builtin_FUNCTION()) noexcept {
#ifndef NDEBUG
  check(condition, why, file, line, function);
#endif
}

// Text from outside, made safe to print in a message: control characters and invalid UTF-8 as \xNN, cut to max_bytes
// with "...".
std::string quoted_for_message(std::string_view text, size_t max_bytes = 80);

}  // namespace fathom
