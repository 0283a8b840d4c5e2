// SIGINT, SIGTERM and SIGUSR1 ask a run to write a checkpoint and stop; a second SIGINT ends the process at once (130).
#pragma once

namespace taut::study {

// For the commands that poll stop_if_interrupted; all others end at the signal, as processes do.
void install_interrupt_handlers();
bool interrupted();
// Throws Error(kInterrupted) if a signal came.
void stop_if_interrupted(const char* where, const char* hint = "the same command goes on from here");
// As if a signal had come, and back; for tests.
void set_interrupted(bool on);

}  // namespace taut::study
