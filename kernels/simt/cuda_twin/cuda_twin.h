// A twin of the CUDA runtime on the host, written from its documentation (CUDA Runtime API, 13.0): the entry points
// that the host code of the CUDA backend uses, with the SIMT runner as the device. Names and meanings are CUDA's, in a
// namespace of their own.
//
// What it keeps: one device, of compute capability 9.0 with 227 KB of shared memory a block (TAUT_SIMT_SM=80 and
// TAUT_SIMT_SHARED=99 make it a smaller one); streams run their work in order, and with set_deferred(true) only when
// somebody waits for it, so that host code that forgets to wait is found out; a copy from pageable memory has read its
// source when it returns, one from pinned memory has not; copies and fills touch only what the arena gave to somebody,
// and what the host reads was written; a stream that is captured records and does not run, and waiting for it is an
// error that spoils the capture; errors of the device are sticky; a kernel needs its attribute for more than 48 KB of
// dynamic shared memory. An argument list of cudaLaunchKernel is {thunk, closure, its size}: g++ makes no stubs.
//
// What a kernel does wrong is thrown by the runner, from the launch or, deferred, from the call that waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "kernels/simt/runner.h"

namespace taut::cuda_twin {

using dim3 = runner::Dim3;

// The numbers are CUDA's.
enum cudaError_t : int {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorECCUncorrectable = 214,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorMisalignedAddress = 716,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorUnknown = 999,
};
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2;

struct CUstream_st;  // NOLINTBEGIN: the names are CUDA's
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;
struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major, minor;
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceSynchronize();

cudaError_t cudaMalloc(void** pointer, size_t bytes);
cudaError_t cudaFree(void* pointer);
cudaError_t cudaMallocHost(void** pointer, size_t bytes);
cudaError_t cudaFreeHost(void* pointer);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                             cudaStream_t stream);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaFuncGetName(const char** name, const void* kernel);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);  // NOLINTEND

// ---- beyond CUDA ----------------------------------------------------------------------------------------------------

// The arena says which bytes of a slab somebody owns from here on in the stream's order: fresh ones, which nobody
// wrote, and ones that may not be touched.
void twin_allocated(void* pointer, size_t bytes, cudaStream_t stream);
void twin_released(void* pointer, size_t bytes, cudaStream_t stream);
// Whether copies and fills are held to those bytes, as at first: not while red zones are (kernels/red_zones.h), which
// are written beside them and find such a copy themselves.
void twin_watches_copies(bool on);

// Work of a library's call, in the stream's order, or recorded where the stream is captured.
void on_stream(cudaStream_t stream, std::function<void()> work);

// Work waits until somebody waits for it; off at first: it is done when the call that asks for it returns.
void set_deferred(bool on);

// The calls of `function` fail with `error` from the nth on (1: the next), or the nth alone. Also by the environment:
// TAUT_SIMT_FAIL=cudaMalloc:3:2 (the third call with error 2), cudaMalloc:3+:2 (every one from the third on).
void fail_call(const std::string& function, int64_t nth, cudaError_t error, bool and_after = false);
// Nothing fails any more, and a sticky error is forgotten.
void fail_no_more();
// For the twins of libraries: whether this call of theirs is one that fails.
bool is_to_fail(const char* function);

}  // namespace taut::cuda_twin
