// "model-00002-of-00004.safetensors": how the files of one model are named in both formats.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

struct ShardName {
  std::string stem;           // "model"
  int number = 0, count = 0;  // from 1

  std::string file(int other, std::string_view extension) const;  // the name of another shard of the same model
};

// Nothing for any other name. `extension` has its dot.
std::optional<ShardName> parse_shard_name(std::string_view file_name, std::string_view extension);

}  // namespace fathom
