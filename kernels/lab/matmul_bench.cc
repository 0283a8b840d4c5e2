#include "kernels/lab/matmul_bench.h"

#include <charconv>

#include "kernels/error.h"
#include "kernels/lab/pass_bench.h"
#include "kernels/lab/vendor.h"
#include "kernels/matmul.h"
#include "kernels/parallel.h"

namespace taut {
namespace {

using lab::Buffer;
using lab::filled;

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

std::vector<lab::PassRow> bench_one(const std::string& shape, const std::string& pass, const lab::Caches& caches,
                                    int threads) {
  const MatmulShape s = parse(shape, pass);
  const Buffer a = filled(s.m * s.k), b = filled(s.k * s.n), c = filled(s.m * s.n);
  const int64_t a_bytes = 4 * s.m * s.k, b_bytes = 4 * s.k * s.n, c_bytes = 4 * s.m * s.n;
  const lab::MemoryRanges inputs{{a.get(), a_bytes}, {b.get(), b_bytes}};
  const lab::PassRow named{.op = "matmul",
                           .shape = shape,
                           .pass = pass,
                           .threads = threads,
                           .flops = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n * s.k),
                           .traffic = {static_cast<double>(a_bytes + b_bytes), static_cast<double>(c_bytes)}};
  const Device cpu;
  const auto own = [&] {
    ON_DEVICE(cpu, matmul<float>(current_stream(cpu), a.get(), b.get(), nullptr, nullptr, c.get(), nullptr, s,
                                 Epilogue::kNone));
  };
  std::vector<lab::PassRow> rows = lab::time_pass(named, caches, {own, inputs});
  if (vendor_name() == nullptr) return rows;
  const auto vendor = [&] {
    vendor_matmul(s.transpose_a, s.transpose_b, s.m, s.n, s.k, a.get(), s.lda, b.get(), s.ldb, c.get(), s.ldc, threads);
  };
  lab::time_vendor(rows, vendor_name(), {vendor, inputs});
  return rows;
}

}  // namespace

std::vector<lab::PassRow> bench_matmul(const std::vector<std::string>& shapes, const std::vector<std::string>& passes,
                                       const lab::Caches& caches, int threads) {
  for (const std::string& shape : shapes)
    for (const std::string& pass : passes) parse(shape, pass);
  struct Threads {
    int before = num_threads();
    ~Threads() { set_num_threads(before); }
  } restored_at_the_end;
  set_num_threads(threads);
  std::vector<lab::PassRow> rows;
  for (const std::string& shape : shapes)
    for (const std::string& pass : passes)
      for (lab::PassRow& row : bench_one(shape, pass, caches, threads)) rows.push_back(std::move(row));
  return rows;
}

}  // namespace taut
