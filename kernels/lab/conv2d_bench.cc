#include "kernels/lab/conv2d_bench.h"

#include <charconv>

#include "kernels/error.h"
#include "kernels/lab/pass_bench.h"
#include "kernels/lab/vendor.h"
#include "kernels/lab/vendor_conv2d.h"
#include "kernels/parallel.h"

namespace taut {
namespace {

using lab::Buffer;
using lab::filled;

// Reads "NxHxWxCxKxR[xR][:sS:pP:dD:gG]" from front to back.
class ShapeReader {
 public:
  explicit ShapeReader(const std::string& text) : text_(text), at_(text.data()), end_(at_ + text.size()) {}

  ConvShape read() {
    int64_t sizes[6];
    for (int i = 0; i < 6; ++i) {
      if (i > 0 && !take('x')) refuse("six sizes NxHxWxCxKxR");
      sizes[i] = number(1);
    }
    ConvShape s{.n = sizes[0],
                .h = sizes[1],
                .w = sizes[2],
                .c_in = sizes[3],
                .c_out = sizes[4],
                .kh = sizes[5],
                .kw = take('x') ? number(1) : sizes[5]};
    s.padding = {s.kh / 2, s.kw / 2};
    std::string seen;
    while (at_ != end_) {
      take(':');
      const char option = at_ == end_ ? ' ' : *at_++;
      if (seen.find(option) != std::string::npos) refuse(std::string("the option ") + option + " once");
      seen += option;
      switch (option) {
        case 's': s.stride = pair(1); break;
        case 'p': s.padding = pair(0); break;
        case 'd': s.dilation = pair(1); break;
        case 'g': s.groups = number(1); break;
        default: refuse("options s (stride), p (padding), d (dilation), g (groups) and a number");
      }
    }
    if (s.c_in % s.groups != 0 || s.c_out % s.groups != 0) refuse("groups that divide both channel counts");
    if (s.rows().padded() < s.rows().reach() || s.columns().padded() < s.columns().reach())
      refuse("a dilated kernel that fits into the padded image");
    return s;
  }

 private:
  bool take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  int64_t number(int64_t least) {
    int64_t value = -1;
    const auto [next, error] = std::from_chars(at_, end_, value);
    if (error != std::errc() || value < least || value > kLargest)
      refuse(fmt::format("a number of {} to {} at character {}", least, kLargest, at_ - text_.data() + 1));
    at_ = next;
    return value;
  }
  HW pair(int64_t least) {
    const int64_t h = number(least);
    return {h, take('x') ? number(least) : h};
  }
  [[noreturn]] void refuse(const std::string& expected) const {
    fail(Exit::kUsage,
         "[kernel bench conv2d] expected {}, got the shape '{}'; hint: NxHxWxCxKxR[:sS:pP:dD:gG], as in "
         "1x9x9x8x8x3:s2:g4",
         expected, text_);
  }

  static constexpr int64_t kLargest = 100'000;
  const std::string& text_;
  const char *at_, *end_;
};

ConvPass parse_pass(const std::string& text) {
  if (text == "forward") return ConvPass::kForward;
  if (text == "input") return ConvPass::kInput;
  TAUT_CHECK(text == "weight", "[kernel bench conv2d] expected a pass forward, input or weight, got '{}'", text);
  return ConvPass::kWeight;
}

std::vector<lab::PassRow> bench_one(const std::string& shape, const std::string& pass_name, const lab::Caches& caches,
                                    int threads) {
  const ConvShape s = conv_shape_of(shape);
  const ConvPass pass = parse_pass(pass_name);
  const int64_t x_count = s.n * s.h * s.w * s.c_in, y_count = s.rows_out() * s.c_out;
  const Buffer x = filled(x_count), w = filled(s.weights()), y = filled(y_count);
  const std::pair<const void*, int64_t> of_x{x.get(), 4 * x_count}, of_w{w.get(), 4 * s.weights()},
      of_y{y.get(), 4 * y_count};
  lab::MemoryRanges inputs{of_x, of_w};
  int64_t output = of_y.second;
  if (pass == ConvPass::kInput) inputs = {of_y, of_w}, output = of_x.second;
  if (pass == ConvPass::kWeight) inputs = {of_y, of_x}, output = of_w.second;
  const lab::PassRow named{
      .op = "conv2d",
      .shape = shape,
      .pass = pass_name,
      .threads = threads,
      .flops = 2.0 * static_cast<double>(s.rows_out()) * static_cast<double>(s.weights()),
      .traffic = {static_cast<double>(inputs[0].second + inputs[1].second), static_cast<double>(output)}};
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
  std::vector<lab::PassRow> rows = lab::time_pass(named, caches, {own, inputs});
  for (const bool nhwc : {true, false})
    if (const auto vendor = VendorConv2d::make(s, pass, nhwc, threads); vendor != nullptr)
      lab::time_vendor(rows, vendor_name(), {[&] { vendor->run(); }, vendor->inputs()});
  return rows;
}

}  // namespace

ConvShape conv_shape_of(const std::string& shape) { return ShapeReader(shape).read(); }

std::vector<lab::PassRow> bench_conv2d(const std::vector<std::string>& shapes, const std::vector<std::string>& passes,
                                       const lab::Caches& caches, int threads) {
  for (const std::string& shape : shapes) conv_shape_of(shape);
  for (const std::string& pass : passes) parse_pass(pass);
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
