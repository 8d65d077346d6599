// Chat templates: any source and any messages are rendered or refused with an Error, in bounded time and memory. What
// was rendered keeps the rule of trust: a byte that no message holds cannot be untrusted.
//
// Input: the template, a NUL byte, then messages as ROLE \x01 CONTENT \x02.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "jinja/template.h"

namespace {

using namespace fathom;
using namespace fathom::jinja;

std::vector<Value> messages_of(std::string_view text) {
  std::vector<Value> out;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find('\x02'));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    const size_t split = std::min(one.find('\x01'), one.size());
    out.push_back(
        make_dict({{Text("role"), Value(Text(one.substr(0, split), Origin::untrusted))},
                   {Text("content"), Value(Text(one.substr(std::min(split + 1, one.size())), Origin::untrusted))}}));
  }
  return out;
}

void run(std::string_view input) {
  const std::string_view source = input.substr(0, input.find('\0'));
  const std::string_view rest = input.substr(std::min(input.size(), source.size() + 1));
  const Template program(source, "fuzz.jinja", {.steps = 200'000, .bytes = 8 << 20});  // quick, and every limit is met
  const std::array<Variable, 6> variables = {{{"messages", make_list(messages_of(rest))},
                                              {"add_generation_prompt", Value(true)},
                                              {"tools", Value()},
                                              {"documents", Value()},
                                              {"bos_token", Value(Text("<s>"))},
                                              {"eos_token", Value(Text("</s>"))}}};
  const Text text = program.render(variables);
  check(text.bytes.size() == text.origin.size(), "every byte has an origin");
  std::array<bool, 256> in_message{};
  for (const char c : rest) in_message[static_cast<unsigned char>(c)] = true;
  // Case and escapes change bytes; letters and escapes are left out of the rule.
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text.bytes[i]);
    if (text.origin[i] == static_cast<char>(Origin::untrusted) && c >= 0x80)
      check(in_message[c], "untrusted bytes come from messages");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    run(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const Error&) {
  } catch (const Fault&) {  // a message nested or shaped beyond what make_list takes
  }
  return 0;
}
