// What the tests of data/ share: places, temporary folders, files written byte by byte, errors caught.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/image.h"
#include "kernels/error.h"

namespace taut::test {

using Bytes = std::vector<uint8_t>;

// The provided reference data, beside the checkout or where $TAUT_SHARED says; empty (with one line on standard output
// that `what` is skipped) where there are none.
std::filesystem::path shared_folder(const std::string& part, const std::string& what);
std::filesystem::path golden_folder();  // the cases that the project keeps itself

// A folder that is removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }
  // Writes a file, and the folders above it; returns its path.
  std::string write(const std::string& name, const Bytes& bytes) const;
  std::string write(const std::string& name, const std::string& text) const;

 private:
  std::filesystem::path path_;
};

Bytes read_all(const std::filesystem::path& file);
Bytes gzipped(const Bytes& bytes);
Bytes deflated(const Bytes& bytes);  // a bare stream, as zip files hold it

// Smooth colours with some noise, a function of the arguments.
Image sample_image(int64_t height, int64_t width, int64_t channels, uint64_t seed = 1);

struct JpegOptions {
  int quality = 90;
  bool progressive = false;
};
Bytes encode_jpeg(const Image& image, const JpegOptions& options = {});
Bytes encode_png(const Image& image);  // 8-bit grey or RGB

// FNV-1a of the bytes.
uint64_t hash(const void* data, size_t bytes, uint64_t start = 0xCBF29CE484222325u);

// The code and text of the taut::Error that `body` throws; Exit::kOk and "" if it throws none.
struct Caught {
  Exit code = Exit::kOk;
  std::string text;
  bool names(const std::string& part) const { return text.find(part) != std::string::npos; }
};
Caught caught(const std::function<void()>& body);

// Runs `body` in a process of its own, which ends with what it returns, or 2 where it throws.
pid_t in_process(const std::function<int()>& body);
int status_of(pid_t child);  // waits for its end: the code, or 128 + the signal

}  // namespace taut::test
