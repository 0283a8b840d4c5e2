// How a strategy is named and drawn in everything people read: one label, one colour, one marker everywhere.
#pragma once

#include <string>
#include <string_view>

#include "study/report/svg.h"

namespace taut::study {

struct Look {
  std::string label;  // as the paper spells it
  std::string_view colour;
  Marker marker;
};

// The seven strategies have the colours of Okabe and Ito (2008) without yellow, told apart with any colour vision and,
// with the markers, in grey print. Other names get grey and the marker of their position.
Look look_of(const std::string& strategy, size_t position);

}  // namespace taut::study
