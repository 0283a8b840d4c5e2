#include "study/run/products.h"

#include <cstdlib>
#include <filesystem>

#include "kernels/cuda/lt.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"
#include "study/run/directory.h"
#include "study/text_file.h"
#include "tensor/atomic_file.h"

namespace taut::study {

std::string products_file() {
  const auto folder = [](const char* variable) -> std::string {
    const char* text = std::getenv(variable);
    return text != nullptr && text[0] == '/' ? text : "";  // a relative one is to be ignored
  };
  if (const std::string cache = folder("XDG_CACHE_HOME"); !cache.empty()) return cache + "/taut/cublaslt.txt";
  if (const std::string home = folder("HOME"); !home.empty()) return home + "/.cache/taut/cublaslt.txt";
  return "";
}

void read_products(Device device, const std::string& file) {
  std::error_code unreachable;
  if (file.empty() || !std::filesystem::exists(file, unreachable)) {
    if (unreachable) fail(Exit::kIo, "{}: cannot be looked at ({})", file, unreachable.message());
    return;
  }
  TAUT_ON_GPU(device, add_lt_choices(read_text_file(file)));
}

void keep_products(Device device, const std::string& file) {
  if (file.empty() || TAUT_ON_GPU(device, lt_timings()) == 0) return;
  read_products(device, file);
  make_folder(std::filesystem::path(file).parent_path().string());
  write_file_atomically(file, TAUT_ON_GPU(device, lt_choices()));
}

}  // namespace taut::study
