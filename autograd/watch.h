// Looking over the shoulder of every op, for what a program does once something has gone wrong.
#pragma once

#include <functional>
#include <vector>

#include "autograd/var.h"

namespace taut {

// While one is alive on this thread, every op that is recorded shows what it made and what of. One at a time.
class Watch {
 public:
  using Look = std::function<void(const char* op, const std::vector<Var>& outputs, const std::vector<Var>& inputs)>;
  explicit Watch(Look look);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
};

}  // namespace taut
