#include "tensor/files/any_weights.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "kernels/error.h"
#include "tensor/files/npy.h"
#include "tensor/files/pickle.h"
#include "tensor/files/safetensors_header.h"
#include "tensor/files/shard_index.h"
#include "tensor/files/torch_file.h"
#include "tensor/files/zip_archive.h"

namespace taut {
namespace {

enum class Format { kSafetensors, kIndex, kZip, kTorchLegacy, kPickle, kNpy, kUnknown };

// What the first bytes say, however damaged what follows is.
Format format_of_content(const FileBytes& file) {
  if (looks_like_zip(file)) return Format::kZip;
  if (looks_like_torch_legacy(file)) return Format::kTorchLegacy;
  if (looks_like_npy(file)) return Format::kNpy;
  if (looks_like_safetensors(file)) return Format::kSafetensors;
  if (looks_like_shard_index(file)) return Format::kIndex;
  return file.starts_with("\x80") ? Format::kPickle : Format::kUnknown;
}

Format format_of_ending(const FileBytes& file) {
  if (file.path().ends_with(".index.json")) return Format::kIndex;
  std::string ending = std::filesystem::path(file.path()).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (ending == ".safetensors") return Format::kSafetensors;
  if (ending == ".npy") return Format::kNpy;
  if (ending == ".npz") return Format::kZip;
  for (const char* of_torch : {".pth", ".pt", ".th", ".bin", ".ckpt", ".pkl"})
    if (ending == of_torch) return Format::kPickle;
  return Format::kUnknown;
}

// What people have in place of weights.
const char* hint_for(const FileBytes& file) {
  if (file.starts_with("version https://git-lfs"))
    return "; hint: a Git LFS pointer; git lfs pull gets the file itself";
  const std::string_view start = file.text(0, std::min<uint64_t>(file.size(), 512));
  return start.starts_with("<") ? "; hint: a page of the web, not what was to be downloaded" : "";
}

Format format_of(const FileBytes& file) {
  if (file.size() == 0) return Format::kUnknown;
  const Format format = format_of_content(file);
  return format == Format::kUnknown && *hint_for(file) == '\0' ? format_of_ending(file) : format;
}

[[noreturn]] void no_weights(const FileBytes& file) {
  fail(Exit::kBadData,
       "[{}] expected weights as safetensors, torch (zip or legacy), npy or npz, got {} bytes that start with \"{}\"{}",
       file.path(), file.size(), printable(file.text(0, std::min<uint64_t>(file.size(), 16))), hint_for(file));
}

// A pickle that no torch.save wrote: what is wrong inside it, if anything, and that it is bare.
[[noreturn]] void bare_pickle(const FileBytes& file) {
  const Pickle pickle(file.text(0, file.size()), fmt::format("[{}]", file.path()), 0);
  fail(Exit::kBadData, "[{}] expected torch's zip or legacy format, got a bare pickle{}; hint: save with torch.save",
       file.path(),
       pickle.length() == file.size() ? "" : fmt::format(", and more follows the pickle at byte {}", pickle.length()));
}

FileContents parse_one(FileBytes file, const WeightsOptions& options) {
  switch (format_of(file)) {
    case Format::kZip: {
      const ZipArchive zip(std::move(file));
      const bool has_arrays = std::any_of(zip.entries().begin(), zip.entries().end(),
                                          [](const ZipEntry& e) { return e.name.ends_with(".npy"); });
      const bool is_torch =
          looks_like_torch_zip(zip) || (!has_arrays && format_of_ending(zip.file()) == Format::kPickle);
      return is_torch ? parse_torch_zip(zip) : parse_npz(zip, {options.v2_is_bf16});
    }
    case Format::kTorchLegacy: return parse_torch_legacy(std::move(file));
    case Format::kNpy: return parse_npy(std::move(file), {options.v2_is_bf16});
    case Format::kSafetensors: return parse_safetensors(std::move(file));
    case Format::kPickle: bare_pickle(file);
    case Format::kIndex:
    case Format::kUnknown: break;
  }
  no_weights(file);
}

// Files called STEM-00001-of-00003.ENDING are all of them there.
void check_numbers(const std::set<std::string>& files, const std::string& index) {
  struct Numbered {
    std::string before, after;
    int64_t number, count;
  };
  const auto numbered = [](const std::string& name) {
    Numbered n{"", "", 0, 0};
    constexpr size_t kDigits = 5;
    const size_t of = name.rfind("-of-");
    if (of == std::string::npos || of < kDigits + 1 || name[of - kDigits - 1] != '-' || of + 4 + kDigits > name.size())
      return n;
    const std::string number = name.substr(of - kDigits, kDigits), count = name.substr(of + 4, kDigits);
    if ((number + count).find_first_not_of("0123456789") != std::string::npos) return n;
    return Numbered{name.substr(0, of - kDigits), name.substr(of + 4 + kDigits), std::stoll(number), std::stoll(count)};
  };
  const Numbered first = numbered(*files.begin());
  if (first.count == 0) return;
  std::set<int64_t> present;
  for (const std::string& name : files) {
    const Numbered n = numbered(name);
    if (n.before != first.before || n.after != first.after || n.count != first.count || n.number < 1 ||
        n.number > n.count)
      fail(Exit::kBadData, "[{}] file '{}' is none of the {} that '{}' is one of", index, printable(name), first.count,
           printable(*files.begin()));
    present.insert(n.number);
  }
  for (int64_t i = 1; i <= first.count; ++i)
    if (!present.contains(i))
      fail(Exit::kBadData, "[{}] expected all of {} files, the index names none called '{}{:05}-of-{:05}{}'", index,
           first.count, printable(first.before), i, first.count, printable(first.after));
}

// The bytes of all tensors. Files of torch may share storages, which Hugging Face's libraries count once.
void check_total(const ShardIndex& index, const FileContents& all, bool may_share) {
  const auto it = index.metadata.find("total_size");
  if (it == index.metadata.end()) return;
  int64_t bytes = 0;
  for (const StoredTensor& t : all.tensors)
    if (__builtin_add_overflow(bytes, t.bytes, &bytes)) bytes = INT64_MAX;
  char* end = nullptr;
  const double total = std::strtod(it->second.c_str(), &end);  // some tools write 12.0
  const bool is_number = !it->second.empty() && *end == '\0';
  if (!is_number || (may_share ? total > static_cast<double>(bytes) : total != static_cast<double>(bytes)))
    fail(Exit::kBadData, "[{}] metadata, 'total_size': expected {} bytes as the files' tensors have, got {}; hint: {}",
         all.file.path(), bytes, printable(it->second), "the index is not of these files, or one of them was replaced");
}

FileContents parse_shards(FileBytes file, const WeightsOptions& options,
                          const std::function<FileBytes(const std::string&)>& open) {
  constexpr size_t kMaxShards = 10'000;
  const ShardIndex index = parse_shard_index(file);
  const std::filesystem::path folder = std::filesystem::path(file.path()).parent_path();
  std::set<std::string> names;
  for (const auto& [tensor, name] : index.file_of) names.insert(name);
  if (names.size() > kMaxShards)
    fail(Exit::kBadData, "[{}] expected at most {} files, got {}", file.path(), kMaxShards, names.size());
  check_numbers(names, file.path());
  FileContents all{std::move(file), "", {}, index.metadata, {}};
  std::set<std::string> formats;
  bool may_share = false;
  for (const std::string& name : names) {
    FileContents shard = [&] {
      try {
        return parse_one(open((folder / name).string()), options);
      } catch (const Error& e) {
        if (e.code() != Exit::kMissing) throw;
        fail(Exit::kMissing, "[{}] file '{}', which the index names, is missing: {}", all.file.path(), printable(name),
             e.what());
      }
    }();
    formats.insert(shard.format);
    may_share = may_share || shard.format.starts_with("torch");
    for (StoredTensor& t : shard.tensors) {
      const auto it = index.file_of.find(t.name);
      if (it == index.file_of.end() || it->second != name)
        fail(Exit::kBadData, "[{}] tensor '{}' is in '{}', the index says {}", all.file.path(), printable(t.name),
             printable(name), it == index.file_of.end() ? "nothing of it" : printable(it->second));
      all.tensors.push_back(std::move(t));
    }
    all.shards.push_back(std::move(shard.file));
  }
  if (all.tensors.size() != index.file_of.size()) {
    std::set<std::string> found;
    for (const StoredTensor& t : all.tensors) found.insert(t.name);
    for (const auto& [tensor, name] : index.file_of)
      if (!found.contains(tensor))
        fail(Exit::kBadData, "[{}] tensor '{}': the index says it is in '{}', it is not", all.file.path(),
             printable(tensor), printable(name));
  }
  check_total(index, all, may_share);
  all.format = fmt::format("{} index", fmt::join(formats, " and "));
  return all;
}

}  // namespace

FileContents parse_weights(FileBytes file, const WeightsOptions& options,
                           const std::function<FileBytes(const std::string& path)>& open) {
  return format_of(file) == Format::kIndex ? parse_shards(std::move(file), options, open)
                                           : parse_one(std::move(file), options);
}

}  // namespace taut
