#include "kernels/lab/vendor.h"

#include "kernels/error.h"

#ifdef TAUT_WITH_DNNL
#include <dnnl.h>
#include <omp.h>

#include <string>
#endif

namespace taut {

#ifdef TAUT_WITH_DNNL

const char* vendor_name() {
  static const std::string name = [] {
    const dnnl_version_t* v = dnnl_version();
    return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
  }();
  return name.c_str();
}

void vendor_matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                   const float* b, int64_t ldb, float* c, int64_t ldc, int threads) {
  omp_set_num_threads(threads);
  const dnnl_status_t status =
      dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, ldc);
  if (status != dnnl_success) fail(Exit::kUnavailable, "[dnnl_sgemm] expected success, got status {}", int(status));
}

#else

const char* vendor_name() { return nullptr; }

void vendor_matmul(bool, bool, int64_t, int64_t, int64_t, const float*, int64_t, const float*, int64_t, float*, int64_t,
                   int) {
  fail(Exit::kUnavailable, "[vendor_matmul] expected a build with oneDNN, got one without; hint: install libdnnl-dev");
}

#endif

}  // namespace taut
