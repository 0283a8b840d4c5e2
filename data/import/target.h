// The folder an import writes into, and never outside of it.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace taut {

class TargetFolder {
 public:
  // Makes the folder if needed and takes it for this process. Throws Error(kInterrupted) if another process has it,
  // Error(kIo) where it cannot be used.
  explicit TargetFolder(std::string path);
  ~TargetFolder();
  TargetFolder(const TargetFolder&) = delete;
  TargetFolder& operator=(const TargetFolder&) = delete;

  // Writes a file at a path within the folder; a reader or a crash sees all of it or nothing. Links on the way are
  // refused by libarchive, as are absolute paths and "..". Throws Error(kIo) or Error(kBadData) naming the path.
  void write(const std::string& path, const std::vector<uint8_t>& bytes);
  // True where a file of these bytes lies at a path within the folder, with no link on the way. Any thread may ask.
  bool holds(const std::string& path, const std::vector<uint8_t>& bytes) const;
  // Removes whatever is not one of the files: leftovers of an import that was interrupted. Throws Error(kIo) where one
  // of them is not there.
  void keep_only(const std::set<std::string>& files);
  // Syncs everything to disk and gives the folder its final name, which must be free or an empty folder.
  void finish(const std::string& name);

 private:
  struct Writer;
  std::string path_;
  int fd_ = -1;
  std::unique_ptr<Writer> writer_;
};

}  // namespace taut
