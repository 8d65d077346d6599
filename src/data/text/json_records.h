// Records in JSON: where one ends, and the text that it holds. Only what is needed of a record is read strictly, the
// field of the text; other fields are passed over, whatever they hold (NaN as Python writes it, keys that occur twice,
// deep nesting), as long as brackets and quotes match.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// Where the JSON value that begins at text[0] ends, if it does. Only brackets and quotes are looked at. Called again
// with more of the same text, it goes on where it stopped.
class JsonExtent {
 public:
  std::optional<size_t> end_of(std::string_view text);

 private:
  size_t at_ = 0, depth_ = 0;
  bool in_string_ = false, is_escaped_ = false;
};

// Does an object begin at text[0]: a brace and a key with its colon, or nothing in braces?
bool begins_like_json_object(std::string_view text) noexcept;

// The position of the first character from `at` on that is no white space of JSON, or npos.
size_t skip_json_space(std::string_view text, size_t at) noexcept;

struct JsonRecord {
  enum class Kind { object_without_text, text, no_text, other } kind = Kind::other;  // no_text: null stands there
  std::string text;  // ill-formed UTF-8 as it stands; half a surrogate pair (an escape such as \ud83d) as the byte FF
  std::vector<std::string> keys;  // of the object, the first few
  std::string_view field;         // the text field as it stands, where it is something else than a string or null
};

// Of an object, its string field `key`; of a string, itself. bad_input with `where` for what is not JSON, and when the
// field occurs twice.
JsonRecord read_json_record(std::string_view record, std::string_view key, const std::string& where);

// The members of an object as they stand, keys with their quotes; those before the place where it is no JSON.
struct JsonMember {
  std::string_view key, value;
};
std::vector<JsonMember> json_members(std::string_view object);

// What a record is that has no text: for messages.
std::string describe(const JsonRecord& record, std::string_view key);

}  // namespace fathom
