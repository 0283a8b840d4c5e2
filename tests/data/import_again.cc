// Imports that find something: what an import before them left, what others put in its place, an archive in an archive.
#include <doctest/doctest.h>

#include "data/import/check.h"
#include "data/import/import.h"
#include "data/import/target.h"
#include "tests/data/archives.h"

namespace taut::test {
namespace fs = std::filesystem;
namespace {

Bytes picture(uint64_t seed) { return encode_png(sample_image(8, 8, 3, seed)); }

// A folder with archives, imported as class folders into "out".
struct Place : TemporaryFolder {
  std::string file(const std::string& name) const { return (path() / name).string(); }
  std::string pack(const std::string& name, const std::vector<Packed>& entries) const {
    write_archive(file(name), entries);
    return file(name);
  }
  Manifest import(const std::vector<std::string>& archives, const std::string& out = "out") const {
    return import_dataset({.name = "folder", .archives = archives, .out = file(out)});
  }
};

}  // namespace

TEST_CASE("a link planted in the place of a folder or a file is not followed, even to the same bytes") {
  for (const bool of_folder : {true, false}) {
    CAPTURE(of_folder);
    const Place place;
    const std::string archive = place.pack("a.tar", {{"t/a/1.png", picture(1)}, {"t/b/2.png", picture(2)}});
    place.write("outside/1.png", picture(1));
    fs::create_directories(place.file(of_folder ? "out.partial/t" : "out.partial/t/a"));
    if (of_folder)
      fs::create_directory_symlink(place.file("outside"), place.file("out.partial/t/a"));
    else
      fs::create_symlink(place.file("outside/1.png"), place.file("out.partial/t/a/1.png"));
    const Caught error = caught([&] { place.import({archive}); });
    CAPTURE(error.text);
    if (error.code == Exit::kOk) {  // the link was replaced
      CHECK(!of_folder);
      CHECK(check_import(place.file("out")).problems.empty());
    } else {
      CHECK(error.names("t/a"));
      CHECK(!fs::exists(place.file("out")));
    }
    CHECK(read_all(place.file("outside/1.png")) == picture(1));
  }
}

TEST_CASE("a target holds what it was given, and misses what is gone") {
  const Place place;
  TargetFolder target(place.file("t"));
  target.write("a/b/1.png", picture(1));
  CHECK(target.holds("a/b/1.png", picture(1)));
  CHECK(!target.holds("a/b/1.png", picture(2)));
  CHECK(!target.holds("a/b", {}));
  CHECK(!target.holds("a/2.png", picture(1)));
  fs::create_directory_symlink("a", place.file("t/link"));
  fs::create_symlink("1.png", place.file("t/a/b/2.png"));
  CHECK(!target.holds("link/b/1.png", picture(1)));
  CHECK(!target.holds("a/b/2.png", picture(1)));
  const Caught linked = caught([&] { target.keep_only({"a/b/1.png", "a/b/2.png"}); });
  CHECK(linked.code == Exit::kIo);
  CHECK(linked.names("a/b/2.png"));
  target.keep_only({"a/b/1.png"});
  CHECK(!fs::is_symlink(place.file("t/link")));
  CHECK(!fs::is_symlink(place.file("t/a/b/2.png")));
  CHECK(target.holds("a/b/1.png", picture(1)));
}

TEST_CASE("the same archives in another order or under other names are the same import") {
  const Place place;
  const std::string one = place.pack("1.zip", {{"t/a/1.png", picture(1)}});
  const std::string two = place.pack("2.zip", {{"t/b/2.png", picture(2)}, {"t/b/note.txt", Bytes{'x'}}});
  const Manifest m = place.import({one, two});
  const Bytes before = read_all(place.file("out/manifest.json"));
  CHECK(place.import({two, one}).sha256 == m.sha256);
  fs::rename(one, place.file("renamed.zip"));
  CHECK(place.import({place.file("renamed.zip"), two}).sha256 == m.sha256);
  CHECK(read_all(place.file("out/manifest.json")) == before);
  CHECK(place.import({two, place.file("renamed.zip")}, "anew").sha256 == m.sha256);
  CHECK(caught([&] { place.import({two}); }).code == Exit::kUsage);
  CHECK(caught([&] { place.import({two, two}); }).code == Exit::kUsage);
  // The name of a list is the name of an entry.
  const std::string list = place.write("a.txt", std::string("x"));
  place.import({two, list}, "listed");
  fs::rename(list, place.file("b.txt"));
  CHECK(caught([&] { place.import({two, place.file("b.txt")}, "listed"); }).code == Exit::kUsage);
}

TEST_CASE("an archive inside an archive is named, to be unpacked first") {
  const Place place;
  const std::string inner =
      place.pack("101_ObjectCategories.tar.gz", {{"101_ObjectCategories/Faces/1.png", picture(1)}});
  const std::string outer =
      place.pack("caltech-101.zip", {{"caltech-101/101_ObjectCategories.tar.gz", read_all(inner)}});
  const auto attempt = [&](const std::string& archive) {
    return caught([&] { import_dataset({.name = "caltech101", .archives = {archive}, .out = place.file("out")}); });
  };
  const Caught error = attempt(outer);
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("hint: unpack 'caltech-101/101_ObjectCategories.tar.gz'"));
  CHECK(attempt(inner).code == Exit::kOk);
}

}  // namespace taut::test
