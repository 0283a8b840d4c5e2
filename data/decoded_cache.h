// Images decoded and resized once, then read from a file that is mapped into memory: the second epoch, every evaluation
// and every later run find them there. What comes out has the bytes of decoding anew, for any number of threads.
//
// FOLDER/KEY.images: KEY is a hash of the preprocessing, the decoders' versions and the identity of every image in
// order, so that changed files have another name. The file is a text header and then the images, uint8, (height, width,
// channels), one after another from the next multiple of 4096 bytes:
//   taut decoded images 1            a line a field, and one SHA-256 for each block of about 1 MiB of images; the last
//   key 4f0c...                      line is the SHA-256 of the header before it
// Opening compares the whole header, its hash and the file's size with what they must be; a block is hashed when it is
// first read. A file that is not exactly right is replaced when it is opened; where a block turns out to be damaged
// later, its images are decoded anew and the file is removed, so that the next opening replaces it.
//
// It is written as KEY.part, under a lock on that file that dies with its process, synced, and renamed. A process that
// finds another at work on the same file waits for it. Any file may be removed, or replaced by a rename, at any time: a
// mapping keeps what it has. One that is cut in place while it is mapped ends its readers with SIGBUS, which no check
// before a read could prevent.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "data/dataset.h"
#include "data/preprocess.h"

namespace taut {

struct DecodedCache {
  std::string folder;  // made where it is not there
  // Gets one line each: how much is about to be written where, and why nothing could be. May be empty.
  std::function<void(const std::string& line)> say = {};
  // Called now and then with the images done and all of them; an exception it throws stops the work, with the partial
  // file removed. May be empty.
  std::function<void(int64_t done, int64_t all)> follow = {};
};

// `base` with every image preprocessed, out of the cache. Images that have no identity, and those that lie in memory
// and keep their size, are not cached; neither are any where the folder cannot be written, has no room, or a write
// fails: one line says so and images are made at every call. Throws Error(kUsage) for an empty set, and on building
// what Dataset::image and preprocess throw, Error(kBadData) for images of unequal sizes.
DatasetPtr preprocessed(DatasetPtr base, const Preprocess& how, const DecodedCache& cache);

}  // namespace taut
