// Other processes of this program.
#pragma once

#include <sys/types.h>

namespace taut {

// fork(2) for a child that touches no tensor: it is given none of the arena's memory. Else it would take the longer to
// start the more there is, and every page of a tensor that is written afterwards would be copied.
pid_t fork_without_tensors();  // kernels/arena.cc

}  // namespace taut
