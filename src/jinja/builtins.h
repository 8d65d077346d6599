// Filters, tests and methods of the template interpreter. Each does what jinja2 3.1 and Python do, or is refused by
// name.
#pragma once
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace fathom::jinja {

struct Limits {
  size_t source_bytes = 256 << 10;       // of a template; the longest public ones have about 30 KiB
  uint64_t steps = 10'000'000;           // nodes evaluated, and text scanned at 64 bytes a step: about a second
  uint64_t bytes = uint64_t{256} << 20;  // of all strings and lists made, intermediate ones included
};

// What a run has used up. Every function here that makes or scans text charges for it before it does.
class Meter {
 public:
  explicit Meter(const Limits& limits) : steps_left_(limits.steps), bytes_left_(limits.bytes) {}
  void steps(uint64_t n = 1) {
    if (n > steps_left_) throw Fault(ErrorKind::resource, "the template runs for too long");
    steps_left_ -= n;
  }
  void scan(uint64_t bytes) { steps(bytes / 64); }
  void bytes(uint64_t n) {
    scan(n);
    if (n > bytes_left_) throw Fault(ErrorKind::resource, "the template makes too much text");
    bytes_left_ -= n;
  }
  void items(uint64_t n) { bytes(n > (UINT64_MAX >> 8) ? UINT64_MAX : n * 128); }

 private:
  uint64_t steps_left_, bytes_left_;
};

// The values in a call, without the subject of a filter, test or method.
struct Arguments {
  const std::string& function;  // for messages
  std::vector<Value> plain;
  std::vector<std::pair<std::string_view, Value>> named;

  // One entry for each parameter name, empty where the caller gave none. Fault for what does not fit, and when one of
  // the first `required` is missing.
  std::vector<std::optional<Value>> bind(std::initializer_list<std::string_view> names, size_t required) const;
};

// What iterating over the value gives: items, dict keys, characters, nothing for an undefined value. Uses a generator
// up.
std::shared_ptr<const List> items_of(Meter& meter, const Value& value);
// value[index], value.name: an Undefined value where there is nothing. A Fault for a part of something undefined.
Value get_item(Meter& meter, const Value& object, const Value& index);
Value get_attribute(Meter& meter, const Value& object, const std::string& name);

Value apply_filter(Meter& meter, const std::string& name, const Value& subject, const Arguments& args);
bool apply_test(Meter& meter, const std::string& name, const Value& subject, const Arguments& args);
Value call_method(Meter& meter, const Value& object, const std::string& name, const Arguments& args);
bool is_method(const Value& object,
               std::string_view name) noexcept;  // does Python have it, whether or not call_method does?

// Operators, with Python's rules. op: + - * / // %
Value binary(Meter& meter, const std::string& op, const Value& a, const Value& b);
bool compare(Meter& meter, const std::string& op, const Value& a, const Value& b);  // == != < <= > >= in "not in"
Value negate(const Value& value);
// Python's text[start:stop:step] and the same on lists. An empty optional: left out.
Value slice(Meter& meter, const Value& object, const std::optional<Value> (&parts)[3]);
// to_text and is_true with the cost charged.
Text text_of(Meter& meter, const Value& value);

}  // namespace fathom::jinja
