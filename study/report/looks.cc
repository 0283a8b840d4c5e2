#include "study/report/looks.h"

#include <array>

namespace taut::study {
namespace {

struct Known {
  std::string_view name, label, colour;
  Marker marker;
};

constexpr std::array<Known, 9> kKnown = {{{"full", "full fine-tuning", "#000000", Marker::kSquare},
                                          {"lp", "linear probe", "#56B4E9", Marker::kTriangleDown},
                                          {"lora", "LoRA", "#0072B2", Marker::kTriangle},
                                          {"adapter", "Adapter", "#E69F00", Marker::kDiamond},
                                          {"compacter", "Compacter", "#CC79A7", Marker::kStar},
                                          {"ia3", "(IA)\xC2\xB3", "#009E73", Marker::kHourglass},
                                          {"bitfit", "BitFit", "#D55E00", Marker::kCircle},
                                          {"ln", "LN-tuning", "#999933", Marker::kTriangle},
                                          {"bn", "BN-tuning", "#882255", Marker::kStar}}};
constexpr std::array<Marker, 7> kMarkers = {Marker::kCircle, Marker::kSquare,    Marker::kTriangle,    Marker::kDiamond,
                                            Marker::kStar,   Marker::kHourglass, Marker::kTriangleDown};

}  // namespace

Look look_of(const std::string& strategy, size_t position) {
  for (const Known& known : kKnown) {
    if (known.name == strategy) return {std::string(known.label), known.colour, known.marker};
  }
  return {strategy, "#777777", kMarkers[position % kMarkers.size()]};
}

}  // namespace taut::study
