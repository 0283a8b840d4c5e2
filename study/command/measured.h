// What a table of times says of where and how they were taken.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/runtime.h"
#include "study/command/command.h"
#include "study/output.h"

namespace taut::study {

// On standard error a line: processor or GPU (with driver and toolkit), build, and the host's pace (pace_text). In
// every format but Markdown, whose tables are for reading, `machine` and `build` in each row.
void say_where_measured(Device device, std::vector<Row>& rows, Format format);

// Where the device of --device is missing: calls `check`, which throws for arguments that are wrong anyway, prints a
// skipped row that says what is missing, sets the exit code of skipped tests (77), and returns true.
bool waive_without_device(const Common& common, const std::string& op, const ExitCode& code, const Selftests& tests,
                          const std::function<void(Device device)>& check);

// Of a file of /proc or /sys, without its last line's end; "" where there is none: they differ between machines.
std::string text_of(const std::string& path);

// Of the text of /proc/cpuinfo ("cpu MHz"), of a processor's files cpuinfo_max_freq and scaling_governor, and of
// /proc/loadavg, each of which may be empty: "2100 of 3700 MHz, governor powersave, load 1.2 on 2 processors".
std::string pace_text(const std::string& cpuinfo, const std::string& most_khz, const std::string& governor,
                      const std::string& load, int processors);

// Of the text of /proc/driver/nvidia/params: why ncu finds no counters, and what does without them; empty where it may
// read them, or nobody knows.
std::string counters_note(const std::string& params);

}  // namespace taut::study
