// Files, good and hostile, made by code, each with the verdict the readers owe it. Tests assert the verdicts
// (verdicts.cc); the fuzzers start from the same files (target.cc).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tensor/files/file_bytes.h"

namespace taut::fuzz {

struct Seed {
  std::string name;  // "drill 21: header of 0 bytes"; also a file name, so without slashes
  std::string bytes;
  // Words of the error that refuses it, empty if it is accepted. " ... " stands for any words in between.
  std::string reason;
};

std::vector<Seed> safetensors_seeds();
std::vector<Seed> pickle_seeds();
std::vector<Seed> torch_zip_seeds();
std::vector<Seed> torch_legacy_seeds();
std::vector<Seed> npy_seeds();
std::vector<Seed> npz_seeds();
std::vector<Seed> shard_index_seeds();
std::vector<Seed> weights_seeds();
std::vector<Seed> sharded_seeds();
std::vector<Seed> adapter_seeds();
std::vector<Seed> delta_seeds();
std::vector<Seed> convert_seeds();

// A reader under test: parses a file and reads every tensor of it. Throws Error(kBadData) where it refuses the file.
// The last four read several files, which one input stands for (folder.h).
struct Reader {
  const char* name;
  void (*read)(const FileBytes& file);
  std::vector<Seed> (*seeds)();
  bool many_files = false;
};
std::span<const Reader> readers();
const Reader& reader(const std::string& name);  // throws Error(kUsage) for an unknown one

}  // namespace taut::fuzz
