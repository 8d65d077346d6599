// The folder of token data while it is made: beside its place, renamed into it when it is whole.
#pragma once
#include <filesystem>

#include "base/file/working_folder.h"

namespace fathom {

// Where a folder is made, and where one that is replaced stands meanwhile.
std::filesystem::path working_place(const std::filesystem::path& output);
std::filesystem::path old_place(const std::filesystem::path& output);

// bad_input when what is there may not be replaced: without `force` anything but an empty folder; with it, what is no
// folder of token data, and any file in it that `fathom data build` did not make.
void check_replaceable(const std::filesystem::path& output, bool force);
// A new, empty working folder; what a killed build left there is removed. It is gone again unless it is kept. bad_input
// when another build is filling it.
WorkingFolder make_working_folder(const std::filesystem::path& output);
// Renames it into its place; what was there before is removed.
void put_in_place(const std::filesystem::path& output);

}  // namespace fathom
