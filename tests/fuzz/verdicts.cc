// Every seed gets from its reader the verdict it is owed, in the words it is owed. Drills 21, 22 and 24 (hostile
// safetensors, pickles and arrays) are among the names.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "kernels/error.h"
#include "tests/fuzz/seeds.h"

using namespace taut;
using namespace taut::fuzz;

namespace {

// The words of the refusal, "" if the file is accepted.
std::string verdict(const Reader& reader, const Seed& seed) {
  try {
    reader.read(FileBytes::copy("seed.file", seed.bytes));
    return "";
  } catch (const Error& e) {
    CHECK(e.code() == Exit::kBadData);
    CHECK(std::string(e.what()).find("[seed.file]") == 0);
    return e.what();
  }
}

// Whether an error says the words of a seed's reason, in order.
bool says(std::string_view error, std::string_view reason) {
  constexpr std::string_view kAnyWords = " ... ";
  for (;;) {
    const size_t end = reason.find(kAnyWords);
    const std::string_view words = reason.substr(0, end);
    const size_t at = error.find(words);
    if (at == std::string_view::npos) return false;
    if (end == std::string_view::npos) return true;
    error.remove_prefix(at + words.size());
    reason.remove_prefix(end + kAnyWords.size());
  }
}

void check_all(const std::string& name) {
  const Reader& r = reader(name);
  static std::map<std::string, std::vector<Seed>> seeds;  // doctest runs this once for each of them
  if (!seeds.contains(name)) seeds[name] = r.seeds();
  std::set<std::string> names;
  for (const Seed& seed : seeds[name]) {
    REQUIRE(names.insert(seed.name).second);
    SUBCASE(seed.name.c_str()) {
      const std::string said = verdict(r, seed);
      INFO("expected: ", seed.reason);
      INFO("said: ", said);
      CHECK(said.empty() == seed.reason.empty());
      CHECK(says(said, seed.reason));
      CHECK(said.size() < 1000);  // a hostile file does not fill the log
    }
  }
}

}  // namespace

TEST_CASE("safetensors") { check_all("safetensors"); }
TEST_CASE("pickle") { check_all("pickle"); }
TEST_CASE("torch zip") { check_all("torch_zip"); }
TEST_CASE("torch legacy") { check_all("torch_legacy"); }
TEST_CASE("npy") { check_all("npy"); }
TEST_CASE("npz") { check_all("npz"); }
TEST_CASE("shard index") { check_all("shard_index"); }
