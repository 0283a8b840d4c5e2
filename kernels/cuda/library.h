// Opens a library that a machine may lack, and finds the entry points that the backend uses. A twin's are linked.
//
//   #define TAUT_X_FUNCTIONS(NAME) NAME(member, function) ...
//   struct XLibrary { members TAUT_MEMBER };
//   open_library<XLibrary>("x", X_MAJOR, [](auto& file, XLibrary& library) { TAUT_X_FUNCTIONS(TAUT_ENTRY) })
#pragma once

#ifndef TAUT_CUDA_TWIN
#include <dlfcn.h>

#include <string>
#endif

#include "kernels/cuda/api.h"

#define TAUT_MEMBER(member, function) decltype(&function) member = nullptr;
#ifdef TAUT_CUDA_TWIN
#define TAUT_ENTRY(member, function) library.member = &function;
#else
#define TAUT_ENTRY(member, function) file.find(#function, library.member);
#endif

namespace taut::TAUT_GPU {

// A library's file while its entry points are looked up: libNAME.so.MAJOR, of the version that the headers are of.
class LibraryFile {
 public:
#ifdef TAUT_CUDA_TWIN
  LibraryFile(const char*, int) {}
#else
  LibraryFile(const char* name, int major)
      : handle_(dlopen(("lib" + std::string(name) + ".so." + std::to_string(major)).c_str(), RTLD_NOW | RTLD_LOCAL)),
        complete_(handle_ != nullptr) {}
  template <class Function>
  void find(const char* name, Function*& to) {
    to = handle_ == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(handle_, name));
    complete_ = complete_ && to != nullptr;
  }
#endif
  bool complete() const { return complete_; }  // it is there, and has all that was asked for

 private:
#ifndef TAUT_CUDA_TWIN
  void* handle_ = nullptr;
#endif
  bool complete_ = true;
};

// The library as `find` fills it, for the life of the process; null where it, or a part of it, is not installed.
template <class Library, class Find>
const Library* open_library(const char* name, int major, Find find) {
  static Library library;
  LibraryFile file(name, major);
  find(file, library);
  return file.complete() ? &library : nullptr;
}

}  // namespace taut::TAUT_GPU
