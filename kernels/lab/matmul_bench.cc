#include "kernels/lab/matmul_bench.h"

#include <algorithm>
#include <charconv>

#include "kernels/error.h"
#include "kernels/lab/bench_util.h"
#include "kernels/lab/peak.h"
#include "kernels/lab/vendor.h"
#include "kernels/matmul.h"
#include "kernels/parallel.h"

namespace taut {
namespace {

using lab::Buffer;
using lab::filled;
using lab::Turns;

MatmulShape parse(const std::string& shape, const std::string& pass) {
  int64_t sizes[3] = {};
  const char *at = shape.data(), *end = at + shape.size();
  bool good = true;
  for (int i = 0; i < 3 && good; ++i) {
    if (i > 0) good = at != end && *at++ == 'x';
    const auto [next, error] = std::from_chars(at, end, sizes[i]);
    good = good && error == std::errc() && sizes[i] >= 1 && sizes[i] <= 1'000'000;
    at = next;
  }
  TAUT_CHECK(good && at == end, "[kernel bench matmul] expected a shape MxNxK of sizes from 1 to 1000000, got '{}'",
             shape);
  TAUT_CHECK(pass == "nt" || pass == "nn" || pass == "tn",
             "[kernel bench matmul] expected a pass nt, nn or tn, got '{}'", pass);
  MatmulShape s{.m = sizes[0], .n = sizes[1], .k = sizes[2], .transpose_a = pass == "tn", .transpose_b = pass == "nt"};
  s.lda = s.transpose_a ? s.m : s.k;
  s.ldb = s.transpose_b ? s.k : s.n;
  s.ldc = s.n;
  return s;
}

MatmulBenchRow bench_one(const std::string& shape, const std::string& pass, int threads) {
  const MatmulShape s = parse(shape, pass);
  const Buffer a = filled(s.m * s.k), b = filled(s.k * s.n), c = filled(s.m * s.n);
  const double operations = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  const int repeat = std::clamp(static_cast<int>(5e7 / operations), 1, 100'000);
  // GFLOP/s of one call of `product`, over enough calls for the clock.
  const auto rate = [&](auto&& product) {
    const double start = bench_seconds(threads);
    for (int i = 0; i < repeat; ++i) product();
    return operations * repeat / (bench_seconds(threads) - start) * 1e-9;
  };
  const Device cpu;
  MatmulBenchRow row;
  row.shape = shape;
  row.pass = pass;
  row.threads = threads;
  if (vendor_name() != nullptr) row.vendor = vendor_name();

  // Peak and product take turns, so that both see the same clock. The vendor's library comes after: its OpenMP threads
  // spin for a while when they are done, which would take a core from whatever runs next.
  for (Turns turns; turns.next();) {
    row.peak_gflops = std::max(row.peak_gflops, run_fma_peak(threads));
    row.gflops = std::max(row.gflops, rate([&] {
                            ON_DEVICE(cpu, matmul<float>(current_stream(cpu), a.get(), b.get(), nullptr, nullptr,
                                                         c.get(), nullptr, s, Epilogue::kNone));
                          }));
  }
  if (!row.vendor.empty()) {
    for (Turns turns; turns.next();) {
      row.vendor_gflops = std::max(row.vendor_gflops, rate([&] {
                                     vendor_matmul(s.transpose_a, s.transpose_b, s.m, s.n, s.k, a.get(), s.lda, b.get(),
                                                   s.ldb, c.get(), s.ldc, threads);
                                   }));
    }
  }
  row.fraction_of_peak = row.gflops / row.peak_gflops;
  return row;
}

}  // namespace

std::vector<MatmulBenchRow> bench_matmul(const std::vector<std::string>& shapes, const std::vector<std::string>& passes,
                                         int threads) {
  for (const std::string& shape : shapes)
    for (const std::string& pass : passes) parse(shape, pass);
  struct Threads {
    int before = num_threads();
    ~Threads() { set_num_threads(before); }
  } restored_at_the_end;
  set_num_threads(threads);
  std::vector<MatmulBenchRow> rows;
  for (const std::string& shape : shapes)
    for (const std::string& pass : passes) rows.push_back(bench_one(shape, pass, threads));
  return rows;
}

}  // namespace taut
