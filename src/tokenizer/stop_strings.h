// Stop strings in a stream of text: nothing of a stop string, nor after it, is ever given out.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// The outputs of push, joined, are the text up to the first place where any stop string begins; text that may still
// become one is held back until it is clear.
class StopStrings {
 public:
  // bad_input for an empty stop string. None at all: text passes through.
  explicit StopStrings(std::vector<std::string> stops);

  std::string push(std::string_view text);
  bool stopped() const noexcept { return stopped_; }
  const std::string& found() const noexcept { return found_; }  // the one that came; empty before
  // What was held back and has become no stop string.
  std::string flush();

 private:
  std::vector<std::string> stops_;
  std::string held_, found_;
  bool stopped_ = false;
};

}  // namespace fathom
