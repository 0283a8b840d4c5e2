#include "kernels/lab/vendor_conv2d.h"

#include "kernels/error.h"

#ifdef TAUT_WITH_DNNL
#include <dnnl.hpp>
#endif

// Version 3 has another interface and no package yet where this builds.
#if defined(TAUT_WITH_DNNL) && DNNL_VERSION_MAJOR == 2
#include <omp.h>

#include <unordered_map>

namespace taut {
namespace {

using dnnl::memory;

class OneDnn : public VendorConv2d {
 public:
  OneDnn(const ConvShape& s, ConvPass pass, bool nhwc, int threads)
      : threads_(threads), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    omp_set_num_threads(threads);
    const auto f32 = memory::data_type::f32;
    const auto any = memory::format_tag::any, images = nhwc ? memory::format_tag::nhwc : any;
    const memory::desc x({s.n, s.c_in, s.h, s.w}, f32, images), y({s.n, s.c_out, s.out_h(), s.out_w()}, f32, images);
    const memory::desc w = s.groups == 1 ? memory::desc({s.c_out, s.c_in, s.kh, s.kw}, f32, any)
                                         : memory::desc({s.groups, s.group_out(), s.group_in(), s.kh, s.kw}, f32, any);
    const memory::dims stride{s.stride.h, s.stride.w}, dilation{s.dilation.h - 1, s.dilation.w - 1};
    const memory::dims before{s.padding.h, s.padding.w}, after{s.padding.h + s.extra.h, s.padding.w + s.extra.w};
    const auto direct = dnnl::algorithm::convolution_direct;
    const dnnl::convolution_forward::primitive_desc forward(
        {dnnl::prop_kind::forward_training, direct, x, w, y, stride, dilation, before, after}, engine_);
    if (pass == ConvPass::kForward) {
      primitive_ = dnnl::convolution_forward(forward);
      add(DNNL_ARG_SRC, forward.src_desc());
      add(DNNL_ARG_WEIGHTS, forward.weights_desc());
      add(output_ = DNNL_ARG_DST, forward.dst_desc());
    } else if (pass == ConvPass::kInput) {
      const dnnl::convolution_backward_data::primitive_desc p({direct, x, w, y, stride, dilation, before, after},
                                                              engine_, forward);
      primitive_ = dnnl::convolution_backward_data(p);
      add(output_ = DNNL_ARG_DIFF_SRC, p.diff_src_desc());
      add(DNNL_ARG_WEIGHTS, p.weights_desc());
      add(DNNL_ARG_DIFF_DST, p.diff_dst_desc());
    } else {
      const dnnl::convolution_backward_weights::primitive_desc p({direct, x, w, y, stride, dilation, before, after},
                                                                 engine_, forward);
      primitive_ = dnnl::convolution_backward_weights(p);
      add(DNNL_ARG_SRC, p.src_desc());
      add(output_ = DNNL_ARG_DIFF_WEIGHTS, p.diff_weights_desc());
      add(DNNL_ARG_DIFF_DST, p.diff_dst_desc());
    }
  }

  void run() override {
    omp_set_num_threads(threads_);
    primitive_.execute(stream_, operands_);
    stream_.wait();
  }

  lab::MemoryRanges inputs() const override {
    lab::MemoryRanges ranges;
    for (const auto& [argument, m] : operands_)
      if (argument != output_) ranges.emplace_back(m.get_data_handle(), static_cast<int64_t>(m.get_desc().get_size()));
    return ranges;
  }

 private:
  void add(int argument, const memory::desc& desc) {
    memory m(desc, engine_);
    auto* const data = static_cast<float*>(m.get_data_handle());
    for (size_t i = 0; i < desc.get_size() / sizeof(float); ++i) data[i] = static_cast<float>(i % 251) / 125.0f - 1.0f;
    operands_.emplace(argument, m);
  }

  const int threads_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::primitive primitive_;
  std::unordered_map<int, memory> operands_;
  int output_ = 0;
};

}  // namespace

std::unique_ptr<VendorConv2d> VendorConv2d::make(const ConvShape& shape, ConvPass pass, bool nhwc, int threads) {
  try {
    return std::make_unique<OneDnn>(shape, pass, nhwc, threads);
  } catch (const dnnl::error& e) {
    fail(Exit::kUnavailable, "[oneDNN] expected a convolution, got '{}'", e.what());
  }
}

}  // namespace taut

#else

namespace taut {

std::unique_ptr<VendorConv2d> VendorConv2d::make(const ConvShape&, ConvPass, bool, int) { return nullptr; }

}  // namespace taut

#endif
