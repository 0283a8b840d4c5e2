// One kernel of production by itself, without a tensor: softmax of a row on the device that the first argument names.
#include <cstdio>
#include <vector>

#include "kernels/devices.h"
#include "kernels/error.h"
#include "kernels/lab/device_array.h"
#include "kernels/softmax.h"

int main(int argc, char** argv) try {
  using namespace taut;
  const Device device = device_by_name(argc > 1 ? argv[1] : "cpu");
  require_device(device);
  const std::vector<float> x{0, 1, 2, 3};
  std::vector<float> y(x.size());
  const lab::DeviceArray in(x, device), out(x.size() * sizeof(float), device);
  const int64_t rows = 1, columns = 4, distance = 1;  // between neighbours of a row
  ON_DEVICE(device, softmax_forward<float>(current_stream(device), in.floats(), out.floats(), rows, columns, distance));
  copy_memory(y.data(), Device{}, out.get(), device, y.size() * sizeof(float));
  for (const float v : y) std::printf("%.6f\n", static_cast<double>(v));
} catch (const taut::Error& error) {
  std::fprintf(stderr, "one_kernel: %s\n", error.what());
  return static_cast<int>(error.code());
}
