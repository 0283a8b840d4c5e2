// Pickles from pieces of text, each piece one value left on the stack.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/fuzz/build_files.h"

namespace taut::fuzz::pickle {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string file(const std::string& value, int protocol = 2);  // PROTO, the value, STOP
std::string text(const std::string& value);
std::string integer(int32_t value);
std::string global(const std::string& module, const std::string& name);
std::string tuple(const std::vector<std::string>& values);
std::string list(const std::vector<std::string>& values);
std::string dict(const Pairs& items);  // keys and values are pieces
std::string ordered_dict(const Pairs& items);
std::string call(const std::string& function, const std::vector<std::string>& arguments);

struct TensorSpec {
  std::string key = "0", cls = "FloatStorage";
  int32_t numel = 2, offset = 0;
  std::vector<int32_t> shape = {2}, strides = {1};
};
std::string storage(const TensorSpec& spec);
std::string tensor(const TensorSpec& spec = {});
// {"w": a tensor}
std::string state_dict(const TensorSpec& spec = {});

using Storages = std::vector<std::pair<std::string, std::string>>;  // key, bytes
// What torch.save would make of a pickle (with PROTO and STOP) and its storages.
std::vector<ZipItem> zip_items(const std::string& pickle, const Storages& storages);
// The old format. `numel` of each storage is bytes / 4.
std::string legacy(const std::string& pickle, const Storages& storages);
// Bytes of a legacy file before the object's pickle.
size_t legacy_start();

}  // namespace taut::fuzz::pickle
