// The ways of computing a convolution on the CPU, between which kernels/conv2d.cc chooses by shape. Only for the
// per-instruction-set files of kernels/.
#pragma once

#include "kernels/conv2d.h"

namespace taut::TAUT_CPU {

// Implicit matrix product (conv2d_gemm.cc): any shape.
template <class T>
void conv_gemm_forward(const T* x, const T* w, const T* bias, T* y, const ConvShape& s);
template <class T>
void conv_gemm_backward_input(const T* dy, const T* w, T* dx, const ConvShape& s);
template <class T>
void conv_gemm_backward_weight(const T* dy, const T* x, T* dw, const ConvShape& s);

// A group for each channel (conv2d_depthwise.cc): groups = c_in = c_out.
template <class T>
void conv_depthwise_forward(const T* x, const T* w, const T* bias, T* y, const ConvShape& s);
template <class T>
void conv_depthwise_backward_input(const T* dy, const T* w, T* dx, const ConvShape& s);
template <class T>
void conv_depthwise_backward_weight(const T* dy, const T* x, T* dw, const ConvShape& s);

// Few input channels (conv2d_few.cc): no groups; any c_in is right, a few are fast.
template <class T>
void conv_few_backward_input(const T* dy, const T* w, T* dx, const ConvShape& s);

// Winograd's F(4x4, 3x3) (conv2d_winograd.cc), for shapes that is_winograd (kernels/conv2d.h).
void conv_winograd_forward(const float* x, const float* w, const float* bias, float* y, const ConvShape& s);
void conv_winograd_backward_input(const float* dy, const float* w, float* dx, const ConvShape& s);
void conv_winograd_backward_weight(const float* dy, const float* x, float* dw, const ConvShape& s);
// In double never.
inline void conv_winograd_forward(const double*, const double*, const double*, double*, const ConvShape&) {}
inline void conv_winograd_backward_input(const double*, const double*, double*, const ConvShape&) {}
inline void conv_winograd_backward_weight(const double*, const double*, double*, const ConvShape&) {}

}  // namespace taut::TAUT_CPU
