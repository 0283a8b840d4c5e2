// Faults for a command under test: the words of fault_library.cc as a value, and the tiny run that the drills disturb.
#pragma once

#include <functional>

#include "tests/study/support.h"

namespace taut::study {

struct Faults {
  std::string path = {};    // only files whose path holds this
  std::string calls = {};   // ",write,fsync,"
  std::string action = {};  // errno as a number, kill, half, eintr, short, hang
  int64_t at = 0;           // which call, from 1; 0: every one
  bool on = false;          // that call and all later ones
  std::string log = {};     // what changed a file system
  std::string mark = {};    // made by `hang`, which goes on when it is gone
  int64_t allocation = -1;  // the allocation that fails; 0 only counts, -1 leaves memory alone
  int64_t room = -1;        // free bytes that file systems claim
  bool year = false;        // the clock of the day jumps
};

// Everything that changes a file system. Between two such calls nothing that a crash could leave changes.
inline const char* const kChanges = ",open,write,fsync,fsyncdir,close,rename,unlink,mkdir,symlink,ftruncate,";

// For `taut(arguments, environment)`.
std::string environment_of(const Faults& faults);

// What a run wrote down with Faults::log, one a call.
struct Change {
  std::string call;  // create, truncate, write, fsync, rename, unlink, mkdir, symlink
  uint64_t inode = 0;
  std::string path, to;  // `to` of a rename
  int64_t number = 0;    // offset of a write, size of a truncation
  std::string bytes;     // of a write; the target of a symlink
};
std::vector<Change> read_changes(const std::string& log);

// The tiny study as a file of this folder, and `taut train` on it.
struct TinyRun {
  explicit TinyRun(std::string more = "");
  std::vector<std::string> arguments(const std::string& name, const std::vector<std::string>& more = {}) const;
  Outcome train(const std::string& name, const Faults& faults = {}, const std::vector<std::string>& more = {}) const;
  // Trains undisturbed under `name`, which must succeed, and returns what it promises.
  std::map<std::string, std::string> calm(const std::string& name = "calm") const;

  TempFolder folder;
};

// Starts the command and does not wait; standard output and error go to OUT.out and OUT.err.
pid_t start_taut(const std::vector<std::string>& arguments, const Faults& faults, const std::string& out);
// Whether `condition` holds within a time that only a program that hangs needs.
bool holds_soon(const std::function<bool()>& condition);

// A copy of a run's directory, links as links.
void copy_run(const std::string& from, const std::string& to);

// Reads the newest checkpoint that verifies; its step, or -1. Nothing may have to be left out on the way.
int64_t newest_step(const std::string& run);

// Whether the long form of a drill was asked for, TAUT_DRILLS=long: the tests drills_long/* of ctest's label `long`.
bool long_form();

}  // namespace taut::study
