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

}  // namespace taut::TAUT_CPU
