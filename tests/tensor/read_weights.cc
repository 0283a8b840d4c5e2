// read_weights FILE: opens a file of weights and reads every tensor of it, between two marks on standard error, so that
// a tracer can tell the system calls of that from those of starting and ending a program. Returns the error's exit
// code.
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string_view>

#include "tensor/weights_file.h"

using namespace taut;

namespace {
bool mark(std::string_view text) { return ::write(STDERR_FILENO, text.data(), text.size()) > 0; }
}  // namespace

int main(int count, char** arguments) {
  if (count != 2 || !mark("BEGIN\n")) return static_cast<int>(Exit::kUsage);
  std::optional<Error> error;
  try {
    const WeightsFile file = WeightsFile::open(arguments[1]);
    for (const StoredTensor& t : file.tensors()) file.read(t.name);
  } catch (const Error& e) {
    error = e;
  }
  if (!mark("END\n")) return static_cast<int>(Exit::kIo);
  if (error) std::fprintf(stderr, "%s\n", error->what());
  return static_cast<int>(error ? error->code() : Exit::kOk);
}
