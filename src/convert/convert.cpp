#include "convert/convert.h"

#include "convert/text_files.h"

namespace fathom {

std::vector<std::string> convert_model(ThreadPool& pool, const std::filesystem::path& in,
                                       const std::filesystem::path& out_name, const OutputOptions& options,
                                       const ProgressFn& progress) {
  const std::filesystem::path out = without_trailing_slash(out_name);
  check_output_free(out);
  Model model = load_model(in);
  return convert_model(pool, model, out, options, progress);
}

std::vector<std::string> convert_model(ThreadPool& pool, Model& model, const std::filesystem::path& out_name,
                                       OutputOptions options, const ProgressFn& progress) {
  const std::filesystem::path out = without_trailing_slash(out_name);
  check_output_free(out);
  if (options.type.type && is_own_recipe(*options.type.type)) options.encoding.search = Search::thorough;
  const ModelRows source = rows_of_model(model);
  const bool to_gguf = names_gguf(out);
  if (to_gguf)
    write_gguf(pool, source, out, options, gguf_text_keys(model), progress);
  else
    write_folder(pool, source, out, options, folder_text_files(model), progress);
  return to_gguf ? lost_in_gguf(model) : lost_in_folder(model);
}

}  // namespace fathom
