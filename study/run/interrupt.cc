#include "study/run/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "kernels/error.h"

namespace taut::study {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;  // a signal handler can reach nothing else

void on_signal(int signal) {
  if (g_interrupted != 0 && signal == SIGINT) ::_exit(130);
  g_interrupted = 1;
}

}  // namespace

void install_interrupt_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
}

bool interrupted() { return g_interrupted != 0; }

void stop_if_interrupted(const char* where, const char* hint) {
  if (interrupted()) fail(Exit::kInterrupted, "[{}] interrupted; hint: {}", where, hint);
}

void set_interrupted(bool on) { g_interrupted = on ? 1 : 0; }

}  // namespace taut::study
