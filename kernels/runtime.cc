#include "kernels/runtime.h"

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "kernels/cuda/runtime.h"
#include "kernels/devices.h"
#include "kernels/error.h"

namespace taut {

const char* name(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu: return "cpu";
    case DeviceKind::kSimt: return "simt";
    case DeviceKind::kCuda: return "cuda";
  }
  return "?";
}

Device device_by_name(const char* text) {
  const std::string_view asked = text;
  if (asked == "auto") return best_device();
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kSimt, DeviceKind::kCuda})
    if (asked == name(kind)) return {kind, 0};
  constexpr std::string_view kIndexed = "cuda:";
  if (asked.starts_with(kIndexed) && asked.size() > kIndexed.size() && asked.size() < kIndexed.size() + 4 &&
      asked.find_first_not_of("0123456789", kIndexed.size()) == std::string_view::npos)
    return {DeviceKind::kCuda, std::atoi(text + kIndexed.size())};
  fail(Exit::kUsage, "[device] expected cpu, simt, cuda, cuda:INDEX or auto, got '{}'", asked);
}

const char* name(Isa isa) { return isa == Isa::kAvx512 ? "avx512" : "avx2"; }

Stream current_stream(Device device) {
  if (device.kind == DeviceKind::kCpu) return {};
  return TAUT_ON_GPU(device, compute_stream(device.index));
}

namespace {

struct IsaChoice {
  Isa isa;
  const char* reason;
};

IsaChoice choose_isa() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    fail(Exit::kUnavailable, "[cpu] expected a processor with AVX2 and FMA (x86-64-v3); this one lacks them");
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const char* asked = std::getenv("TAUT_ISA");
  if (asked != nullptr && *asked != '\0') {
    const std::string_view want = asked;
    if (want == "avx2") return {Isa::kAvx2, "TAUT_ISA=avx2 asks for it"};
    if (want != "avx512") fail(Exit::kUsage, "[TAUT_ISA] expected avx2 or avx512, got '{}'", want);
    if (!has_avx512) fail(Exit::kUnavailable, "[TAUT_ISA] avx512 was asked for, but this processor has none");
    return {Isa::kAvx512, "TAUT_ISA=avx512 asks for it"};
  }
  if (has_avx512) return {Isa::kAvx512, "cpuid reports avx512f, bw, dq and vl"};
  return {Isa::kAvx2, "cpuid reports no AVX-512"};
}

const IsaChoice& isa_choice() {
  static const IsaChoice choice = choose_isa();
  return choice;
}

Isa& isa_in_use() {
  static Isa isa = isa_choice().isa;
  return isa;
}

KernelSite*& first_site() {
  static KernelSite* first = nullptr;
  return first;
}

}  // namespace

Isa cpu_isa() { return isa_in_use(); }
const char* cpu_isa_reason() { return isa_choice().reason; }

bool set_cpu_isa_for_testing(Isa isa) {
  if (isa == Isa::kAvx512 && isa_choice().isa != Isa::kAvx512) return false;
  isa_in_use() = isa;
  return true;
}

KernelSite::KernelSite(const char* call) : call_(call), next_(first_site()) { first_site() = this; }

void KernelSite::count() { __atomic_fetch_add(&calls_, 1, __ATOMIC_RELAXED); }

int64_t kernel_calls(const char* kernel) {
  const size_t length = std::strlen(kernel);
  int64_t calls = 0;
  for (const KernelSite* s = first_site(); s != nullptr; s = s->next_) {
    if (std::strncmp(s->call_, kernel, length) == 0 && (s->call_[length] == '<' || s->call_[length] == '('))
      calls += s->calls_;
  }
  return calls;
}

void reset_kernel_calls() {
  for (KernelSite* s = first_site(); s != nullptr; s = s->next_) s->calls_ = 0;
}

void backend_not_built(DeviceKind kind) {
  fail(Exit::kUnavailable, "[device] this build has no '{}' backend; hint: `taut doctor --backends` lists what it has",
       name(kind));
}

}  // namespace taut
