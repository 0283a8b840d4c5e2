// Rows of the planted faults (tests/simt/planted_faults.cu).
#include <algorithm>

#include "kernels/error.h"
#include "kernels/simt/shadow.h"
#include "tensor/tensor.h"
#include "tests/selftest.h"
#include "tests/simt/planted_faults.h"

namespace taut::selftest {

std::vector<Row> run_planted_faults() {
  constexpr Device kSimt{DeviceKind::kSimt, 0};
  std::vector<Row> rows;
  for (const simt::PlantedFault& fault : simt::planted_faults()) {
    std::vector<float> values(64);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 3);
    const Tensor x = Tensor::from(values, {64}).to(kSimt);
    Tensor y = Tensor::empty({64}, DType::kF32, kSimt);
    if (fault.needs_zeros) y = Tensor::zeros({64}, DType::kF32, kSimt);
    runner::take_findings();
    std::string said;
    try {
      simt::run_planted_fault(fault, x.data<float>(), y.data<float>());
    } catch (const Error& e) {
      said = e.what();
    }
    const std::vector<runner::Finding> findings = runner::take_findings();
    const bool caught = std::any_of(findings.begin(), findings.end(),
                                    [&](const runner::Finding& f) { return runner::name(f.fault) == fault.fault; });
    rows.push_back({{"fault", fault.fault},
                    {"kernel", fault.kernel},
                    {"planted", fault.planted},
                    {"status", (fault.planted ? caught : said.empty()) ? "pass" : "fail"},
                    {"detail", said}});
  }
  return rows;
}

}  // namespace taut::selftest
