// Trainable parameters of ViT-B/16 under every strategy: the numbers of the paper's models (Hugging Face's flavour, its
// unused pooler counted).
#include <doctest/doctest.h>

#include <array>

#include "finetune/strategy.h"
#include "nn/models.h"

namespace taut::finetune {

TEST_CASE("trainable parameters of ViT-B/16") {
  struct Row {
    const char* strategy;
    std::array<int64_t, 3> trainable;  // 10, 100 and 257 classes
  };
  const Row rows[] = {
      {"full", {86396938, 86466148, 86586881}}, {"lp", {7690, 76900, 197633}},
      {"bitfit", {111370, 180580, 301313}},     {"ia3", {72202, 141412, 262145}},
      {"compacter", {64778, 133988, 254721}},   {"lora", {1187338, 1256548, 1377281}},
      {"adapter", {3567370, 3636580, 3757313}},
  };
  const std::array<int64_t, 3> classes = {10, 100, 257};
  for (const Row& row : rows) {
    for (size_t i = 0; i < classes.size(); ++i) {
      CAPTURE(row.strategy);
      CAPTURE(classes[i]);
      nn::Vit vit(nn::vit_config("vit_base_patch16_224", "hf", classes[i]));
      const int64_t plain = vit.parameter_count();
      CHECK(plain == 86389248 + 769 * classes[i]);
      strategy(row.strategy).apply(vit, {}, 1);
      CHECK(vit.trainable_parameter_count() == row.trainable[i]);
      const bool adds = std::string(row.strategy) != "full" && std::string(row.strategy) != "lp" &&
                        std::string(row.strategy) != "bitfit";
      CHECK(vit.parameter_count() == plain + (adds ? row.trainable[i] - 769 * classes[i] : 0));
    }
  }
}

TEST_CASE("an unknown strategy is refused with the nearest name") {
  CHECK_THROWS_WITH_AS(strategy("lroa"), doctest::Contains("'lora'"), Error);
}

}  // namespace taut::finetune
