// The measured costs of this machine (engine/tuning/measure_costs.h), kept in a small file: which form attention takes
// is then the same in every run. The file is JSON:
//
//   { "what": "fathom machine costs", "version": 2, "cpu": "...", "isa": "amx", "build": "gcc 12.2.0",
//     "measured": 1795800000, "mla": { "naive": 1.3, ... one number for each of kMlaCosts },
//     "checksum": "16 hex digits" }
//
// checksum: XXH64 of the text without that line (machine_text). Deleting the file loses half a second of the next run
// of a large model, and that run may attend in the other form where the two cost nearly the same.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "engine/tuning/measure_costs.h"
#include "model/attention/int16/mla_costs.h"

namespace fathom {

// One more whenever the numbers of older files say nothing about this program: other kernels, another measurement.
inline constexpr int64_t kMachineVersion = 4;
inline constexpr const char* kMachineFileExtension = ".json";

// What costs depend on.
struct MachineKey {
  std::string cpu;    // as it names itself, with family, model and stepping
  std::string isa;    // the kernels in use
  std::string build;  // compiler

  bool operator==(const MachineKey&) const = default;
};
MachineKey this_machine();

struct MachineFile {
  MachineKey key;
  int64_t measured = 0;  // seconds since 1970
  MlaCosts mla;
};

// FOLDER/machine/HASH.json, the hash of key and version.
std::filesystem::path machine_folder(const std::filesystem::path& cache_folder);
std::filesystem::path machine_path(const std::filesystem::path& cache_folder, const MachineKey& key);

std::string machine_text(const MachineFile& file);
// Refuses all that machine_text() does not write: bad_input, unsupported for another version; `where` names it.
MachineFile parse_machine_file(const std::string& text, const std::string& where);
MachineFile read_machine_file(const std::filesystem::path& path);

struct MachineCosts {
  enum class Source : uint8_t { built_in, measured, file };
  MlaCosts mla = {};
  Source source = Source::built_in;
  int64_t measured = 0;             // seconds since 1970; 0: built in
  double seconds = 0;               // that measuring took, in this call
  std::filesystem::path path = {};  // of the file that holds them; empty: none does
  std::string not_kept = {};        // why, when measured costs are in no file
};

// again: measures although there is a file, and replaces it.
enum class Measure : uint8_t { when_needed, again };

// The costs in the file of this machine; without one that is whole, those that `measure` returns, written to it. One
// process measures at a time, the others wait and read what it wrote. Reference kernels are not measured: built in. A
// file that is not used is named to `notice`. Where no file can be written (or cache_folder is empty) measured costs
// serve this process alone. Throws std::bad_alloc alone.
using NoticeFn = std::function<void(const std::string& sentence)>;
MachineCosts machine_costs(const std::filesystem::path& cache_folder, const NoticeFn& notice = {},
                           Measure when = Measure::when_needed,
                           const std::function<MlaCosts()>& measure = mla_costs_of_process);

// Those in the file, or built in. Measures and writes nothing.
MachineCosts kept_costs(const std::filesystem::path& cache_folder, const NoticeFn& notice = {});

// "measured 2026-11-28 19:02, kept in ...", "built in": for people.
std::string describe_source(const MachineCosts& costs);

}  // namespace fathom
