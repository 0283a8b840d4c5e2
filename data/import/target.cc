#include "data/import/target.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "kernels/error.h"
#include "tensor/retried.h"

namespace taut {
namespace fs = std::filesystem;

struct TargetFolder::Writer {
  std::unique_ptr<archive, int (*)(archive*)> disk{archive_write_disk_new(), archive_write_free};
  std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry{archive_entry_new(), archive_entry_free};
};

namespace {

// libarchive's secure options refuse absolute paths, so that it must be told relative ones: from here.
class InFolder {
 public:
  explicit InFolder(int folder) : before_(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    if (before_ < 0 || ::fchdir(folder) != 0) fail(Exit::kIo, "[data import] cannot go to the target folder");
  }
  ~InFolder() {
    if (::fchdir(before_) != 0) std::fputs("taut: the working folder is gone\n", stderr);
    ::close(before_);
  }
  InFolder(const InFolder&) = delete;
  InFolder& operator=(const InFolder&) = delete;

 private:
  int before_;
};

// Opens a file below a folder, one component after another; -1 where there is none or a link is on the way.
int open_below(int folder, const std::string& path) {
  int at = folder;
  for (size_t begin = 0;;) {
    const size_t end = path.find('/', begin);
    const bool is_last = end == std::string::npos;
    const std::string part = path.substr(begin, is_last ? end : end - begin);
    // Not blocking: a pipe may have the name.
    const int kind = is_last ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY;
    const int next = retried([&] { return ::openat(at, part.c_str(), kind | O_NOFOLLOW | O_CLOEXEC); });
    if (at != folder) ::close(at);
    if (is_last || next < 0) return next;
    at = next;
    begin = end + 1;
  }
}

bool sync_one(const fs::path& path) {
  const int fd = retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); });
  const bool synced = fd >= 0 && retried([&] { return ::fsync(fd); }) == 0;
  if (fd >= 0) ::close(fd);
  return synced;
}

// A few files one by one; many with all that waits for the file system, which is quicker then.
bool sync(const fs::path& folder, int fd) {
  constexpr size_t kFew = 64;
  std::vector<fs::path> paths = {folder};
  for (fs::recursive_directory_iterator it(folder), end; it != end && paths.size() <= kFew; ++it)
    paths.push_back(it->path());
  return paths.size() > kFew ? ::syncfs(fd) == 0 : std::ranges::all_of(paths, sync_one);
}

}  // namespace

TargetFolder::TargetFolder(std::string path) : path_(std::move(path)), writer_(std::make_unique<Writer>()) {
  std::error_code error;
  fs::create_directories(path_, error);
  fd_ = error ? -1 : ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd_ < 0)
    fail(Exit::kIo, "[{}] expected a folder to write to, got: {}", path_,
         error ? error.message() : std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0)
    fail(Exit::kInterrupted, "[{}] another process is importing into this folder", path_);
  archive_write_disk_set_options(writer_->disk.get(),
                                 ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
                                     ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS | ARCHIVE_EXTRACT_SAFE_WRITES);
}

TargetFolder::~TargetFolder() {
  if (fd_ >= 0) ::close(fd_);
}

void TargetFolder::write(const std::string& path, const std::vector<uint8_t>& bytes) {
  const InFolder here(fd_);
  archive* disk = writer_->disk.get();
  archive_entry* entry = archive_entry_clear(writer_->entry.get());
  archive_entry_set_pathname(entry, path.c_str());
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
  bool fine = archive_write_header(disk, entry) == ARCHIVE_OK;
  size_t at = 0;
  while (fine && at < bytes.size()) {
    const la_ssize_t n = archive_write_data(disk, bytes.data() + at, bytes.size() - at);
    fine = n > 0;
    at += fine ? static_cast<size_t>(n) : 0;
  }
  fine = fine && archive_write_finish_entry(disk) == ARCHIVE_OK;
  if (fine) return;
  const int code = archive_errno(disk);
  const char* text = archive_error_string(disk);
  fail(code > 0 ? Exit::kIo : Exit::kBadData, "[{}/{}] cannot write: {}", path_, path,
       text != nullptr ? text : "an unknown fault");
}

bool TargetFolder::holds(const std::string& path, const std::vector<uint8_t>& bytes) const {
  const int fd = open_below(fd_, path);
  if (fd < 0) return false;
  struct stat status {};
  bool same =
      ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && static_cast<size_t>(status.st_size) == bytes.size();
  std::vector<uint8_t> part(std::min(bytes.size(), size_t{1} << 20));
  for (size_t at = 0; same && at < bytes.size();) {
    const ssize_t n = retried([&] { return ::read(fd, part.data(), std::min(part.size(), bytes.size() - at)); });
    same = n > 0 && std::memcmp(part.data(), bytes.data() + at, static_cast<size_t>(n)) == 0;
    at += same ? static_cast<size_t>(n) : 0;
  }
  ::close(fd);
  return same;
}

void TargetFolder::keep_only(const std::set<std::string>& files) {
  std::vector<fs::path> extra, folders;
  std::set<std::string> gone = files;
  for (fs::recursive_directory_iterator it(path_), end; it != end; ++it) {
    const std::string inside = it->path().lexically_relative(path_).generic_string();
    if (it->is_directory() && !it->is_symlink())
      folders.push_back(it->path());
    else if (it->is_symlink() || gone.erase(inside) == 0)
      extra.push_back(it->path());
  }
  if (!gone.empty())
    fail(Exit::kIo, "[{}/{}] expected the file that was written, got none; hint: no other program may change {}", path_,
         *gone.begin(), path_);
  std::error_code error;
  for (const fs::path& file : extra) fs::remove(file, error);
  for (auto it = folders.rbegin(); it != folders.rend(); ++it)  // the deepest first
    if (fs::is_empty(*it, error)) fs::remove(*it, error);
}

void TargetFolder::finish(const std::string& name) {
  if (!sync(path_, fd_)) fail(Exit::kIo, "[{}] cannot sync to disk: {}", path_, std::strerror(errno));
  if (::rename(path_.c_str(), name.c_str()) != 0)
    fail(Exit::kIo, "[{}] cannot be renamed to {}: {}", path_, name, std::strerror(errno));
  if (!sync_one(fs::path(name).parent_path()))
    fail(Exit::kIo, "[{}] cannot sync its folder: {}", name, std::strerror(errno));
}

}  // namespace taut
