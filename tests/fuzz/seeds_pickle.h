// Hostile pickles, for the three readers that take pickles.
#pragma once

#include "tests/fuzz/build_pickle.h"
#include "tests/fuzz/seeds.h"

namespace taut::fuzz {

// PROTO 2, `before`, then the opcode at fault and what follows it.
struct HostilePickle {
  std::string name, before, rest, opcode, words;
  std::string bytes() const { return pickle::file(before + rest); }
  // What the refusal says of a pickle that begins `origin` bytes into its file.
  std::string reason(size_t origin) const;
};
std::vector<HostilePickle> hostile_pickles();

}  // namespace taut::fuzz
