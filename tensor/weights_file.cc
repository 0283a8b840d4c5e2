#include "tensor/weights_file.h"

namespace taut {

WeightsFile WeightsFile::open(const std::string& path, const WeightsOptions& options) {
  return WeightsFile(parse_weights(FileBytes::map(path), options, FileBytes::map));
}

}  // namespace taut
