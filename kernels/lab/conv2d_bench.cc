#include "kernels/lab/conv2d_bench.h"

#include <algorithm>
#include <charconv>

#include "kernels/error.h"
#include "kernels/lab/bench_util.h"
#include "kernels/lab/peak.h"
#include "kernels/lab/vendor.h"
#include "kernels/lab/vendor_conv2d.h"
#include "kernels/parallel.h"

namespace taut {
namespace {

using lab::Buffer;
using lab::filled;
using lab::Turns;

ConvShape parse_shape(const std::string& text) {
  int64_t sizes[7] = {0, 0, 0, 0, 0, 0, 1};
  const char *at = text.data(), *end = at + text.size();
  bool good = true;
  for (int i = 0; i < 7 && good; ++i) {
    if (i == 6 && at == end) break;
    if (i > 0) good = at != end && *at++ == (i == 6 ? 's' : 'x');
    const auto [next, error] = std::from_chars(at, end, sizes[i]);
    good = good && error == std::errc() && sizes[i] >= 1 && sizes[i] <= 100'000;
    at = next;
  }
  const ConvShape s{.n = sizes[0],
                    .h = sizes[1],
                    .w = sizes[2],
                    .c_in = sizes[3],
                    .c_out = sizes[4],
                    .kh = sizes[5],
                    .kw = sizes[5],
                    .stride = sizes[6],
                    .padding = sizes[5] / 2};
  TAUT_CHECK(good && at == end && s.h + 2 * s.padding >= s.kh && s.w + 2 * s.padding >= s.kw,
             "[kernel bench conv2d] expected a shape NxHxWxCxKxR or NxHxWxCxKxRsS (images, kernels, stride), got '{}'",
             text);
  return s;
}

ConvPass parse_pass(const std::string& text) {
  if (text == "forward") return ConvPass::kForward;
  if (text == "input") return ConvPass::kInput;
  TAUT_CHECK(text == "weight", "[kernel bench conv2d] expected a pass forward, input or weight, got '{}'", text);
  return ConvPass::kWeight;
}

Conv2dBenchRow bench_one(const std::string& shape, const std::string& pass_name, int threads) {
  const ConvShape s = parse_shape(shape);
  const ConvPass pass = parse_pass(pass_name);
  const Buffer x = filled(s.n * s.h * s.w * s.c_in), w = filled(s.weights()), y = filled(s.rows_out() * s.c_out);
  const double operations = 2.0 * static_cast<double>(s.rows_out()) * static_cast<double>(s.weights());
  const int repeat = std::clamp(static_cast<int>(5e7 / operations), 1, 100'000);
  const auto rate = [&](auto&& convolution) {
    const double start = bench_seconds(threads);
    for (int i = 0; i < repeat; ++i) convolution();
    return operations * repeat / (bench_seconds(threads) - start) * 1e-9;
  };
  const Device cpu;
  const Stream stream = current_stream(cpu);
  const auto own = [&] {
    if (pass == ConvPass::kForward)
      ON_DEVICE(cpu, conv2d_forward<float>(stream, x.get(), w.get(), nullptr, y.get(), s));
    else if (pass == ConvPass::kInput)
      ON_DEVICE(cpu, conv2d_backward_input<float>(stream, y.get(), w.get(), x.get(), s));
    else
      ON_DEVICE(cpu, conv2d_backward_weight<float>(stream, y.get(), x.get(), w.get(), s));
  };
  Conv2dBenchRow row;
  row.shape = shape;
  row.pass = pass_name;
  row.threads = threads;
  for (Turns turns; turns.next();) {
    row.peak_gflops = std::max(row.peak_gflops, run_fma_peak(threads));
    row.gflops = std::max(row.gflops, rate(own));
  }
  // The vendor's OpenMP threads spin for a while when they are done: it comes last.
  for (const bool nhwc : {true, false}) {
    const auto vendor = VendorConv2d::make(s, pass, nhwc, threads);
    if (vendor == nullptr) break;
    row.vendor = vendor_name();
    for (Turns turns; turns.next();) row.vendor_gflops = std::max(row.vendor_gflops, rate([&] { vendor->run(); }));
  }
  row.fraction_of_peak = row.gflops / row.peak_gflops;
  return row;
}

}  // namespace

std::vector<Conv2dBenchRow> bench_conv2d(const std::vector<std::string>& shapes, const std::vector<std::string>& passes,
                                         int threads) {
  for (const std::string& shape : shapes) parse_shape(shape);
  for (const std::string& pass : passes) parse_pass(pass);
  struct Threads {
    int before = num_threads();
    ~Threads() { set_num_threads(before); }
  } restored_at_the_end;
  set_num_threads(threads);
  std::vector<Conv2dBenchRow> rows;
  for (const std::string& shape : shapes)
    for (const std::string& pass : passes) rows.push_back(bench_one(shape, pass, threads));
  return rows;
}

}  // namespace taut
